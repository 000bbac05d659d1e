"""Problems of a finished run, and of the mean of several."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pgolf.alike import alike_findings
from pgolf.data.references import is_well_below
from pgolf.findings import Finding
from pgolf.gpus import parse_gpus
from pgolf.report.script_problems import script_problems
from pgolf.report.seed_rows import SeedRow
from pgolf.rulesets.judging import judge_size, judge_target
from pgolf.rulesets.limits import STEP_SECONDS, bytes_over, is_contest_machine, is_over_time, is_smoke_test

SLOW_TIMES = 1.3


def with_problems(row: SeedRow) -> SeedRow:
    """Return a row that knows its problems."""
    return replace(row, found_problems=row_problems(row))


def row_problems(row: SeedRow) -> list[Finding]:
    """Return what is wrong with one run."""
    found = [*row.damage, *other_device(row), *slower_than_planned(row)]
    found += [
        *over_cap(row),
        *over_size(row),
        *over_clock(row),
        *adapted_out_of_order(row),
        *repacked(row),
        *over_budget(row),
    ]
    if row.is_script:
        found += script_problems(row.result, row.document.get("train_seconds_allowed"))
    return [*found, *not_learned(row)]


def other_device(row: SeedRow) -> Iterator[Finding]:
    """Yield a warning if the GPUs are not those that were requested."""
    requested, hardware = row.document.get("gpu"), row.result.get("hardware")
    if requested is None:
        return
    devices = hardware["devices"] if hardware else []
    gpus = parse_gpus(requested)
    if len(devices) < gpus.number or not all(gpus.includes(name) for name in devices):
        found = ", ".join(devices) or "no GPU"
        yield Finding("warn", "other_device", f"ran on {found}, requested {requested}; its times are not comparable")


def slower_than_planned(row: SeedRow) -> Iterator[Finding]:
    """Yield a warning if the first steps took much longer than those of earlier runs."""
    speed = row.result.get("step_seconds")
    planned, found = (speed["planned"], speed["first"]) if speed else (None, None)
    if planned and found and found > SLOW_TIMES * planned:
        message = f"its first steps took {1000 * found:.1f} ms each; {1000 * planned:.1f} ms were planned"
        yield Finding("warn", "slower_than_planned", message)


def over_cap(row: SeedRow) -> Iterator[Finding]:
    """Yield a failure if the artifact is over the limit."""
    if over := bytes_over(row.total_bytes, row.limit_bytes):
        yield Finding("fail", "over_cap", f"{over:,} bytes over the limit")


def over_size(row: SeedRow) -> list[Finding]:
    """Return the limits other than bytes and seconds that the run broke or does not show, and what it changed."""
    found = [] if row.rules is None else [each for each in judge_size(row.rules, row.size) if each.severity != "pass"]
    return [replace(each, severity="warn") if each.severity == "unknown" else each for each in found]


def over_clock(row: SeedRow) -> Iterator[Finding]:
    """Yield the limits of seconds that the run broke, on the machine to which they apply."""
    hardware = row.result.get("hardware")
    devices = hardware["devices"] if hardware else []
    if row.rules is None or (row.rules.hardware is not None and not is_contest_machine(devices, len(devices) or None)):
        return
    clock, limits = row.result["clock"], row.rules.limits
    trained = (clock["train_seconds"] or 0.0) + (clock.get("calibrate_seconds") or 0.0)
    evaluated = (clock["evaluate_seconds"] or 0.0) + (clock.get("decode_seconds") or 0.0)
    if is_over_time(trained, limits.train_seconds, STEP_SECONDS):
        message = f"training and calibration took {trained:.1f} s; the limit is {limits.train_seconds:g} s"
        yield Finding("fail", "over_time", message)
    if is_over_time(evaluated, limits.evaluate_seconds, STEP_SECONDS):
        message = f"decoding and scoring took {evaluated:.1f} s; the limit is {limits.evaluate_seconds:g} s"
        yield Finding("fail", "eval_over_time", message)


def target_of(rows: Sequence[SeedRow]) -> Finding | None:
    """Return whether the seeds reach the loss that their ruleset asks for; None if it asks for none, or they differ."""
    if not rows or rows[0].rules is None or has_mixed_rules(rows):
        return None
    return judge_target(rows[0].rules, [row.val_loss for row in rows], [row.size for row in rows])


def has_mixed_rules(rows: Sequence[SeedRow]) -> bool:
    """Return whether runs began under different limits."""
    return any(row.rules != rows[0].rules for row in rows)


def adapted_out_of_order(row: SeedRow) -> Iterator[Finding]:
    """Yield a warning if documents were adapted to in an order that no decoder could follow."""
    if row.settings.get("recipe.evaluation.order") == "published_by_length":
        message = "documents were adapted to in the order of their lengths, which no decoder could follow"
        yield Finding("warn", "adaptation_order", message)


def repacked(row: SeedRow) -> Iterator[Finding]:
    """Yield a warning if the artifact was quantized again with a wider clip to fit, with what that cost."""
    again = row.result["artifact"].get("repacked")
    if again is not None:
        scores = {metric.get("quantizer", metric["stage"]): metric["val_bpb"] for metric in row.result["metrics"]}
        message = (
            f"quantized again with clips {again['clip_times']:.4f} times as wide, because the artifact had "
            f"{again['bytes_before']:,} bytes"
        )
        if {"roundtrip", "over_limit"} <= scores.keys():
            cost = scores["roundtrip"] - scores["over_limit"]
            message += f"; this cost {cost:+.6f} bpb, measured before adaptation"
        yield Finding("warn", "repacked", message)


def over_budget(row: SeedRow) -> Iterator[Finding]:
    """Yield a warning if training and calibration took longer than the spec's budget in seconds."""
    if row.budget is None or row.budget["clock"] != "seconds":
        return
    clock, budget = row.result["clock"], row.budget["train"]
    spent = (clock["train_seconds"] or 0.0) + (clock.get("calibrate_seconds") or 0.0)
    if is_over_time(spent, budget, STEP_SECONDS):
        message = (
            f"training and calibration took {spent:.1f} s of {budget:.1f} s; increase recipe.budget.reserve_seconds"
        )
        yield Finding("warn", "train_over_time", message)


