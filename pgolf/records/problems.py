"""The problems of a public record, by the names that reviewers use for them."""

from collections.abc import Iterator
from itertools import pairwise
from math import log

from pgolf.alike import alike_findings
from pgolf.findings import Finding, counted
from pgolf.records.claim_problems import claim_problems
from pgolf.records.folder import MAIN, Record
from pgolf.records.rows import RecordGroup
from pgolf.rulesets.limits import LATE_SECONDS, bytes_over, is_contest_machine, is_over_time
from pgolf.rulesets.ruleset import Ruleset
from trainer.dialects.headline import evaluations, settings_of
from trainer.dialects.logged import LoggedRun, NotFinite
from trainer.dialects.scores import Score

# A score of at least this share of the fewest validation tokens counts as one of the whole text: scoring in whole
# windows leaves some tokens out.
MIN_TOKEN_SHARE = 0.9
# Of 2,641 public logs 2,512 are within this share of the text's bytes; the others are known miscounts.
BYTES_TOLERANCE = 0.005
# Committed code that differs from the counted code by a smaller share is taken for a later edit.
SMALL_EDIT = 0.02
# A dump of settings has dozens; fewer than this are stray lines.
MIN_SETTINGS = 20


def warn(rule: str, message: str) -> Finding:
    return Finding("warn", rule, message)


def fail(rule: str, message: str) -> Finding:
    return Finding("fail", rule, message)


def row_problems(run: LoggedRun, score: Score, ruleset: Ruleset, *, is_timed: bool) -> list[Finding]:
    """Return the problems of one run; the clock's only on a track that is timed."""
    found = [*size_problems(run, ruleset), *byte_problems(run, score, ruleset)]
    if is_timed:
        found += time_problems(run, score, ruleset)
    return found if run.not_finite is None else [*found, not_finite_finding(run.not_finite)]


def not_finite_finding(steps: NotFinite) -> Finding:
    """Return a failure if training ended with losses that are not numbers, a warning if it recovered."""
    return Finding("fail" if steps.is_at_end else "warn", "loss_not_finite", steps.describe())


def size_problems(run: LoggedRun, ruleset: Ruleset) -> Iterator[Finding]:
    size = run.size
    if size is None:
        yield warn("no_size_in_log", f"{run.file} prints no artifact size")
        return
    if over := bytes_over(size.total, ruleset.artifact_limit_bytes):
        yield fail("over_cap", f"{size.total:,} bytes, {over:,} over the limit ({run.file}:{size.line})")
    if any(each.is_mebi for each in run.sizes):
        yield warn("mib_called_mb", f"{size.total:,} bytes are printed as MB of 2^20 bytes ({run.file}:{size.line})")
    if size.kind == "artifact":
        yield warn("total_without_code", f"the {size.total:,} bytes of {run.file}:{size.line} do not include code")


def time_problems(run: LoggedRun, score: Score, ruleset: Ruleset) -> Iterator[Finding]:
    """Yield the clock limits that the run broke. On other hardware than the contest's they do not apply."""
    if is_other_hardware(run):
        return
    if run.train_seconds is not None and is_over_time(run.train_seconds, ruleset.train_seconds, LATE_SECONDS):
        yield fail(
            "over_time",
            f"{run.file}: trained for {run.train_seconds:.1f} s; the limit is {ruleset.train_seconds:.0f} s",
        )
    seconds = run.total_eval_seconds or score.seconds
    if seconds is not None and is_over_time(seconds, ruleset.evaluate_seconds):
        yield fail(
            "eval_over_time",
            f"{run.file}: evaluated for {seconds:.1f} s; the limit is {ruleset.evaluate_seconds:.0f} s",
        )


def is_other_hardware(run: LoggedRun) -> bool:
    """Return whether the log shows a machine other than one with eight H100 GPUs."""
    return is_contest_machine(run.gpus, run.world_size) is False


def byte_problems(run: LoggedRun, score: Score, ruleset: Ruleset) -> Iterator[Finding]:
    """Yield a problem if tokens, loss and bits per byte do not imply the bytes of the validation text."""
    tokens = run.validation_tokens
    if tokens is None or score.val_loss is None or not score.val_bpb:
        return
    counts = [facts.validation_tokens for facts in ruleset.data.values()]
    if tokens < MIN_TOKEN_SHARE * min(low for low, _ in counts):
        yield fail("validation_subset", f"{run.file}: only {tokens:,} validation tokens were scored")
        return
    bytes_per_token = score.val_loss / log(2) / score.val_bpb
    implied = tokens * bytes_per_token
    if abs(implied / ruleset.validation_bytes - 1) > BYTES_TOLERANCE:
        message = (
            f"{run.file}: {tokens:,} tokens at {bytes_per_token:.3f} bytes per token are {implied / 1e6:.2f} MB of text"
        )
        expected = f"the validation text has {ruleset.validation_bytes / 1e6:.2f} MB"
        yield fail("bytes_per_token_implausible", f"{message}; {expected}")


