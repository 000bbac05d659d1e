"""The report as one self-contained HTML page: the table, and the learning curves of all seeds."""

from collections.abc import Sequence
from html import escape

from pgolf.report.rows import Group
from pgolf.report.tables import COLUMNS, SUMMARY, all_rows

WIDTH, HEIGHT, MARGIN = 860, 320, 46
COLOURS = ("#0969da", "#bf3989", "#1a7f37", "#9a6700", "#8250df", "#cf222e")
TICKS = 5

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: left; border-bottom: 1px solid #8884; }
tr.mean { font-weight: 600; }
tr.bad { color: #cf222e; }
svg { width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
.axis { stroke: currentColor; opacity: .25; }
"""


def html_page(groups: Sequence[Group]) -> str:
    """The page. No script, no network; every name from a spec is escaped."""
    curves = "\n".join(f"<h2>{escape(group.name)}</h2>\n{problem_list(group)}\n{curve_plot(group)}" for group in groups)
    return (
        "<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>pgolf report</title>\n"
        f"<style>{STYLE}</style>\n<h1>pgolf report</h1>\n{table(groups)}\n{curves}\n</html>\n"
    )


def table(groups: Sequence[Group]) -> str:
    """The rows of the terminal's table."""
    head = "".join(f"<th>{escape(column)}</th>" for column in COLUMNS)
    return f"<table><tr>{head}</tr>\n{''.join(table_row(cells) for cells in all_rows(groups))}</table>"


def table_row(cells: list[str]) -> str:
    is_bad = cells[-1] not in ("fits", "all fit")
    classes = " ".join(name for name, holds in (("mean", cells[4] == SUMMARY), ("bad", is_bad)) if holds)
    return f"<tr class='{classes}'>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>\n"


def problem_list(group: Group) -> str:
    """What a reader of the mean must know."""
    items = (f"<li>{escape(finding.rule)}: {escape(finding.message)}</li>" for finding in group.problems())
    return f"<ul>{''.join(items)}</ul>"


def curve_plot(group: Group) -> str:
    """Training loss against tokens, or steps, one line a seed, as SVG."""
    curves = {row.seed: row.curve() for row in group.rows}
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return "<p>no metrics were kept</p>"
    frame, unit = Frame(points), "steps" if group.as_json()["source"] == "record" else "tokens"
    lines = [frame.line(curve, COLOURS[index % len(COLOURS)]) for index, curve in enumerate(curves.values())]
    legend = [frame.legend(index, seed) for index, seed in enumerate(curves)]
    title = f"<title>training loss of {escape(group.name)}, nats a token</title>"
    return f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>{title}{frame.axes(unit)}{''.join(lines + legend)}</svg>"


class Frame:
    """The plot's coordinates."""

    def __init__(self, points: list[tuple[float, float]]) -> None:
        losses = [loss for _, loss in points]
        self.last_token = max(at for at, _ in points)
        self.low: float = min(losses)
        self.high: float = max(losses)

    def x(self, tokens: float) -> float:
        """Across: tokens."""
        return MARGIN + (WIDTH - 2 * MARGIN) * tokens / max(self.last_token, 1)

    def y(self, loss: float) -> float:
        """Up: nats a token."""
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (loss - self.low) / max(self.high - self.low, 1e-9)

    def axes(self, unit: str) -> str:
        """Horizontal lines with their losses, and below them tokens, or steps of a log that has no tokens."""
        parts = []
        for tick in range(TICKS):
            loss = self.low + (self.high - self.low) * tick / (TICKS - 1)
            tokens, height = self.last_token * tick / (TICKS - 1), self.y(loss)
            parts.append(
                f"<line class='axis' x1='{MARGIN}' x2='{WIDTH - MARGIN}' y1='{height:.1f}' y2='{height:.1f}'/>"
            )
            parts.append(f"<text x='4' y='{height + 4:.1f}'>{loss:.2f}</text>")
            parts.append(f"<text x='{self.x(tokens):.1f}' y='{HEIGHT - 20}' text-anchor='middle'>{tokens:,.0f}</text>")
        parts.append(f"<text x='4' y='{MARGIN - 24}'>training loss, nats a token</text>")
        parts.append(f"<text x='{WIDTH / 2}' y='{HEIGHT - 4}' text-anchor='middle'>{unit}</text>")
        return "".join(parts)

    def line(self, curve: list[tuple[float, float]], colour: str) -> str:
        points = " ".join(f"{self.x(at):.1f},{self.y(loss):.1f}" for at, loss in curve)
        return f"<polyline fill='none' stroke='{colour}' stroke-width='1.5' points='{points}'/>"

    def legend(self, index: int, seed: int) -> str:
        colour = COLOURS[index % len(COLOURS)]
        return f"<text x='{WIDTH - MARGIN - 90}' y='{MARGIN + 16 * index}' style='fill:{colour}'>seed {seed}</text>"
