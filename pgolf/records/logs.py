"""Public logs: read within bounds, whatever their encoding, compression, container and prefixes."""

from dataclasses import replace
from pathlib import Path

from pgolf.records.containers import encoding_of, numbered_lines, read_bytes
from pgolf.records.dumped_source import blank_source
from pgolf.records.json_lines import spell_results
from pgolf.records.layout import blank_repeats, without_common_prefix
from pgolf.records.score_tables import spell_tables
from trainer.dialects.lines import plain_lines
from trainer.dialects.logged import LoggedRun, merge
from trainer.dialects.plain import plain
from trainer.dialects.runs import split_runs


def runs_in(path: Path, root: Path) -> tuple[list[LoggedRun], bool, int]:
    """Return the runs of a log, each once, whether it is UTF-16, and its bytes after decompression.

    Raises:
        TooLong: it has more than MAX_BYTES.
        OSError: it cannot be read.
    """
    lines, numbers, is_utf16, size = read_log(path)
    if not lines:
        return [], is_utf16, size
    once: dict[tuple[object, ...], LoggedRun] = {}
    for run in split_runs(lines, plain(path.relative_to(root).as_posix())):
        renumber(run, numbers)
        twin = once.setdefault(run.identity, run)
        if twin is not run:
            merge(twin, run)
    return list(once.values()), is_utf16, size


def renumber(run: LoggedRun, numbers: list[int]) -> None:
    """Replace the places of a run among the lines that were read by the numbers of the file's lines."""
    run.first_line = numbers[run.first_line - 1]
    run.seed_line = numbers[run.seed_line - 1] if run.seed_line else 0
    run.lines = {field: numbers[line - 1] for field, line in run.lines.items()}
    run.scores = [replace(score, line=numbers[score.line - 1]) for score in run.scores]
    run.sizes = [replace(size, line=numbers[size.line - 1]) for size in run.sizes]
    run.mentioned = {words: replace(each, line=numbers[each.line - 1]) for words, each in run.mentioned.items()}
    if run.last_validation is not None:
        run.last_validation = replace(run.last_validation, line=numbers[run.last_validation.line - 1])


def read_log(path: Path) -> tuple[list[str], list[int], bool, int]:
    """Return the lines of a log, their numbers in the file, whether it is UTF-16, and its decompressed bytes.

    Raises:
        TooLong: it has more than MAX_BYTES.
        OSError: it cannot be read.
    """
    content = read_bytes(path)
    encoding = encoding_of(content)
    text = content.decode(encoding, errors="replace").removeprefix("\ufeff")
    lines, numbers = [], []
    for number, raw in numbered_lines(text):
        shown = plain_lines(raw)
        lines += shown
        numbers += [number] * len(shown)
    written = blank_source(blank_repeats(without_common_prefix(lines)))
    return spell_results(spell_tables(written)), numbers, encoding != "utf-8", len(content)
