"""The problems of a public record, by the names that reviewers use for them."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import log

from pgolf.alike import alike_findings, decimals_of
from pgolf.findings import Finding, counted
from pgolf.records.claim_problems import claim_problems
from pgolf.records.evidence import printed_score, printed_seeds, printed_size
from pgolf.records.folder import MAIN, Record, log_files
from pgolf.records.printed import Printed, Problem, problem
from pgolf.records.rows import RecordGroup
from pgolf.records.track import Track
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
# A time printed in tenths of a minute is known to so many seconds.
MINUTE_DIGIT_SECONDS = 6.0
# A dump of settings has dozens; fewer than this are stray lines.
MIN_SETTINGS = 20


def warn(rule: str, message: str, *evidence: Printed) -> Problem:
    return problem("warn", rule, message, *evidence)


def fail(rule: str, message: str, *evidence: Printed) -> Problem:
    return problem("fail", rule, message, *evidence)


def row_problems(run: LoggedRun, score: Score, ruleset: Ruleset, track: Track) -> list[Finding]:
    """Return the problems of one run."""
    found: list[Finding] = [
        *size_problems(run, ruleset),
        *time_problems(run, score, ruleset, track),
        *byte_problems(run, score, ruleset),
    ]
    return found if run.not_finite is None else [*found, not_finite_finding(run.not_finite)]


def not_finite_finding(steps: NotFinite) -> Problem:
    """Return a failure if training ended with losses that are not numbers, a warning if it recovered."""
    return problem("fail" if steps.is_at_end else "warn", "loss_not_finite", steps.describe())


def size_problems(run: LoggedRun, ruleset: Ruleset) -> Iterator[Problem]:
    size = run.size
    if size is None:
        return
    printed = printed_size(run, size)
    if over := bytes_over(size.total, ruleset.artifact_limit_bytes):
        yield fail("over_cap", f"{size.total:,} bytes, {over:,} over the limit ({run.file}:{size.line})", printed)
    if any(each.is_mebi for each in run.sizes):
        message = f"{size.total:,} bytes are printed as MB of 2^20 bytes ({run.file}:{size.line})"
        yield warn("mib_called_mb", message, printed)
    if size.kind == "artifact":
        message = f"the {size.total:,} bytes of {run.file}:{size.line} do not include code"
        yield warn("total_without_code", message, printed)


def time_problems(run: LoggedRun, score: Score, ruleset: Ruleset, track: Track) -> Iterator[Problem]:
    """Yield the clock limits that the run broke. They hold on the contest's hardware and on the 10-minute track."""
    if is_other_hardware(run) or not track.has_limits:
        return
    if run.train_seconds is not None and is_over_time(run.train_seconds, ruleset.train_seconds, late_seconds(run)):
        message = f"{run.file}: trained for {run.train_seconds:.1f} s; the limit is {ruleset.train_seconds:.0f} s"
        seconds = Printed(run.train_seconds, decimals_of(run.train_seconds), run.file, None, "train_time")
        yield problem(track.severity, "over_time", message, seconds)
    spent = run.total_eval_seconds or score.seconds
    if spent is not None and is_over_time(spent, ruleset.evaluate_seconds):
        message = f"{run.file}: evaluated for {spent:.1f} s; the limit is {ruleset.evaluate_seconds:.0f} s"
        line = None if run.total_eval_seconds else score.line
        seconds = Printed(spent, decimals_of(spent), score.file or run.file, line, "eval_time")
        yield problem(track.severity, "eval_over_time", message, seconds)


def late_seconds(run: LoggedRun) -> float:
    """Return by how many seconds a printed training time may be over the limit without showing a violation."""
    return MINUTE_DIGIT_SECONDS if run.has_minutes and run.stopped is None else LATE_SECONDS


def is_other_hardware(run: LoggedRun) -> bool:
    """Return whether the log shows a machine other than one with eight H100 GPUs."""
    return is_contest_machine(run.gpus, run.world_size) is False


