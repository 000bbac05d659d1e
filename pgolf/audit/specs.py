"""The audit of a spec before it runs: preflight's findings as verdicts, and the trainer's construction."""

from collections.abc import Iterator

from pgolf.audit import own_limits
from pgolf.audit.gates.seeds import REQUIRED_SEEDS
from pgolf.audit.runs import SPLIT_RULES, construction_verdicts
from pgolf.audit.verdicts import Verdict, make_verdict, sort_verdicts
from pgolf.findings import Finding, Severity, counted
from pgolf.preflight.preflight import Preflight
from trainer.recipe.local import local_codes

RULES = {
    "artifact_size": "SIZE-CAP",
    "training_clock": "TRAIN-600",
    "calibration_clock": "TRAIN-600-INCLUDES-CALIBRATION",
    "evaluation_clock": "EVAL-600",
    "lossless_tokenizer": "LOSSLESS",
    "canonical_data": "VAL-IS-CANONICAL",
    "overlap": "TRAIN-VAL-DISJOINT",
    "adaptation_order": "ADAPTATION-ORDER",
    **own_limits.RULES,
}
"""The contest's rules that rules of preflight correspond to."""


def audit_spec(found: Preflight) -> list[Verdict]:
    """Return the verdicts on a spec that are possible before a run."""
    has_own_code = bool(local_codes(found.spec.recipe))
    verdicts = [verdict_of(finding, found) for finding in found.findings if finding.rule in RULES]
    verdicts += [*construction_verdicts(has_own_code), check_seed_count(found)]
    verdicts += [*protocol_verdicts(has_own_code)]
    if found.located is None:
        message = "the data of this spec is not on this machine"
        verdicts += [make_verdict(rule, "unknown", message, "files") for rule in SPLIT_RULES]
    return sort_verdicts(verdicts)


def verdict_of(finding: Finding, found: Preflight) -> Verdict:
    """Return a finding of preflight as a verdict, unknown where the finding lacks what it would judge."""
    severity = "unknown" if is_undecided(finding.rule, found) else finding.severity
    rule = RULES[finding.rule]
    return make_verdict(rule, severity, finding.message, "files" if rule in SPLIT_RULES else "numbers")


def is_undecided(rule: str, found: Preflight) -> bool:
    """Return whether preflight passed a rule only because it had nothing to judge."""
    match rule:
        case "evaluation_clock":
            return found.duration is None or found.duration.evaluate_seconds is None
        case "lossless_tokenizer":
            return found.located is not None and found.located.manifest.tokenizer.lossless is None
    return False


def check_seed_count(found: Preflight) -> Verdict:
    """Check that the spec has three seeds; seeds of one spec have one configuration."""
    count = len(found.spec.seeds)
    message = f"{counted(count, 'seed')} of one spec, code and data"
    severity: Severity = "pass" if count >= REQUIRED_SEEDS else "warn"
    return make_verdict("THREE-SEEDS-ONE-CONFIG", severity, message, "construction")


def protocol_verdicts(has_own_code: bool) -> Iterator[Verdict]:
    """Yield what the ledger ensures about the order of scores; the other rules need a finished run to probe."""
    for rule in ("C1-CAUSAL", "C1-SELF", "C2-NORMALISED"):
        yield make_verdict(rule, "unknown", "`pgolf audit RUN` probes the protocol of a finished run", "construction")
    for rule in ("C3-SCORE-FIRST", "C4-SINGLE-PASS"):
        if has_own_code:
            yield make_verdict(rule, "unknown", "the spec includes the user's own code", "construction")
        else:
            message = "the ledger accepts each score once and in order, and only scored tokens are learned from"
            yield make_verdict(rule, "pass", message, "construction")
