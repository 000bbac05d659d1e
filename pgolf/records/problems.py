"""The problems of runs that are averaged, by the names that reviewers use for them."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from pgolf.alike import alike_findings
from pgolf.findings import Finding, counted
from pgolf.records.claim_problems import claim_problems
from pgolf.records.evidence import logged, printed_score, printed_seeds, printed_size
from pgolf.records.folder import MAIN
from pgolf.records.printed import Printed, Problem, problem, warn
from pgolf.records.row_problems import is_other_hardware
from pgolf.records.rows import RecordGroup, RecordRow
from pgolf.rulesets.limits import bytes_over
from trainer.dialects.headline import evaluations, settings_of
from trainer.dialects.logged import LoggedRun

# Committed code that differs from the counted code by a smaller share is taken for a later edit.
SMALL_EDIT = 0.02
# A dump of settings has dozens; fewer than this are stray lines.
MIN_SETTINGS = 20


def group_problems(group: RecordGroup, unscored: list[LoggedRun], is_first: bool) -> list[Finding]:
    """Return the problems of a group. Claims are compared with the first group of a folder."""
    found = [*first_of_each_rule(finding for row in group.rows for finding in row.problems())]
    found += [
        *count_problems(group),
        *bytes_problems(group),
        *sameness_problems(group),
        *mean_problems(group, unscored),
    ]
    if (target := group.target()) is not None and target.severity == "fail":
        found.append(target)
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
        message = f"the seeds were scored by different protocols: {listed}"
        yield warn(
            "protocol_differs_between_seeds", message, *(printed_score(row.run, row.score) for row in group.rows)
        )
    if group.rows and all(row.score.stage == "prequant" for row in group.rows):
        message = "no log has a score of the packed model in a form that is read; these are scores before quantization"
        yield warn("prequant_only", message, *(printed_score(row.run, row.score) for row in group.rows))
    broken = [row for row in group.rows if any(found.severity == "fail" for found in row.problems())]
    if broken and len(group.rows) > 1:
        rules = ", ".join(dict.fromkeys(f.rule for row in broken for f in row.problems() if f.severity == "fail"))
        message = f"{len(broken)} of the {len(group.rows)} runs in the mean fail a check: {rules}"
        yield warn("mean_of_invalid_runs", message, *(printed_score(row.run, row.score) for row in broken))


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
        processes = logged(other[0], "world_size", "processes")
        yield warn("hardware_not_8xH100", f"{other[0].file} ran on {machine}", *processes)


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
    limit, committed = group.rows[0].ruleset.limits.bytes if group.rows else 0, group.record.code.get(MAIN)
    in_logs = [each for row in group.rows for each in code_evidence(row)]
    if len(counted) > 1:
        message = f"the logs count {', '.join(f'{size:,}' for size in counted)} bytes of code"
        yield warn("code_differs_between_seeds", message, *in_logs)
    if not counted or committed is None:
        return
    is_compressed = any(row.run.is_code_compressed for row in group.rows)
    if is_compressed and committed > max(counted):
        message = f"the logs count {max(counted):,} bytes of compressed code; {MAIN} has {committed:,}"
        yield warn("code_counted_compressed", message, Printed(committed, 0, MAIN), *in_logs)
    elif all(abs(committed / size - 1) > SMALL_EDIT for size in counted):
        message = f"the logs count {max(counted):,} bytes of code; {MAIN} has {committed:,}"
        yield warn("code_counted_differently", message, Printed(committed, 0, MAIN), *in_logs)
    with_main = max((row.total_with_main or 0 for row in group.rows), default=0)
    with_all = max((row.total_with_python or 0 for row in group.rows), default=0)
    models = [each for row in group.rows for each in logged(row.run, "model_bytes", "packed model")]
    files = [Printed(size, 0, name) for name, size in group.record.code.items() if name.endswith(".py")]
    if bytes_over(with_main, limit) and not group.is_over_limit:
        message = f"with {MAIN} as committed the largest artifact has {with_main:,} bytes"
        yield warn("over_cap_with_committed_code", message, Printed(committed, 0, MAIN), *models)
    elif bytes_over(with_all, limit) and not group.is_over_limit:
        others = ", ".join(name for name in group.record.code if name != MAIN)
        message = f"with {others} the largest artifact has {with_all:,} bytes, over the limit"
        yield warn("code_files_outside_total", message, *files, *models)


def code_evidence(row: RecordRow) -> list[Printed]:
    """Return the bytes of code that a log counts, from the line of the artifact's size or from one of their own."""
    size = row.run.size
    if size is not None and size.code is not None and row.code_bytes is not None:
        return [Printed(size.code, 0, row.run.file, size.line, "code")]
    return logged(row.run, "code_bytes", "code")


def sameness_problems(group: RecordGroup) -> Iterator[Problem]:
    """Yield ways in which the runs differ beyond their seed."""
    lasts = {found[-1].best.label for row in group.rows if (found := evaluations(row.run))}
    if len(lasts) > 1:
        message = f"the logs end with different scores: {', '.join(sorted(lasts))}; all have {group.label}"
        ends = [printed_score(row.run, found[-1].best) for row in group.rows if (found := evaluations(row.run))]
        yield warn("mixed_metrics_on_last_line", message, *ends)
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
