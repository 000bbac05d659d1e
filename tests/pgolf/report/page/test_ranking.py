"""The leaderboard's page in a real browser: its points, and the evidence that they lead to."""

import shutil
from pathlib import Path

import pytest

from pgolf.report.leaderboard import ranked
from pgolf.report.page.ranking import leaderboard_page
from pgolf.rulesets.ruleset import load_ruleset
from tests.browser import chromium
from tests.pgolf.report.test_leaderboard import write_record

pytestmark = pytest.mark.skipif(
    shutil.which("chromedriver") is None or shutil.which("chromium") is None,
    reason="chromium and chromedriver are not installed",
)
EVIL = "<img src=x onerror='window.evil = 1'>"
PLACE = """
const mark = [...document.querySelectorAll('figure svg.marks [role=graphics-symbol]')].find(
  (each) => each.ariaLabel?.startsWith('second, rank 2'));
if (!mark) return null;
const {left, right, top, bottom} = mark.getBoundingClientRect();
return [(left + right) / 2, (top + bottom) / 2];
"""
OPENED = "return [...document.querySelectorAll('details[open]')].map((each) => each.textContent).join()"


@pytest.mark.slow
def test_a_click_on_a_point_opens_its_evidence(tmp_path: Path) -> None:
    for number, name in enumerate(("first", "second", EVIL.replace("/", ""))):
        write_record(tmp_path / "records" / name, 1.1 + number / 10)
    page = tmp_path / "board.html"
    page.write_text(leaderboard_page(ranked(tmp_path / "records", load_ruleset("parameter_golf"))))
    with chromium(tmp_path / "profile") as browser:
        browser.resize(1280, 900)
        browser.open(page)
        browser.wait(f"return (() => {{{PLACE}}})() !== null")
        x, y = browser.run(PLACE)
        for kind in ("mousePressed", "mouseReleased"):
            browser.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        browser.wait(OPENED + " !== ''")
        evidence = browser.run(OPENED)
        assert "1.20000000" in evidence and "train_seed42.log:4" in evidence and "train_seed42.log:3" in evidence
        assert browser.run("return window.evil") is None
        browser.resize(390)
        assert browser.run("return document.documentElement.scrollWidth") == 390
        assert browser.complaints() == []
