"""The page in a real browser: sorting, dark mode, printing, and hostile names."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgolf.report.groups import group_runs
from pgolf.report.page.document import html_page
from pgolf.rundir import RunDirectory
from tests.browser import Browser, chromium
from tests.pgolf.report.builders import result_of, write_run, write_seeds

pytestmark = pytest.mark.skipif(
    shutil.which("chromedriver") is None or shutil.which("chromium") is None,
    reason="chromium and chromedriver are not installed",
)
COLUMN = "return [...document.querySelectorAll('#seeds tbody tr')].map(row => row.children[{}].textContent)"
PRESS = "document.querySelectorAll('#seeds th button')[{}].click(); " + COLUMN
EVIL = "<img src=x onerror='window.evil = 1'><script>window.evil = 1</script>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def open_page(browser: Browser, runs: list[RunDirectory], folder: Path) -> None:
    page = folder / "page.html"
    page.write_text(html_page(group_runs(runs)), encoding="utf-8")
    browser.open(page)


def test_clicking_a_heading_sorts_ascending_then_descending(browser: Browser, tmp_path: Path) -> None:
    open_page(browser, write_seeds(tmp_path, {9: 1.21, 1337: 1.26, 42: 1.19}), tmp_path)
    assert browser.run(PRESS.format(1, 1)) == ["9", "42", "1337"]
    assert browser.run(PRESS.format(1, 1)) == ["1337", "42", "9"]
    assert browser.run(PRESS.format(2, 1)) == ["42", "9", "1337"]
    assert browser.complaints() == []


def test_a_name_that_is_a_tag_does_not_run(browser: Browser, tmp_path: Path) -> None:
    result = result_of(1, 1.2, name=EVIL)
    run = write_run(tmp_path / "exp-aaaaaaaa" / "seed-1", result)
    run.files.artifact.mkdir()
    run.files.bytes.write_text(json.dumps({"groups": {EVIL: 5}}))
    open_page(browser, [run], tmp_path)
    assert browser.run("return window.evil === undefined")
    assert EVIL in browser.run("return document.body.textContent")


def test_the_policy_blocks_an_injected_script(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    honest = html_page(group_runs(write_seeds(tmp_path, {1: 1.2})))
    page.write_text(honest.replace("<h1>", f"{EVIL}<h1>"), encoding="utf-8")
    browser.open(page)
    assert browser.run("return window.evil === undefined")
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())


def test_the_page_follows_the_colour_scheme_and_does_not_overflow(browser: Browser, tmp_path: Path) -> None:
    background = "return getComputedStyle(document.body).backgroundColor"
    browser.dark(False)
    open_page(browser, write_seeds(tmp_path, {1: 1.21, 2: 1.26}), tmp_path)
    light = browser.run(background)
    browser.dark(True)
    assert (light, browser.run(background)) == ("rgb(255, 255, 255)", "rgb(13, 17, 23)")
    browser.dark(False)
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")


def test_the_page_prints_to_pdf(browser: Browser, tmp_path: Path) -> None:
    open_page(browser, write_seeds(tmp_path, {1: 1.21, 2: 1.26}), tmp_path)
    assert browser.printed().startswith(b"%PDF")


def test_the_page_of_a_real_run_has_every_plot(browser: Browser, micro_run: RunDirectory, tmp_path: Path) -> None:
    open_page(browser, [micro_run], tmp_path)
    titles = browser.run("return [...document.querySelectorAll('figure h3')].map(title => title.textContent)")
    assert titles == ["Score against size", "Learning curves", "Stages", "Bytes"]
    sizes = browser.run(
        "return [...document.querySelectorAll('figure > svg')].map(each => each.getBoundingClientRect().height)"
    )
    assert min(sizes) > 80
    assert browser.screenshot().startswith(b"\x89PNG")
