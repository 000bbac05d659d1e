"""The HTML page: numbers of the results, and escaping of names."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pgolf.report.groups import group_runs
from pgolf.report.page.document import html_page
from pgolf.report.significance import assess_significance
from pgolf.report.tables import seed_cells
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.rundir import RunDirectory
from tests.pgolf.report.builders import result_of, write_run, write_seeds

HOSTILE = "<script>alert(1)</script>&\"'<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Tags and table cells of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self.rows: list[list[str]] = []
        self.is_in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "table":
            self.rows = self.tables.setdefault(str(dict(attrs)["id"]), [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.is_in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.is_in_cell = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.is_in_cell:
            self.rows[-1][-1] += data


def write_metrics(run: RunDirectory, points: list[tuple[int, float]]) -> None:
    rows = [json.dumps({"step": tokens, "tokens": tokens, "train_loss": loss}) for tokens, loss in points]
    run.files.metrics.write_text("\n".join(rows) + "\n")


def test_the_seeds_table_has_the_cells_of_every_seed(tmp_path: Path) -> None:
    (group,) = groups = group_runs(write_seeds(tmp_path, {1: 1.21, 2: 1.26}))
    _, *rows = Page(html_page(groups)).tables["seeds"]
    assert rows == [seed_cells(group, row) for row in group.rows]


def test_the_groups_table_has_mean_deviation_and_interval(tmp_path: Path) -> None:
    groups = group_runs(write_seeds(tmp_path, {1: 1.21, 2: 1.26, 3: 1.22}))
    _, row = Page(html_page(groups)).tables["groups"]
    # By hand: mean 1.23, deviations -.02, .03, -.01, s = sqrt(.0014 / 2); t of 2 degrees 4.302653
    assert row[:5] == ["exp", "3", "1.230000", "0.026458", "1.164276 to 1.295724"]
    assert row[6] == "all fit"


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


def test_a_hostile_name_is_escaped(tmp_path: Path) -> None:
    result = result_of(1, 1.2, name=HOSTILE)
    result["headline"] |= {"stage": HOSTILE, "protocol": HOSTILE}
    result["metrics"] = [
        {"stage": "prequant", "protocol": HOSTILE, "val_bpb": 1.3},
        {"stage": HOSTILE, "protocol": "x", "val_bpb": 1.2},
    ]
    run = write_run(tmp_path / "exp-aaaaaaaa" / "seed-1", result)
    write_metrics(run, [(1, 3.0)])
    run.files.artifact.mkdir()
    run.files.bytes.write_text(json.dumps({"groups": {HOSTILE: 12}}))
    page = Page(html_page(group_runs([run])))
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert page.tables["seeds"][1][0] == HOSTILE
    assert HOSTILE in page.text


def test_the_policy_allows_only_the_pages_own_script(tmp_path: Path) -> None:
    page = html_page(group_runs(write_seeds(tmp_path, {1: 1.21})))
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page


@pytest.mark.parametrize("points", [[], [(0, 3.0)], [(0, 3.0), (0, 3.0)]])
def test_a_page_with_few_points_renders(tmp_path: Path, points: list[tuple[int, float]]) -> None:
    (run,) = write_seeds(tmp_path, {1: 1.2})
    write_metrics(run, points)
    assert ("the run has no metrics" in html_page(group_runs([run]))) is (not points)


def test_a_page_without_groups_renders() -> None:
    assert "0 groups, 0 seeds" in html_page([])


def test_the_page_loads_nothing_from_elsewhere(micro_run: RunDirectory) -> None:
    page = html_page(group_runs([micro_run]))
    assert not re.search(r"https?:|src=|@import|url\(|<link|<iframe", page)
    assert f"{micro_run.read_result()['headline']['val_bpb']:.6f}" in page


def test_the_page_of_a_real_run_has_bytes_by_tensor_group(micro_run: RunDirectory) -> None:
    (group,) = group_runs([micro_run])
    parts = group.rows[0].byte_parts()
    assert sum(parts.values()) == group.rows[0].total_bytes
    assert {"embedding", "attention", "mlp", "code", "header"} <= set(parts)
    page = html_page([group])
    assert f"embedding: {parts['embedding']:,} bytes" in page