def folder_problems(record: Record, parts: list[list[LoggedRun]]) -> list[Finding]:
    """Return the problems of a folder's files."""
    return [*file_problems(record), *part_problems(parts), *missing_parts(record)]


def missing_parts(record: Record) -> Iterator[Finding]:
    if record.claims.submission_error:
        yield warn("broken_submission_json", record.claims.submission_error)
    if not record.runs:
        yield fail("no_log", "no log prints a final score")


def file_problems(record: Record) -> Iterator[Finding]:
    for name, why in record.unreadable.items():
        yield warn("unreadable_log", f"{name}: {why}")
    for name in record.utf16_logs:
        yield warn("utf16_log", f"{name} is UTF-16")
    for name, seeds in record.multi_seed_logs.items():
        yield warn("multi_seed_in_one_log", f"{name} prints runs of seeds {', '.join(map(str, seeds))}")
    for name, twins in record.copies.items():
        rule = "duplicate_runs_in_second_log" if len(twins) > 1 else "duplicate_log"
        yield warn(rule, f"{name} repeats the runs of {', '.join(twins)}; counted once")
    twice = [run.file for run in record.runs if run.copies > 1]
    if twice:
        yield warn(
            "run_printed_twice_in_one_log", f"{', '.join(twice)}: the run is printed more than once; counted once"
        )
    for run in record.runs:
        if (
            run.named_seed is not None
            and run.seed_line
            and run.named_seed != run.seed
            and run.file not in record.multi_seed_logs
        ):
            yield warn(
                "seed_in_name_differs_from_log", f"{run.file} is a run of seed {run.seed} (line {run.seed_line})"
            )
    if any(run.has_minutes for run in record.runs):
        yield warn("minutes_format", "training times are printed in tenths of a minute")


def part_problems(parts: list[list[LoggedRun]]) -> Iterator[Finding]:
    """Yield the reasons why not all runs are in one group."""
    first = [part[0] for part in parts]
    if len({run.parameters for run in first}) > 1:
        sizes = ", ".join(f"{run.parameters or 0:,}" for run in first)
        yield warn("two_models_in_one_folder", f"models of {sizes} parameters are not averaged together")
    if len({run.wallclock_limit for run in first}) > 1:
        lengths = ", ".join(f"{run.wallclock_limit or 0:,.0f} s" for run in first)
        yield warn("two_run_lengths_in_one_folder", f"runs of {lengths} are not averaged together")
    keys = [(run.parameters, run.wallclock_limit, run.validation_tokens) for run in first]
    if len(set(keys)) < len(keys):
        yield warn(
            "two_log_sets_same_seeds",
            f"the log sets of {', '.join(run.file for run in first)} are not averaged together",
        )


def group_problems(group: RecordGroup, unscored: list[LoggedRun], is_first: bool) -> list[Finding]:
    """Return the problems of a group. Claims are compared with the first group of a folder."""
    found = [*first_of_each_rule(finding for row in group.rows for finding in row.problems())]
    found += [
        *count_problems(group),
        *bytes_problems(group),
        *sameness_problems(group),
        *mean_problems(group, unscored),
    ]
    return [*found, *claim_problems(group)] if is_first and group.rows else found


def mean_problems(group: RecordGroup, unscored: list[LoggedRun]) -> Iterator[Finding]:
    """Yield the runs that the mean leaves out, and those that it includes although they fail a check."""
    if unscored:
        files = ", ".join(run.file for run in unscored)
        message = f"{files}: no {group.label} score, which the other runs have; left out of the mean"
        yield fail("no_common_metric", message)
    settings_by_file = {
        run.file: settings for row in group.rows if (settings := settings_of(run := row.run, group.label))
    }
    if len(set(settings_by_file.values())) > 1:
        listed = ", ".join(f"{file} has {settings}" for file, settings in settings_by_file.items())
        yield warn("protocol_differs_between_seeds", f"the seeds were scored by different protocols: {listed}")
    if group.rows and all(row.score.stage == "prequant" for row in group.rows):
        yield fail("prequant_only", "no log scores the packed model; these are scores before quantization")
    broken = [row for row in group.rows if any(found.severity == "fail" for found in row.problems())]
    if broken and len(group.rows) > 1:
        rules = ", ".join(dict.fromkeys(f.rule for row in broken for f in row.problems() if f.severity == "fail"))
        yield warn(
            "mean_of_invalid_runs", f"{len(broken)} of the {len(group.rows)} runs in the mean fail a check: {rules}"
        )