def not_learned(row: SeedRow) -> Iterator[Finding]:
    """Yield a failure if a run that is no smoke test scores no better than a byte model without training."""
    references = row.known_references
    if is_smoke_test(row.result["steps"]):
        return
    if references is not None and not is_well_below(row.val_bpb, references):
        message = (
            f"{row.val_bpb:.4f} bpb is not clearly below the {references.order2_bpb:.4f} bpb of an order-2 byte model: "
            "the model has not learned"
        )
        yield Finding("fail", "not_learned", message)


def group_problems(rows: Sequence[SeedRow]) -> Iterator[Finding]:
    """Yield the problems of the mean of several runs."""
    for row in rows:
        yield from row.damage
    over = [row.seed for row in rows if row.is_over_limit]
    if over:
        yield Finding("fail", "over_cap", f"seeds {over} are over the limit")
    broken = {each.rule: each for row in reversed(rows) for each in (*over_size(row), *over_clock(row))}
    yield from broken.values()
    if has_mixed_rules(rows):
        yield Finding("warn", "mixed_rules", "the seeds began under different limits, so that no target is judged")
    if (target := target_of(rows)) is not None and target.severity != "pass":
        yield replace(target, severity="fail" if target.severity == "fail" else "warn")
    yield from [finding for row in rows for finding in adapted_out_of_order(row)][:1]
    unlearned = [finding for row in rows for finding in not_learned(row)]
    yield from unlearned[:1]
    overlaps = [row.overlap for row in rows if row.overlap is not None and row.overlap.severity != "pass"]
    yield from overlaps[:1]
    is_script = any(row.is_script for row in rows)
    cause = "; the script probably ignores the seed that it is given" if is_script else ""
    yield from alike_findings([row.numbers for row in rows], cause)
    labels = sorted({str(row.result["headline"].get("label")) for row in rows})
    if len(labels) > 1:
        message = f"the seeds' scores come from different kinds of log lines ({', '.join(labels)}) and have no mean"
        yield Finding("fail", "mixed_evaluations", message)
    if len(rows) == 1:
        yield Finding("warn", "single_seed", "one seed has no spread; `pgolf seeds --n 3` runs the others")
