"""The audit of a spec, before anything runs: what preflight finds, by the rules' names, and how the trainer is made."""

from collections.abc import Iterator

from pgolf.audit.gates.seeds import NEEDED_SEEDS
from pgolf.audit.runs import by_construction, data_facts
from pgolf.audit.verdicts import Verdict, in_order, settled
from pgolf.errors import DataError
from pgolf.findings import Finding
from pgolf.preflight.preflight import Preflight
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
    verdicts = [foreseen(finding) for finding in found.findings if finding.rule in RULES]
    verdicts += [*by_construction(has_own_code), *seeds(found), *protocol(has_own_code), *data(found)]
    return in_order(verdicts)


def foreseen(finding: Finding) -> Verdict:
    """A finding of preflight as a verdict. What it does not know yet is unknown."""
    is_unknown = "not known" in finding.message
    return settled(RULES[finding.rule], "unknown" if is_unknown else finding.severity, finding.message, "numbers")


def seeds(found: Preflight) -> Iterator[Verdict]:
    """Seeds of one spec are of one configuration."""
    count = len(found.spec.seeds)
    words = f"{count} seeds of one spec, code and data"
    yield settled("THREE-SEEDS-ONE-CONFIG", "pass" if count >= NEEDED_SEEDS else "warn", words, "construction")


def protocol(has_own_code: bool) -> Iterator[Verdict]:
    """Scores are written once, in order, and only scored tokens are learned from. A run is probed; a spec cannot be."""
    for rule in ("C1-CAUSAL", "C1-SELF", "C2-NORMALISED"):
        yield settled(rule, "unknown", "`pgolf audit RUN` probes the protocol of a finished run", "construction")
    for rule in ("C3-SCORE-FIRST", "C4-SINGLE-PASS"):
        if has_own_code:
            yield settled(rule, "unknown", "code of the user's own takes part", "construction")
        else:
            words = "the ledger takes every score once and in order, and hands out scored tokens only"
            yield settled(rule, "pass", words, "construction")


def data(found: Preflight) -> list[Verdict]:
    """Canonical data without overlap, where it is here."""
    if found.located is None:
        words = "the data of this spec are not here"
        return [settled(rule, "unknown", words, "files") for rule in ("VAL-IS-CANONICAL", "TRAIN-VAL-DISJOINT")]
    try:
        return list(data_facts(found.located.folder, found.located.manifest, found.ruleset))
    except DataError as error:
        return [settled("TRAIN-VAL-DISJOINT", "unknown", str(error), "files")]
