"""The HTML page: numbers of the results, facts, escaping of names, and what the page is made of."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from pgolf.report.groups import group_runs
from pgolf.report.page.document import html_page
from pgolf.report.significance import assess_significance
from pgolf.report.tables import seed_cells
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.rundir import RunDirectory
from tests.pgolf.report.builders import result_of, write_metrics, write_run, write_seeds

HOSTILE = "</script><script>alert(1)</script><!--&\"'<img src=x onerror=alert(1)>\u2028{{ 7 * 7 }}"
MOST_BYTES = 1_000_000
VENDOR = files("pgolf.report.page") / "vendor"


class Page(HTMLParser):
    """Tags, tables, facts and scripts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.captions: list[str] = []
        self.facts: list[tuple[str, str]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.scripts: list[str] = []
        self.data: list[Any] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.stack: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append(tag)
        self.stack.append((tag, attributes))
        self.ids += [str(attributes["id"])] if "id" in attributes else []
        self.links += [str(attributes["href"])] if "href" in attributes else []
        if tag == "table":
            self.rows = self.tables.setdefault(str(attributes["id"]), [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "dt":
            self.facts.append(("", ""))

    def handle_endtag(self, tag: str) -> None:
        while self.stack and self.stack.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tag, attributes = self.stack[-1] if self.stack else ("", {})
        if tag == "script":
            is_data = attributes.get("type") == "application/json"
            self.data.append(json.loads(data)) if is_data else self.scripts.append(data)
            return
        self.text += data
        names = [name for name, _ in self.stack]
        if "td" in names or "th" in names:
            self.rows[-1][-1] += data
        elif "dt" in names:
            self.facts[-1] = (data, "")
        elif "dd" in names:
            self.facts[-1] = (self.facts[-1][0], self.facts[-1][1] + data)


def test_the_seeds_table_has_the_cells_of_every_seed(tmp_path: Path) -> None:
    (group,) = groups = group_runs(write_seeds(tmp_path, {1: 1.21, 2: 1.26}))
    _, *rows = Page(html_page(groups)).tables["seeds"]
    assert rows == [seed_cells(group, row) for row in group.rows]


def test_the_groups_table_has_mean_deviation_and_interval(tmp_path: Path) -> None:
    page = Page(html_page(group_runs(write_seeds(tmp_path, {1: 1.21, 2: 1.26, 3: 1.22}))))
    heading, row = page.tables["groups"]
    # By hand: mean 1.23, deviations -.02, .03, -.01, s = sqrt(.0014 / 2); t of 2 degrees 4.302653
    assert row[:5] == ["exp", "3", "1.230000", "0.026458", "1.164276 to 1.295724"]
    assert row[heading.index("verdict")] == "all fit"
    assert set(page.links) == {"#group-1"} <= {f"#{each}" for each in page.ids}


def test_the_versus_table_has_the_tests_against_the_baseline(tmp_path: Path) -> None:
    (new,) = group_runs(write_seeds(tmp_path / "new", {1: 1.21, 2: 1.22, 3: 1.20}))
    (old,) = group_runs(write_seeds(tmp_path / "old", {1: 1.31, 2: 1.32, 3: 1.33}))
    facts = assess_significance(new, old, load_ruleset("parameter_golf").significance)
    page = Page(html_page([new], [(new.name, facts)]))
    (_, row) = page.tables["versus"]
    assert row[2] == "0.110000"
    assert row[6] == f"{facts['p_one_sided']:.4g}"
    assert row[8] == "met"
    assert "versus" not in Page(html_page([new])).tables


def test_the_page_says_question_day_machine_and_data(micro_run: RunDirectory) -> None:
    result, spec = micro_run.read_result(), json.loads(micro_run.files.spec.read_text())
    (group,) = group_runs([micro_run])
    page = Page(html_page([group]))
    cores = result["hardware"]["cores"]
    machine = f"CPU, {cores} {'core' if cores == 1 else 'cores'}"
    at_top = dict(page.facts[:5])
    assert at_top == {
        "Question": spec["question"],
        "Finished": group.dates[0].isoformat(),
        "Hardware": machine,
        "Data": result["data_sha256"][:12],
        "Rules": result["ruleset"],
    }
    of_group = dict(page.facts[5:])
    assert (of_group["Finished"], of_group["Hardware"]) == (group.dates[0].isoformat(), machine)
    assert [of_group[name] for name in ("Data", "Spec", "Code")] == [
        result[f"{name}_sha256"] for name in ("data", "spec", "code")
    ]


def test_a_group_without_a_finished_seed_is_named_but_neither_counted_nor_drawn(tmp_path: Path) -> None:
    runs = [
        *write_seeds(tmp_path, {1: 1.2, 2: 1.3}),
        write_run(tmp_path / "new-bbbbbbbb" / "seed-1", None, name="new", spec_sha256="b"),
    ]
    page = Page(html_page(group_runs(runs)))
    assert "1 group, 2 seeds; 1 group without a finished seed" in page.text
    assert "unfinished: new-bbbbbbbb/seed-1 is prepared" in page.text
    assert [row[0] for row in page.tables["groups"]] == ["run", "exp"]
    assert page.data
    assert '"new"' not in json.dumps(page.data)


def test_a_hostile_name_is_escaped(tmp_path: Path) -> None:
    metrics = [
        {"stage": "prequant", "protocol": HOSTILE, "val_bpb": 1.3, "val_loss": 2.6},
        {"stage": HOSTILE, "protocol": "x", "val_bpb": 1.2, "val_loss": 2.4},
    ]
    result = result_of(1, 1.2, name=HOSTILE, hardware={"devices": [HOSTILE]}, metrics=metrics)
    result["headline"] |= {"stage": HOSTILE, "protocol": HOSTILE}
    run = write_run(tmp_path / "exp-aaaaaaaa" / "seed-1", result)
    run.files.spec.write_text(json.dumps({"question": HOSTILE}))
    write_metrics(run, [(1, 3.0)])
    run.files.artifact.mkdir()
    run.files.bytes.write_text(json.dumps({"groups": {HOSTILE: 12}}))
    page, plain = (Page(html_page(group_runs(runs))) for runs in ([run], write_seeds(tmp_path / "plain", {1: 1.2})))
    assert page.scripts == plain.scripts
    assert "img" not in page.tags
    assert page.tables["seeds"][1][0] == HOSTILE
    assert ("Question", HOSTILE) in page.facts
    assert f"1x {HOSTILE}" in dict(page.facts)["Hardware"]
    drawn = [
        mark["name"]
        for plot in page.data
        if "layer" in plot
        for each in plot["layer"]
        for mark in each.get("data", {}).get("values", [])
        if "name" in mark
    ]
    assert HOSTILE in drawn


def test_the_policy_allows_only_the_pages_own_scripts_and_styles(tmp_path: Path) -> None:
    text = html_page(group_runs(write_seeds(tmp_path, {1: 1.21})))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    directives = {name: values for name, *values in (each.split() for each in policy.replace("&#39;", "'").split(";"))}
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert directives == {
        "default-src": ["'none'"],
        "script-src": [source_of(script) for script in Page(text).scripts],
        "style-src": [source_of(style)],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }


def source_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_vendored_scripts_are_those_of_their_packages() -> None:
    versions = json.loads((VENDOR / "versions.json").read_text())
    licences = (VENDOR / "LICENSES.txt").read_text()
    for script in versions:
        text = (VENDOR / script["file"]).read_bytes()
        assert hashlib.sha256(text).hexdigest() == script["sha256"], script
        assert f"{script['package']} {script['version']}\n" in licences
        assert not re.search(rb"</script|<!--", text, re.IGNORECASE), "it would end the element that holds it"
    assert {each.name for each in VENDOR.iterdir()} == {
        "LICENSES.txt", "README.md", "versions.json", *(script["file"] for script in versions),
    }  # fmt: skip
    interpreter = versions[-1]
    text = (VENDOR / interpreter["file"]).read_text()
    original = text.replace(
        "const vegaInterpreter = (() => {\nconst { ascending, isString, DisallowedObjectProperties } = vega;\n",
        "import { ascending, isString, DisallowedObjectProperties } from 'vega-util';\n",
    ).replace(
        "return { expressionInterpreter: expression };\n})();\n", "export { expression as expressionInterpreter };\n"
    )
    assert hashlib.sha256(original.encode()).hexdigest() == interpreter["path_sha256"]


@pytest.mark.parametrize("points", [[], [(0, 3.0)], [(0, 3.0), (0, 3.0)]])
def test_a_page_with_few_points_renders(tmp_path: Path, points: list[tuple[int, float]]) -> None:
    (run,) = write_seeds(tmp_path, {1: 1.2})
    write_metrics(run, points)
    assert ("the run has no metrics" in html_page(group_runs([run]))) is (not points)


def test_a_page_without_groups_renders_and_is_small() -> None:
    text = html_page([])
    assert "0 groups, 0 seeds" in text
    assert "no finished run" in text
    assert len(text.encode()) <= MOST_BYTES


def test_the_page_refers_to_nothing_elsewhere(micro_run: RunDirectory) -> None:
    text = html_page(group_runs([micro_run]))
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"https?:|src=|@import|url\(|<link|<iframe", outside)
    assert f"{micro_run.read_result()['headline']['val_bpb']:.6f}" in text


def test_every_plot_and_table_has_a_title_and_a_caption(micro_run: RunDirectory) -> None:
    text = html_page(group_runs([micro_run]))
    tags = Page(text).tags
    assert tags.count("figure") == tags.count("figcaption") == 4
    assert tags.count("table") == tags.count("caption") == 2
    assert len(re.findall(r"<figure[^>]*>\s*<h3>[^<]+</h3>", text)) == 4
