"""Verdicts on the limits that rulesets other than Parameter Golf's set, and on what they fix."""

from collections.abc import Iterator, Sequence

from pgolf.audit.verdicts import Basis, Verdict, make_verdict
from pgolf.rulesets.judging import RunSize, judge_size, judge_target
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
    ruleset: Ruleset, sizes: Sequence[RunSize], losses: Sequence[float], basis: Basis
) -> Iterator[Verdict]:
    """Yield the verdicts on runs of one experiment, the worst of each rule; nothing under Parameter Golf's rules.

    Args:
        ruleset: The contest's.
        sizes: What each run used.
        losses: Validation loss of each run whose loss is known, in nats per token.
        basis: Where the numbers are from.
    """
    order = ("pass", "warn", "unknown", "fail")
    found = [finding for size in sizes for finding in judge_size(ruleset, size)]
    for rule in dict.fromkeys(finding.rule for finding in found):
        worst = max((each for each in found if each.rule == rule), key=lambda each: order.index(each.severity))
        yield make_verdict(RULES[rule], worst.severity, worst.message, basis)
    if ruleset.limits.target is None:
        return
    if not losses:
        yield make_verdict(RULES["target_loss"], "unknown", "no validation loss is known", basis)
        return
    steps = {size.steps for size in sizes}
    target = judge_target(ruleset.limits.target, losses, steps.pop() if len(steps) == 1 else None)
    yield make_verdict(RULES["target_loss"], target.severity, target.message, basis)
