"""The report as one self-contained HTML page: sortable tables, and the plots of every group.

The page loads nothing. Its content security policy allows only its own scripts and styles, by hash: a name that escaped
into the markup could not run anything. The scripts in `vendor/` draw the plots when the page is opened.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pgolf.findings import Finding, Severity
from pgolf.report.page.bars import bytes_plot, stages_plot
from pgolf.report.page.charts import CONFIG, SYMBOLS, Plot
from pgolf.report.page.learning import curves_plot
from pgolf.report.page.scores import scores_plot
from pgolf.report.page.size import size_plot
from pgolf.report.page.sweeps import sweep_plots
from pgolf.report.page.tables import NUMBERS, groups_table, seeds_table, versus_table
from pgolf.report.rows import Group

if TYPE_CHECKING:
    from jinja2 import Environment

KINDS: dict[Severity, str] = {"fail": "bad", "warn": "warn", "pass": "good", "unknown": "note"}
# Entries of a fact about the whole page that are listed; its groups have all of them.
MOST_LISTED = 4
SHORT_HASH = 12


@dataclass(frozen=True, slots=True)
class Fact:
    """An entry of a list of facts."""

    name: str
    text: str
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """What the page says about one group."""

    anchor: str
    name: str
    question: str | None
    facts: Sequence[Fact]
    problems: Sequence[Finding]
    plots: Sequence[Plot]
    has_curves: bool


def html_page(groups: Sequence[Group], versus: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> str:
    """Return the page. Every name from a spec, a log or a folder is escaped."""
    scored = [group for group in groups if group.rows]
    anchors = [(f"group-{number}", group) for number, group in enumerate(scored, start=1)]
    overview = [scores_plot(scored), size_plot(scored), *sweep_plots(scored)]
    return rendered(
        "page.html",
        title="pgolf report",
        counts=describe(groups),
        facts=summary(scored),
        tables=[groups_table(anchors), versus_table(versus)],
        overview=[plot for plot in overview if plot is not None],
        seeds=seeds_table(scored),
        sections=[section(anchor, group) for anchor, group in anchors],
        has_one_question=len({group.question for group in scored}) == 1,
        unscored=[group for group in groups if not group.rows],
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def rendered(template_name: str, **content: object) -> str:
    """Return a page with the style, the scripts and the footer that all pages have."""
    style, scripts = resource("page.css"), [*vendored_scripts(), resource("page.js")]
    return (
        environment()
        .get_template(template_name)
        .render(
            policy=policy_of(style, scripts),
            style=style,
            scripts=scripts,
            config=CONFIG,
            symbols=SYMBOLS,
            numbers=NUMBERS,
            kinds=KINDS,
            pgolf_version=version("pgolf"),
            vendored=vendored(),
            licences=resource("vendor/LICENSES.txt"),
            **content,
        )
    )


@cache
def environment() -> "Environment":
    """Return what renders the templates: it escapes what they print, and refuses names that it was not given."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        autoescape=True,
        loader=PackageLoader("pgolf.report.page"),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    # A number that is not finite has no JSON: the browser would reject the data of the whole plot.
    found.policies["json.dumps_kwargs"] = {"allow_nan": False}
    return found


@cache
def resource(name: str) -> str:
    """Return the text of a file in this package."""
    return files("pgolf.report.page").joinpath(name).read_text(encoding="utf-8")


@cache
def vendored() -> list[dict[str, str]]:
    """Return origin and hash of each script in `vendor/`, in the order in which they are to run."""
    scripts: list[dict[str, str]] = json.loads(resource("vendor/versions.json"))
    return scripts


def vendored_scripts() -> list[str]:
    """Return the scripts in `vendor/`, without the names of source maps, which are not part of the page."""
    return [resource(f"vendor/{script['file']}").partition("\n//# sourceMappingURL=")[0] for script in vendored()]


def policy_of(style: str, scripts: Sequence[str]) -> str:
    """Return the content security policy: no network, no frames, no evaluated code, only these styles and scripts."""
    allowed = " ".join(map(source_of, scripts))
    return (
        f"default-src 'none'; style-src {source_of(style)}; script-src {allowed}; base-uri 'none'; form-action 'none'"
    )


def source_of(text: str) -> str:
    """Return how a policy names an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def describe(groups: Sequence[Group]) -> str:
    """Return the numbers of groups and seeds that the page shows, and of groups without a finished seed."""
    scored = [group for group in groups if group.rows]
    seeds = sum(len(group.rows) for group in scored)
    counts = f"{counted(len(scored), 'group')}, {counted(seeds, 'seed')}"
    unscored = len(groups) - len(scored)
    return f"{counts}; {counted(unscored, 'group')} without a finished seed" if unscored else counts


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summary(groups: Sequence[Group]) -> list[Fact]:
    """Return the facts about all groups: what they ask, when and where they ran, on which data, by which rules."""
    found: dict[str, list[str | None]] = {
        "Question": [group.question for group in groups],
        "Finished": [date_range(groups)],
        "Hardware": [machine for group in groups for machine in group.hardware],
        "Data": [(group.data_sha256 or "")[:SHORT_HASH] for group in groups],
        "Rules": [group.as_json().get("ruleset") for group in groups],
    }
    return [
        Fact(name, listed(values), is_code=name == "Data")
        for name, entries in found.items()
        if (values := list(dict.fromkeys(entry for entry in entries if entry)))
    ]


def listed(values: Sequence[str]) -> str:
    """Return the first values, and the number of the others."""
    more = len(values) - MOST_LISTED
    return "; ".join(values[:MOST_LISTED]) + (f"; and {more} more" if more > 0 else "")


def date_range(groups: Sequence[Group]) -> str:
    """Return the first and the last day on which seeds finished; empty if none is known."""
    days = sorted(day for group in groups for day in group.dates)
    return "" if not days else f"{days[0]}" if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def section(anchor: str, group: Group) -> Section:
    """Return the section of a group: facts, problems and plots."""
    facts = group.as_json()
    protocols = dict.fromkeys(f"{seed['stage']} {seed['protocol']}" for seed in facts["seeds"])
    found = [
        Fact("Finished", date_range([group])),
        Fact("Hardware", "; ".join(group.hardware)),
        Fact("Scored", "; ".join(protocols)),
        Fact("Data", group.data_sha256 or "", is_code=True),
        Fact("Spec", facts.get("spec_sha256") or "", is_code=True),
        Fact("Code", facts.get("code_sha256") or "", is_code=True),
        Fact("Cost", f"{group.usd:.2f} USD" if group.usd else ""),
    ]
    curves = curves_plot(group)
    plots = [curves, stages_plot(group), bytes_plot(group)]
    return Section(
        anchor,
        group.name,
        group.question,
        [fact for fact in found if fact.text],
        group.problems(),
        [plot for plot in plots if plot is not None],
        has_curves=curves is not None,
    )
