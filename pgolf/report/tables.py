"""Tables of groups, for terminals and Markdown."""

from collections.abc import Iterable, Sequence

from pgolf.report.rows import Group, Row
from pgolf.rulesets.limits import SIZE_RULES, TIME_RULES, is_smoke_test

COLUMNS = ("run", "seed", "val_bpb", "val_loss", "stage", "steps", "train s", "score s", "total bytes", "verdict")
DAMAGED = "damaged_run"
UNCLEAR_SIZE = ("rounded_size", "over_cap")
FITS, SMOKE_TEST, ALL_FIT, ALL_SMOKE_TESTS = "fits", "smoke test", "all fit", "smoke tests"


def seed_cells(group: Group, row: Row) -> list[str]:
    """Return the cells of one seed."""
    facts = row.as_json()
    good = SMOKE_TEST if is_smoke_test(facts["steps"]) else FITS
    verdict = ", ".join(problem["rule"] for problem in facts["problems"]) or good
    return [
        group.name,
        str(facts["seed"]),
        f"{facts['val_bpb']:.6f}",
        format_number(facts["val_loss"], ".6f"),
        f"{facts['stage']} {facts['protocol']}",
        format_number(facts["steps"], ","),
        format_number(facts["train_seconds"], ".1f"),
        format_number(facts["evaluate_seconds"], ".1f"),
        format_number(facts["total_bytes"], ","),
        verdict,
    ]


def damaged_cells(group: Group) -> list[list[str]]:
    """Return the cells of each run whose files do not say what came out."""
    blank = ["-"] * (len(COLUMNS) - 3)
    return [[group.name, str(run["seed"]), *blank, DAMAGED] for run in group.as_json().get("damaged", ())]


def format_number(number: float | None, form: str) -> str:
    """Return a number in a format; a dash if it is not known."""
    return "-" if number is None else f"{number:{form}}"


def summary_parts(group: Group) -> list[str]:
    """Return what a line says about a group of several seeds; what is not known is empty."""
    largest = "" if group.max_total_bytes is None else f"largest {group.max_total_bytes:,} bytes"
    return [group.name, *spread_texts(group), largest, verdict_of(group)]


def summary_cells(group: Group) -> list[str]:
    """Return the Markdown cells of a group of several seeds."""
    largest = format_number(group.max_total_bytes, ",")
    return [group.name, *spread_texts(group), "", "", "", "", largest, verdict_of(group)]


def spread_texts(group: Group) -> tuple[str, str, str]:
    """Return the number of seeds, mean ± deviation, and the interval of the mean; one seed has only a mean."""
    spread = group.spread
    assert spread is not None
    deviation = "" if spread.std is None else f" ± {spread.std:.6f}"
    interval = "" if spread.ci95 is None else f"95 % {spread.ci95[0]:.6f} to {spread.ci95[1]:.6f}"
    return f"n={spread.n}", f"mean {spread.mean:.6f}{deviation}", interval


def verdict_of(group: Group) -> str:
    """Return whether all seeds keep the limits, in a few words."""
    failed = {found.rule for row in group.rows for found in row.problems() if found.severity == "fail"}
    if group.is_over_limit:
        return "OVER THE LIMIT"
    if failed & SIZE_RULES:
        return "RULES BROKEN"
    if failed & TIME_RULES:
        return "OVER TIME"
    target = group.target()
    if target is not None and target.severity == "fail":
        return "TARGET MISSED"
    is_unclear = any(found.rule in UNCLEAR_SIZE for row in group.rows for found in row.problems())
    if is_unclear or any(row.as_json()["total_bytes"] is None for row in group.rows):
        return "SIZE UNKNOWN"
    if all(is_smoke_test(row.as_json()["steps"]) for row in group.rows):
        return ALL_SMOKE_TESTS
    return ALL_FIT


def all_rows(groups: Iterable[Group]) -> Iterable[list[str]]:
    """Yield the cells of each group: its seeds, its damaged runs, then its summary if there are several seeds."""
    for group in groups:
        yield from (seed_cells(group, row) for row in group.rows)
        yield from damaged_cells(group)
        if len(group.rows) > 1:
            yield summary_cells(group)


def markdown_table(groups: Sequence[Group]) -> str:
    """Return the table in Markdown, with the problems below it."""
    problems = [
        f"- {markdown_text(f'{group.name}: {finding.rule}: {finding.message}')}"
        for group in groups
        for finding in group.problems()
    ]
    reached = [
        f"- {markdown_text(f'{group.name}: target reached: {target.message}')}"
        for group in groups
        if (target := group.target()) is not None and target.severity == "pass"
    ]
    return "\n".join([*markdown_lines(COLUMNS, all_rows(groups)), "", *reached, *problems]).rstrip() + "\n"


def markdown_lines(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; cells are escaped."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return lines + [f"| {' | '.join(map(markdown_text, cells))} |" for cells in rows]


def markdown_text(text: str) -> str:
    """Return a text escaped for a Markdown cell: one line, no HTML tags, no column separators."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
