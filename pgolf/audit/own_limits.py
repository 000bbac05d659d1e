"""Verdicts on the limits that rulesets other than Parameter Golf's set, and on what they fix."""

from collections.abc import Iterator, Sequence

from pgolf.audit.verdicts import Basis, Verdict, make_verdict
from pgolf.findings import Finding
from pgolf.rulesets.judging import RunSize, judge_size
from pgolf.rulesets.ruleset import Ruleset

RULES = {
    "parameters_cap": "PARAMETERS-CAP",
    "train_tokens_cap": "TRAIN-TOKENS-CAP",
    "steps_cap": "STEPS-CAP",
    "fixed_parts": "FIXED-PARTS",
    "target_loss": "TARGET-LOSS",
}
"""The audit's rules by the rules of `pgolf.rulesets.judging`."""


def own_limit_verdicts(
    ruleset: Ruleset, sizes: Sequence[RunSize], target: Finding | None, basis: Basis
) -> Iterator[Verdict]:
    """Yield the verdicts on runs of one experiment, the worst of each rule; nothing under Parameter Golf's rules.

    Args:
        ruleset: The contest's.
        sizes: What each run used.
        target: What the losses show of the ruleset's target; None without one.
        basis: Where the numbers are from.
    """
    order = ("pass", "warn", "unknown", "fail")
    found = [finding for size in sizes for finding in judge_size(ruleset, size)]
    worst = [
        max((each for each in found if each.rule == rule), key=lambda each: order.index(each.severity))
        for rule in dict.fromkeys(finding.rule for finding in found)
    ]
    for finding in (*worst, *([] if target is None else [target])):
        yield make_verdict(RULES[finding.rule], finding.severity, finding.message, basis)
