"""The audit of a spec, before anything runs: what preflight finds, by the rules' names, and how the trainer is made."""

from collections.abc import Iterator

from pgolf.audit.gates.seeds import REQUIRED_SEEDS
from pgolf.audit.runs import by_construction, data_facts
from pgolf.audit.verdicts import Verdict, make_verdict, sort_verdicts
from pgolf.errors import DataError
from pgolf.findings import Finding
from pgolf.preflight.examine import Preflight
from trainer.recipe.local import local_codes

RULES = {
    "artifact_size": "SIZE-CAP",
    "training_clock": "TRAIN-600",
    "calibration_clock": "TRAIN-600-INCLUDES-CALIBRATION",
    "evaluation_clock": "EVAL-600",
    "lossless_tokenizer": "LOSSLESS",
}
"""Preflight's rules that are a contest's as well."""


def audit_spec(found: Preflight) -> list[Verdict]:
    """Every rule's verdict on a spec, as far as it can be known before a run."""
    has_own_code = bool(local_codes(found.spec.recipe))
    verdicts = [verdict_of(finding, found) for finding in found.findings if finding.rule in RULES]
    verdicts += [*by_construction(has_own_code), *seeds(found), *protocol(has_own_code), *data(found)]
    return sort_verdicts(verdicts)


def verdict_of(finding: Finding, found: Preflight) -> Verdict:
    """Return a finding of preflight as a verdict, unknown where the finding lacks what it would judge."""
    severity = "unknown" if is_undecided(finding.rule, found) else finding.severity
    return make_verdict(RULES[finding.rule], severity, finding.message, "numbers")


def is_undecided(rule: str, found: Preflight) -> bool:
    """Return whether preflight passed a rule only because it had nothing to judge."""
    match rule:
        case "evaluation_clock":
            return found.duration is None or found.duration.evaluate_seconds is None
        case "lossless_tokenizer":
            return found.located is not None and found.located.manifest.tokenizer.lossless is None
    return False


def seeds(found: Preflight) -> Iterator[Verdict]:
    """Seeds of one spec are of one configuration."""
    count = len(found.spec.seeds)
    words = f"{count} seeds of one spec, code and data"
    yield make_verdict("THREE-SEEDS-ONE-CONFIG", "pass" if count >= REQUIRED_SEEDS else "warn", words, "construction")


def protocol(has_own_code: bool) -> Iterator[Verdict]:
    """Scores are written once, in order, and only scored tokens are learned from. A run is probed; a spec cannot be."""
    for rule in ("C1-CAUSAL", "C1-SELF", "C2-NORMALISED"):
        yield make_verdict(rule, "unknown", "`pgolf audit RUN` probes the protocol of a finished run", "construction")
    for rule in ("C3-SCORE-FIRST", "C4-SINGLE-PASS"):
        if has_own_code:
            yield make_verdict(rule, "unknown", "code of the user's own takes part", "construction")
        else:
            words = "the ledger takes every score once and in order, and hands out scored tokens only"
            yield make_verdict(rule, "pass", words, "construction")


def data(found: Preflight) -> list[Verdict]:
    """Canonical data without overlap, where it is here."""
    if found.located is None:
        words = "the data of this spec are not here"
        return [make_verdict(rule, "unknown", words, "files") for rule in ("VAL-IS-CANONICAL", "TRAIN-VAL-DISJOINT")]
    try:
        return list(data_facts(found.located.folder, found.located.manifest, found.ruleset))
    except DataError as error:
        return [make_verdict("TRAIN-VAL-DISJOINT", "unknown", str(error), "files")]