def byte_problems(run: LoggedRun, score: Score, ruleset: Ruleset) -> Iterator[Problem]:
    """Yield a problem if tokens, loss and bits per byte do not imply the bytes of the validation text.

    They imply another number, too, where the score mixes predictions of tokens and of bytes. It is a miscount only if
    every score of the log has it.
    """
    tokens = run.validation_tokens
    ratio = bytes_per_token(score)
    if tokens is None or score.val_loss is None or ratio is None:
        return
    text = ruleset.validation_bytes
    counted_tokens = Printed(tokens, 0, run.file, None, "validation tokens")
    if abs(tokens * ratio / text - 1) <= BYTES_TOLERANCE:
        return
    if tokens < MIN_TOKEN_SHARE * min(facts.validation_tokens[0] for facts in ruleset.data.values()):
        yield fail("validation_subset", f"{run.file}: only {tokens:,} validation tokens were scored", counted_tokens)
        return
    others = [other for each in run.scores if (other := bytes_per_token(each)) is not None]
    is_mix = any(abs(tokens * other / text - 1) <= BYTES_TOLERANCE for other in others)
    message = f"{run.file}: {tokens:,} tokens at {ratio:.3f} bytes per token are {tokens * ratio / 1e6:.2f} MB of text"
    message += f"; the validation text has {text / 1e6:.2f} MB"
    if is_mix:
        message += "; other scores of the log imply that text, so this one may mix tokens and bytes"
    loss = Printed(score.val_loss, decimals_of(score.val_loss), score.file or run.file, score.line, "val_loss")
    evidence = (counted_tokens, loss, printed_score(run, score))
    yield problem("warn" if is_mix else "fail", "bytes_per_token_implausible", message, *evidence)


def bytes_per_token(score: Score) -> float | None:
    """Return the bytes of a token that loss and bits per byte imply; None where the line lacks one of them."""
    return score.val_loss / log(2) / score.val_bpb if score.val_bpb and score.val_loss else None


def folder_problems(record: Record, parts: list[list[LoggedRun]]) -> list[Finding]:
    """Return the problems of a folder's files."""
    return [*file_problems(record), *part_problems(parts), *missing_parts(record)]


def missing_parts(record: Record) -> Iterator[Problem]:
    claims = record.claims
    if claims.submission_error:
        yield warn("broken_submission_json", claims.submission_error)
    if claims.is_retracted:
        evidence = [] if claims.retracted is None else [claims.retracted]
        yield warn("retracted", "the author has retracted the score", *evidence)
    if not record.runs:
        # A log in a form that pgolf does not read is no missing log.
        has_log = bool(record.log_count or log_files(record.folder))
        yield problem("warn" if has_log else "fail", "no_log", "no log prints a final score")
    elif not any(run.sizes for run in record.runs) and claims.bytes_total is None and not claims.bytes_by_seed:
        files = ", ".join(run.file for run in record.runs[:3])
        yield warn("no_size_in_log", f"neither a log ({files}) nor a claim gives the artifact's size")


def file_problems(record: Record) -> Iterator[Problem]:
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
                "seed_in_name_differs_from_log",
                f"{run.file} is a run of seed {run.seed} (line {run.seed_line})",
                *printed_seeds([run]),
            )
    if any(run.has_minutes for run in record.runs):
        yield warn("minutes_format", "training times are printed in tenths of a minute")


def part_problems(parts: list[list[LoggedRun]]) -> Iterator[Problem]:
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


