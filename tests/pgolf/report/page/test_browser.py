"""The page in a real browser: what is drawn and where, what pointing shows, hostile names, colours, width, printing."""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from scipy.stats import t as student

from pgolf.report.groups import group_runs
from pgolf.report.page.document import html_page
from pgolf.rundir import RunDirectory
from tests.browser import Browser, chromium
from tests.pgolf.report.builders import result_of, write_metrics, write_run, write_seeds, write_sweep

pytestmark = pytest.mark.skipif(
    shutil.which("chromedriver") is None or shutil.which("chromium") is None,
    reason="chromium and chromedriver are not installed",
)
COLUMN = "return [...document.querySelectorAll('#seeds tbody tr')].map(row => row.children[{}].textContent)"
PRESS = "document.querySelectorAll('#seeds th button')[{}].click(); " + COLUMN
EVIL = "</script><img src=x onerror='window.evil = 1'><script>window.evil = 1</script><!--"
LONG = "an-experiment-with-a-very-long-name-" * 5
UNICODE = "gr\u00f6\u00dfe \u03a9 \u5b9f\u9a13 \U0001f680 \u0627\u0644\u0639"
DRAWN = "return document.querySelectorAll('figure svg.marks').length === document.querySelectorAll('figure').length"
FIGURE = """
const figure = [...document.querySelectorAll('figure')].find((each) => each.querySelector('h3').textContent === {});
const marks = [...figure.querySelectorAll('svg.marks [role=graphics-symbol]')];
"""
BOXES = """
return marks.filter((mark) => mark.ariaLabel && mark.ariaRoleDescription !== 'axis').map((mark) => {
  const {left, right, top, bottom} = mark.getBoundingClientRect();
  return {words: mark.ariaLabel, left, right, top, bottom};
});
"""
TEXTS = "return [...figure.querySelectorAll('svg.marks text')].map(each => each.textContent)"
SWEPT = ("1.200000", "1.201000", "1.202000")
WIDTH = "return document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def open_page(browser: Browser, runs: Sequence[RunDirectory], folder: Path) -> None:
    """Open the page of some runs and wait until all its plots are drawn."""
    page = folder / "page.html"
    page.write_text(html_page(group_runs(runs)), encoding="utf-8")
    browser.resize(1280)
    browser.complaints()
    browser.open(page)
    browser.wait(DRAWN)


def marks(browser: Browser, title: str) -> dict[str, dict[str, float]]:
    """Return the box of each mark that a screen reader finds in a plot, by what it reads."""
    found = browser.run(FIGURE.format(json.dumps(title)) + BOXES)
    assert len({mark["words"] for mark in found}) == len(found)
    return {mark["words"]: mark for mark in found}


def texts(browser: Browser, title: str) -> list[str]:
    return browser.run(FIGURE.format(json.dumps(title)) + TEXTS)  # type: ignore[no-any-return]


def centre(box: dict[str, float]) -> tuple[float, float]:
    return (box["left"] + box["right"]) / 2, (box["top"] + box["bottom"]) / 2


def point_at(browser: Browser, title: str, words: str) -> None:
    """Scroll to a plot and move the mouse onto one of its marks."""
    browser.run(FIGURE.format(json.dumps(title)) + "figure.scrollIntoView({block: 'center'})")
    browser.point(*centre(marks(browser, title)[words]))


def shown_tip(browser: Browser) -> dict[str, str]:
    """Return what the box beside the pointer says."""
    script = "return document.getElementById('tip').hidden ? [] : [...document.querySelectorAll('#tip dt')].map({})"
    pairs = browser.run(script.format("each => [each.textContent, each.nextSibling.textContent]"))
    return dict(pairs)


