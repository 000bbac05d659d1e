"""The problems of a public record's files: what is missing, copied, mixed or named wrongly."""

from collections.abc import Iterator

from pgolf.findings import Finding
from pgolf.records.evidence import logged, printed_seeds
from pgolf.records.folder import Record, log_files, result_files
from pgolf.records.printed import Problem, problem, warn
from trainer.dialects.logged import LoggedRun


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
        has_log = bool(record.log_count or log_files(record.folder) or result_files(record.folder))
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
        listed = ", ".join(str(seed.value) for seed in seeds)
        yield warn("multi_seed_in_one_log", f"{name} prints runs of seeds {listed}", *seeds)
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
            run.is_named_after_seed
            and run.seed_line
            and run.named_seed != run.seed
            and run.file not in record.multi_seed_logs
        ):
            yield warn(
                "seed_in_name_differs_from_log",
                f"{run.file} is a run of seed {run.seed} (line {run.seed_line})",
                *printed_seeds([run]),
            )
    if record.default_seeds:
        files = ", ".join(seed.file for seed in record.default_seeds)
        message = f"{files} print seed {record.default_seeds[0].value}, which may be a default; their names count"
        yield warn("seed_in_name_differs_from_log", message, *record.default_seeds)
    in_minutes = [run for run in record.runs if run.has_minutes]
    if in_minutes:
        times = [each for run in in_minutes for each in logged(run, "train_seconds", "train_time in seconds")]
        yield warn("minutes_format", "training times are printed in tenths of a minute", *times)


def part_problems(parts: list[list[LoggedRun]]) -> Iterator[Problem]:
    """Yield the reasons why not all runs are in one group."""
    first = [part[0] for part in parts]
    if len({run.parameters for run in first} - {None}) > 1:
        sizes = ", ".join(f"{run.parameters:,}" for run in first if run.parameters is not None)
        counts = [each for run in first for each in logged(run, "parameters", "parameters")]
        yield warn("two_models_in_one_folder", f"models of {sizes} parameters are not averaged together", *counts)
    if len({run.wallclock_limit for run in first} - {None}) > 1:
        lengths = ", ".join(f"{run.wallclock_limit:,.0f} s" for run in first if run.wallclock_limit is not None)
        limits = [each for run in first for each in logged(run, "wallclock_limit", "wallclock limit")]
        yield warn("two_run_lengths_in_one_folder", f"runs of {lengths} are not averaged together", *limits)
    keys = [(run.parameters, run.wallclock_limit, run.validation_tokens) for run in first]
    seeds = [run.seed for part in parts for run in part]
    if len(set(keys)) < len(keys) and (None in seeds or len(set(seeds)) < len(seeds)):
        yield warn(
            "two_log_sets_same_seeds",
            f"the log sets of {', '.join(run.file for run in first)} are not averaged together",
        )
