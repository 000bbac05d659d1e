"""The HTML page: the same numbers, and nothing that a name could smuggle in."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pgolf.report.groups import group_runs
from pgolf.report.page import HEIGHT, MARGIN, WIDTH, html_page
from pgolf.report.tables import all_rows
from pgolf.rundir import RunDirectory
from tests.pgolf.report.builders import result_of, write_run, write_seeds

HOSTILE = "<script>alert(1)</script>&\"'<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Tags and table cells of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.tags[-1:] in (["td"], ["th"]):
            self.rows[-1][-1] += data.rstrip("\n")


def test_the_table_has_the_cells_of_all_rows(tmp_path: Path) -> None:
    groups = group_runs(write_seeds(tmp_path, {1: 1.21, 2: 1.26}))
    _, *rows = Page(html_page(groups)).rows
    assert rows == [*all_rows(groups)]


def test_a_hostile_name_stays_text(tmp_path: Path) -> None:
    result = result_of(1, 1.2, name=HOSTILE)
    result["headline"] |= {"stage": HOSTILE, "protocol": HOSTILE}
    run = write_run(tmp_path / "exp-aaaaaaaa" / "seed-1", result)
    write_metrics(run, [(1, 3.0)])
    page = Page(html_page(group_runs([run])))
    assert not {"script", "img"} & set(page.tags)
    assert page.rows[1][0] == HOSTILE
    assert HOSTILE in page.text


def write_metrics(run: RunDirectory, points: list[tuple[int, float]]) -> None:
    rows = [json.dumps({"step": tokens, "tokens": tokens, "train_loss": loss}) for tokens, loss in points]
    run.files.metrics.write_text("\n".join(rows) + "\n")


def test_learning_curves_run_from_corner_to_corner(tmp_path: Path) -> None:
    run, other = write_seeds(tmp_path, {1: 1.21, 2: 1.26})
    write_metrics(run, [(0, 8.0), (500, 5.0), (1000, 2.0)])
    write_metrics(other, [(500, 8.0)])
    first, second = re.findall(r"points='([^']*)'", html_page(group_runs([run, other])))
    middle = (WIDTH / 2, HEIGHT / 2)
    assert [tuple(map(float, point.split(","))) for point in first.split()] == [
        (MARGIN, MARGIN),
        middle,
        (WIDTH - MARGIN, HEIGHT - MARGIN),
    ]
    assert second == f"{WIDTH / 2:.1f},{MARGIN:.1f}"


@pytest.mark.parametrize("points", [[], [(0, 3.0)], [(0, 3.0), (0, 3.0)]])
def test_few_points_are_no_reason_to_fail(tmp_path: Path, points: list[tuple[int, float]]) -> None:
    (run,) = write_seeds(tmp_path, {1: 1.2})
    write_metrics(run, points)
    assert ("no metrics were kept" in html_page(group_runs([run]))) is (not points)


def test_a_half_written_last_line_is_left_out(tmp_path: Path) -> None:
    (run,) = write_seeds(tmp_path, {1: 1.2})
    write_metrics(run, [(1, 3.0), (2, 2.0)])
    with run.files.metrics.open("a") as file:
        file.write('{"step": 3, "tok')
    (points,) = re.findall(r"points='([^']*)'", html_page(group_runs([run])))
    assert len(points.split()) == 2


def test_the_page_loads_nothing_from_elsewhere(micro_run: RunDirectory) -> None:
    page = html_page(group_runs([micro_run]))
    assert not re.search(r"https?:|src=|@import|url\(|<script", page)
    assert f"{micro_run.read_result()['headline']['val_bpb']:.6f}" in page