def first_of_each_rule(findings: Iterator[Finding]) -> list[Finding]:
    """Return the first finding of each rule; the rows keep all of them."""
    by_rule: dict[str, Finding] = {}
    for finding in findings:
        by_rule.setdefault(finding.rule, finding)
    return list(by_rule.values())


def count_problems(group: RecordGroup) -> Iterator[Finding]:
    runs = [row.run for row in group.rows]
    if len(runs) == 1:
        yield warn("single_seed", "a single seed has no standard deviation")
    elif len(runs) == 2:
        yield warn("fewer_than_three_seeds", "only two seeds; a record needs three")
    other = [run for run in runs if is_other_hardware(run)]
    if other:
        machine = ", ".join(sorted(other[0].gpus)) or counted(other[0].world_size or 0, "process")
        yield warn("hardware_not_8xH100", f"{other[0].file} ran on {machine}")


def bytes_problems(group: RecordGroup) -> Iterator[Finding]:
    """Yield totals in the logs that are not the submitted artifact's, and code that was counted otherwise."""
    for row in group.rows:
        sizes, size = row.run.sizes, row.run.size
        if size is None:
            continue
        where = f"{row.run.file}:{size.line}"
        if labelled := [s for s in sizes if s.kind == "total" and s.label and s.total != size.total]:
            total = f"the total {labelled[0].total:,} of {labelled[0].label}"
            message = f"{total} is not that of the last packed artifact, {size.total:,} ({where})"
            yield warn("labelled_total_is_not_the_artifact", message)
        if raw := [s for s in sizes if s.kind == "total" and not s.label and s.total != size.total]:
            message = f"the total {raw[0].total:,} ({row.run.file}:{raw[0].line}) is of the model before packing"
            yield warn("raw_unlabelled_total", message)
        labels = {s.label for s in sizes if s.kind == "total" and s.label and s.total == size.total}
        if len(labels) > 1:
            yield warn(
                "total_label_reused", f"the total {size.total:,} has several labels: {', '.join(sorted(labels))}"
            )
        if size.kind == "own" and not any(s.kind == "total" for s in sizes):
            yield warn(
                "own_size_line_dialect", f"the total is only in {row.run.file}:{size.line}, labelled {size.label}"
            )
        break  # the logs of a folder come from one script
    yield from code_problems(group)


def code_problems(group: RecordGroup) -> Iterator[Finding]:
    """Yield differences between the code that the logs count and the committed code."""
    counted = sorted({row.code_bytes for row in group.rows if row.code_bytes is not None})
    limit, committed = group.rows[0].ruleset.artifact_limit_bytes if group.rows else 0, group.record.code.get(MAIN)
    if len(counted) > 1:
        yield warn(
            "code_differs_between_seeds", f"the logs count {', '.join(f'{size:,}' for size in counted)} bytes of code"
        )
    if not counted or committed is None:
        return
    is_compressed = any(row.run.is_code_compressed for row in group.rows)
    if is_compressed and committed > max(counted):
        message = f"the logs count {max(counted):,} bytes of compressed code; {MAIN} has {committed:,}"
        yield warn("code_counted_compressed", message)
    elif all(abs(committed / size - 1) > SMALL_EDIT for size in counted):
        yield warn(
            "code_counted_differently", f"the logs count {max(counted):,} bytes of code; {MAIN} has {committed:,}"
        )
    with_main = max((row.total_with_main or 0 for row in group.rows), default=0)
    with_all = max((row.total_with_python or 0 for row in group.rows), default=0)
    if bytes_over(with_main, limit) and not group.is_over_limit:
        yield warn(
            "over_cap_with_committed_code", f"with {MAIN} as committed the largest artifact has {with_main:,} bytes"
        )
    elif bytes_over(with_all, limit) and not group.is_over_limit:
        others = ", ".join(name for name in group.record.code if name != MAIN)
        yield warn(
            "code_files_outside_total", f"with {others} the largest artifact has {with_all:,} bytes, over the limit"
        )


def sameness_problems(group: RecordGroup) -> Iterator[Finding]:
    """Yield ways in which the runs differ beyond their seed."""
    lasts = {found[-1].best.label for row in group.rows if (found := evaluations(row.run))}
    if len(lasts) > 1:
        yield warn(
            "mixed_metrics_on_last_line",
            f"the logs end with different scores: {', '.join(sorted(lasts))}; all have {group.label}",
        )
    yield from alike_findings([row.numbers for row in group.rows])
    for one, other in pairwise(group.rows):
        if keys := differing(one.run.settings, other.run.settings):
            message = f"{one.run.file} and {other.run.file} differ in {', '.join(keys[:3])}"
            yield warn("configuration_differs_between_seeds", message)
            break


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return the settings in which two dumps differ; none if either log has no dump."""
    if min(len(one), len(other)) < MIN_SETTINGS:
        return []
    return [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]