def mean_problems(group: RecordGroup, unscored: list[LoggedRun]) -> Iterator[Problem]:
    """Yield the runs that the mean leaves out, and those that it includes although they fail a check."""
    if unscored:
        files = ", ".join(run.file for run in unscored)
        message = f"{files}: no {group.label} score, which the other runs have; left out of the mean"
        yield warn("no_common_metric", message, *(printed_score(row.run, row.score) for row in group.rows))
    settings_by_file = {
        run.file: settings for row in group.rows if (settings := settings_of(run := row.run, group.label))
    }
    if len(set(settings_by_file.values())) > 1:
        listed = ", ".join(f"{file} has {settings}" for file, settings in settings_by_file.items())
        yield warn("protocol_differs_between_seeds", f"the seeds were scored by different protocols: {listed}")
    if group.rows and all(row.score.stage == "prequant" for row in group.rows):
        message = "no log has a score of the packed model in a form that is read; these are scores before quantization"
        yield warn("prequant_only", message, *(printed_score(row.run, row.score) for row in group.rows))
    broken = [row for row in group.rows if any(found.severity == "fail" for found in row.problems())]
    if broken and len(group.rows) > 1:
        rules = ", ".join(dict.fromkeys(f.rule for row in broken for f in row.problems() if f.severity == "fail"))
        yield warn(
            "mean_of_invalid_runs", f"{len(broken)} of the {len(group.rows)} runs in the mean fail a check: {rules}"
        )


def first_of_each_rule(findings: Iterable[Finding]) -> list[Finding]:
    """Return the first finding of each rule; the rows keep all of them."""
    by_rule: dict[str, Finding] = {}
    for finding in findings:
        by_rule.setdefault(finding.rule, finding)
    return list(by_rule.values())


def count_problems(group: RecordGroup) -> Iterator[Problem]:
    runs = [row.run for row in group.rows]
    if len(runs) == 1:
        yield warn("single_seed", "a single seed has no standard deviation", *printed_seeds(runs))
    elif len(runs) == 2 and group.track.has_limits:
        yield warn("fewer_than_three_seeds", "only two seeds; a record needs three", *printed_seeds(runs))
    other = [run for run in runs if is_other_hardware(run)]
    if other:
        machine = ", ".join(sorted(other[0].gpus)) or counted(other[0].world_size or 0, "process")
        yield warn("hardware_not_8xH100", f"{other[0].file} ran on {machine}")


def bytes_problems(group: RecordGroup) -> Iterator[Problem]:
    """Yield totals in the logs that are not the submitted artifact's, and code that was counted otherwise."""
    for row in group.rows:
        sizes, size = row.run.sizes, row.run.size
        if size is None:
            continue
        where = f"{row.run.file}:{size.line}"
        if labelled := [s for s in sizes if s.kind == "total" and s.label and s.total != size.total]:
            total = f"the total {labelled[0].total:,} of {labelled[0].label}"
            message = f"{total} is not that of the last packed artifact, {size.total:,} ({where})"
            yield warn(
                "labelled_total_is_not_the_artifact",
                message,
                printed_size(row.run, labelled[0]),
                printed_size(row.run, size),
            )
        if raw := [s for s in sizes if s.kind == "total" and not s.label and s.total != size.total]:
            message = f"the total {raw[0].total:,} ({row.run.file}:{raw[0].line}) is of the model before packing"
            yield warn("raw_unlabelled_total", message, printed_size(row.run, raw[0]), printed_size(row.run, size))
        labels = {s.label for s in sizes if s.kind == "total" and s.label and s.total == size.total}
        if len(labels) > 1:
            yield warn(
                "total_label_reused",
                f"the total {size.total:,} has several labels: {', '.join(sorted(labels))}",
                printed_size(row.run, size),
            )
        if size.kind == "own" and not any(s.kind == "total" for s in sizes):
            yield warn(
                "own_size_line_dialect",
                f"the total is only in {row.run.file}:{size.line}, labelled {size.label}",
                printed_size(row.run, size),
            )
        break  # the logs of a folder come from one script
    yield from code_problems(group)


def code_problems(group: RecordGroup) -> Iterator[Problem]:
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


def sameness_problems(group: RecordGroup) -> Iterator[Problem]:
    """Yield ways in which the runs differ beyond their seed."""
    lasts = {found[-1].best.label for row in group.rows if (found := evaluations(row.run))}
    if len(lasts) > 1:
        yield warn(
            "mixed_metrics_on_last_line",
            f"the logs end with different scores: {', '.join(sorted(lasts))}; all have {group.label}",
        )
    scores = [printed_score(row.run, row.score) for row in group.rows]
    for alike in alike_findings([row.numbers for row in group.rows]):
        yield problem(alike.severity, alike.rule, alike.message, *scores)
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