def test_clicking_a_heading_sorts_ascending_then_descending(browser: Browser, tmp_path: Path) -> None:
    open_page(browser, write_seeds(tmp_path, {9: 1.21, 1337: 1.26, 42: 1.19}), tmp_path)
    assert browser.run(PRESS.format(1, 1)) == ["9", "42", "1337"]
    assert browser.run(PRESS.format(1, 1)) == ["1337", "42", "9"]
    assert browser.run(PRESS.format(2, 1)) == ["42", "9", "1337"]
    assert browser.complaints() == []


def test_seeds_stand_where_their_scores_are_and_the_interval_is_students(browser: Browser, tmp_path: Path) -> None:
    values = {1: 1.21, 2: 1.26, 3: 1.22}
    open_page(browser, write_seeds(tmp_path, values), tmp_path)
    half = float(student.ppf(0.975, 2)) * stdev(values.values()) / sqrt(3)
    low, high = fmean(values.values()) - half, fmean(values.values()) + half
    found = marks(browser, "Scores")
    interval = found.pop(f"exp, 95 % interval of the mean: {low:.6f} to {high:.6f} bits per byte")
    at = {seed: centre(found.pop(f"exp, seed {seed}: {bpb:.6f} bits per byte"))[0] for seed, bpb in values.items()}
    assert found == {}
    pixels = (at[2] - at[1]) / (values[2] - values[1])
    assert at[3] - at[1] == pytest.approx(pixels * 0.01, abs=0.5)
    assert interval["left"] - at[1] == pytest.approx(pixels * (low - values[1]), abs=3)
    assert interval["right"] - at[1] == pytest.approx(pixels * (high - values[1]), abs=3)


def test_the_size_plot_has_a_point_per_seed_and_the_limit(browser: Browser, tmp_path: Path) -> None:
    open_page(browser, write_seeds(tmp_path, {1: 1.21, 2: 1.26}), tmp_path)
    found = marks(browser, "Score against size")
    first, second = (found[f"exp, seed {seed}: {bpb:.6f} bits per byte"] for seed, bpb in ((1, 1.21), (2, 1.26)))
    assert centre(first)[1] > centre(second)[1], "lower scores stand lower"
    assert centre(first)[0] < centre(second)[0], "a byte smaller stands further left"
    assert "limit 16,000,000" in texts(browser, "Score against size")


def test_learning_rates_have_a_logarithmic_axis_and_other_numbers_a_linear_one(
    browser: Browser, tmp_path: Path
) -> None:
    rates = write_sweep(tmp_path / "rates", "recipe.optimizer.matrix_lr", [0.04, 0.01, 0.02])
    widths = write_sweep(tmp_path / "widths", "recipe.model.width", [40, 10, 20])
    for runs, key, step, labels in (
        (rates, "recipe.optimizer.matrix_lr", 2, ["0.01", "0.02", "0.04"]),
        (widths, "recipe.model.width", 3, ["10", "20", "40"]),
    ):
        open_page(browser, runs, tmp_path)
        found = marks(browser, f"Swept: {key}")
        high, low, middle = (centre(found[f"exp, seed 1: {bpb} bits per byte"])[0] for bpb in SWEPT)
        assert (high - low) / (middle - low) == pytest.approx(step, rel=0.01)
        assert texts(browser, f"Swept: {key}")[:3] == labels


def test_pointing_at_a_mark_shows_its_values(browser: Browser, tmp_path: Path) -> None:
    open_page(browser, write_seeds(tmp_path, {1: 1.21, 2: 1.26}), tmp_path)
    point_at(browser, "Score against size", "exp, seed 2: 1.260000 bits per byte")
    assert shown_tip(browser) == {"run": "exp", "seed": "seed 2", "bits per byte": "1.260000", "bytes": "15,050,002"}
    browser.point(2, 2)
    assert shown_tip(browser) == {}


def test_pointing_anywhere_in_the_curves_shows_the_nearest_step(browser: Browser, tmp_path: Path) -> None:
    (run,) = write_seeds(tmp_path, {1: 1.21})
    write_metrics(run, [(0, 8.0), (500, 5.0), (1000, 4.0)])
    open_page(browser, [run], tmp_path)
    frame = browser.run(
        FIGURE.format("'Learning curves'") + "figure.scrollIntoView({block: 'center'});"
        "const box = figure.querySelector('svg.marks').getBoundingClientRect(); return [box.left, box.top, box.width]"
    )
    browser.point(frame[0] + 0.55 * frame[2], frame[1] + 60)
    assert shown_tip(browser) == {"curve": "seed 1", "tokens": "500", "training loss, nats per token": "5.0000"}
    opacities = FIGURE.format("'Learning curves'") + (
        "return [...figure.querySelectorAll('.mark-symbol path')].map((point) => point.getAttribute('opacity'))"
    )
    assert browser.run(opacities) == ["0", "1", "0"]


def test_pointing_at_a_name_fades_the_others(browser: Browser, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other-bbbbbbbb" / "seed-1", result_of(1, 1.2, name="other", spec_sha256="b" * 64))
    open_page(browser, [*write_seeds(tmp_path, {1: 1.21}), other], tmp_path)
    opacity = FIGURE.format("'Score against size'") + (
        "const points = marks.filter((mark) => mark.ariaRoleDescription === 'point');"
        "return Object.fromEntries(points.map((mark) => [mark.ariaLabel.split(',')[0], +mark.getAttribute('opacity')]))"
    )
    assert browser.run(opacity) == {"exp": 0.9, "other": 0.9}
    browser.run("document.querySelector('[data-picks=other]').focus()")
    browser.wait("return document.querySelector('path[opacity=\"0.08\"]') !== null")
    assert browser.run(opacity) == {"exp": 0.08, "other": 0.9}


def hostile_runs(folder: Path, name: str) -> list[RunDirectory]:
    """Return a sweep in which a name stands wherever a spec, a log or a folder can put one."""
    runs = write_sweep(folder / "runs", f"recipe.{name}", [name, "other"])
    for run in runs:
        result = run.read_result()
        result |= {
            "name": name,
            "metrics": [result["metrics"][0] | {"stage": name, "protocol": name, "val_bpb": bpb} for bpb in (1.3, 1.2)],
        }
        result["metrics"][1]["stage"] = "roundtrip"
        result["headline"] |= {"stage": name, "protocol": name}
        result["hardware"] = {"devices": [name]}
        run.files.result.write_text(json.dumps(result))
        spec = json.loads(run.files.spec.read_text())
        run.files.spec.write_text(json.dumps(spec | {"question": name}))
        run.files.artifact.mkdir()
        run.files.bytes.write_text(json.dumps({"groups": {name: 5}}))
        write_metrics(run, [(0, 8.0), (500, 5.0), (1000, 4.0)])
    return runs


@pytest.mark.parametrize("name", [EVIL, LONG, UNICODE], ids=["evil", "long", "unicode"])
def test_any_name_is_shown_as_text_and_fits_a_phone(browser: Browser, tmp_path: Path, name: str) -> None:
    browser.requests()
    open_page(browser, hostile_runs(tmp_path, name), tmp_path)
    assert browser.run("return window.evil === undefined")
    assert name in browser.run("return document.body.textContent")
    titles = browser.run("return [...document.querySelectorAll('h3')].map(each => each.textContent)")
    assert titles.count(f"Swept: recipe.{name}") == 1
    assert titles.count("Stages") == titles.count("Bytes") == 2
    first, *_ = marks(browser, f"Swept: recipe.{name}")
    point_at(browser, f"Swept: recipe.{name}", first)
    assert shown_tip(browser)["run"] == name
    assert browser.run("return window.evil === undefined")
    assert browser.run(WIDTH) <= 1280
    browser.resize(390)
    browser.wait(f"{WIDTH} <= 390")
    plots = "return [...document.querySelectorAll('.plot')].map(each => each.scrollWidth - each.clientWidth)"
    browser.wait(plots.replace("return", "return Math.max(...") + ") <= 1")
    assert browser.complaints() == []
    assert [each for each in browser.requests() if not each.startswith("file:")] == []


def test_the_policy_blocks_what_is_injected(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    honest = html_page(group_runs(write_seeds(tmp_path, {1: 1.2})))
    style = "<style>h1 { color: rgb(1, 2, 3) }</style>"
    page.write_text(honest.replace("<h1>", f"{EVIL}-->{style}<h1>", 1), encoding="utf-8")
    browser.open(page)
    assert browser.run("return window.evil === undefined")
    assert browser.run("return getComputedStyle(document.querySelector('h1')).color") != "rgb(1, 2, 3)"
    complaints = browser.complaints()
    for kind in ("script", "style", "img"):
        assert any("Content Security Policy" in each and kind in each for each in complaints), kind


def test_the_page_follows_the_colour_scheme(browser: Browser, tmp_path: Path) -> None:
    """Plots too, without being drawn again."""
    colours = (
        "const style = (query) => getComputedStyle(document.querySelector(query));"
        "const [mark, text] = [style('[aria-roledescription=point]'), style('svg.marks text')];"
        "return [style('body').backgroundColor, mark.fill, text.fill]"
    )
    browser.dark(False)
    open_page(browser, write_seeds(tmp_path, {1: 1.21, 2: 1.26}), tmp_path)
    light = browser.run(colours)
    browser.dark(True)
    dark = browser.run(colours)
    browser.dark(False)
    assert (light[0], dark[0]) == ("rgb(255, 255, 255)", "rgb(13, 17, 23)")
    assert all(contrast(colour, light[0]) > 3 for colour in light[1:])
    assert all(contrast(colour, dark[0]) > 3 for colour in dark[1:])


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2 defines it."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_colour_can_be_told_from_both_backgrounds(browser: Browser, tmp_path: Path) -> None:
    open_page(browser, write_seeds(tmp_path, {1: 1.21}), tmp_path)
    names = [*(f"--c{number}" for number in range(8)), "--better", "--worse", "--limit", "--ink", "--soft", "--link"]
    script = (
        "const probe = document.body.appendChild(document.createElement('i'));"
        "const shown = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color };"
        f"return {json.dumps(names)}.map(shown)"
    )
    for is_dark in (False, True):
        browser.dark(is_dark)
        card = browser.run("return getComputedStyle(document.querySelector('figure')).backgroundColor")
        found: dict[str, Any] = dict(zip(names, browser.run(script), strict=True))
        assert {name for name, colour in found.items() if contrast(colour, card) < 3} == set()
    browser.dark(False)


def test_the_page_prints_to_pdf(browser: Browser, tmp_path: Path) -> None:
    open_page(browser, write_seeds(tmp_path, {1: 1.21, 2: 1.26}), tmp_path)
    assert browser.printed().startswith(b"%PDF")


def test_the_page_of_a_real_run_has_every_plot(browser: Browser, micro_run: RunDirectory, tmp_path: Path) -> None:
    open_page(browser, [micro_run], tmp_path)
    titles = browser.run("return [...document.querySelectorAll('figure h3')].map(title => title.textContent)")
    assert titles == ["Score against size", "Learning curves", "Stages", "Bytes"]
    heights = browser.run("return [...document.querySelectorAll('svg.marks')].map((each) => each.clientHeight)")
    assert min(heights) > 80
    (group,) = group_runs([micro_run])
    parts = group.rows[0].byte_parts()
    widths = {words: box["right"] - box["left"] for words, box in marks(browser, "Bytes").items()}
    seed = group.rows[0].seed
    code, embedding = (widths[f"seed {seed}, {name}: {parts[name]:,} bytes"] for name in ("code", "embedding"))
    assert code / embedding == pytest.approx(parts["code"] / parts["embedding"], rel=0.05)
    assert browser.screenshot().startswith(b"\x89PNG")
    assert browser.complaints() == []
