"""The claims of a README: a headline in its title, its bold line or its final line, and the table of its seeds."""

import re
from pathlib import Path

from pgolf.records.claims import Claims
from pgolf.records.printed import Printed, agree, mean_of
from pgolf.records.text_files import read_text
from trainer.dialects.plain import plain

NAME = re.compile(r"readme(?:\.\w{1,8})?", re.IGNORECASE)
SCORE = re.compile(
    r"(?:val[_ -]?)?bpb\b[^0-9\n|]{0,24}?(\d\.\d{3,10})(?!\d)|(\d\.\d{3,10})[\s*`]{0,4}(?:val[_ -]?)?bpb\b",
    re.IGNORECASE,
)
STD = re.compile(r"(?:\bstd(?:[ _-]?dev)?\b[^0-9\n|]{0,12}|±\s?)(0?\.\d{2,10})", re.IGNORECASE)
# A score after one of these words is not the headline.
OTHER_SCORE = re.compile(
    r"baseline|pre[- _]?quant|\bvs\b|versus|previous|prior|\bsota\b|\bwas\b|\bfrom\b|delta|Δ|improve|beat|before"
    r"|target|threshold|\bpr ?#|\btrain",
    re.IGNORECASE,
)
BOLD = re.compile(r"\*\*|__")
OPENING = re.compile(r"^[\s>*#_`-]*(?:(final)\W*)?(?:mean\W*|\d-seed\W*)*(?:val[_ -]?)?bpb\b", re.IGNORECASE)
STD_OPENING = re.compile(r"^[\s>*_`-]*(?:val_bpb[ _])?std", re.IGNORECASE)
OTHER_COLUMN = re.compile(
    r"pre[- _]?quant|pre[- _]?ttt|baseline|delta|Δ|gain|std|\bvs\b|sota|improve|\bpr ?#?\d|fp32|unquant|merged|prior"
    r"|previous|#\s?\d|\bleader|\btheir",
    re.IGNORECASE,
)
# Of a heading above a table.
OTHER_WORK = re.compile(r"baseline|previous|prior|earlier|\bold\b|ablation|comparison|reference", re.IGNORECASE)
SEED_CELL = re.compile(r"\W*(?:seed\s*)?(\d{1,10})\b(?:\s*\([^)]*\))?\W*", re.IGNORECASE)
# A column called seeds may count them.
MOST_SEEDS = 11
MAX_LINE = 4_000
# A title may name what the work improves on; only words so near before a score are about that score.
NEAR = 16


def find_readme(folder: Path) -> Path | None:
    """Return the README of a folder, whatever its case and suffix; README.md before others."""
    found = sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))
    return min(found, key=lambda path: path.name != "README.md", default=None)


def add_readme(claims: Claims, path: Path) -> None:
    """Add the title, the headline with its deviation, and the seeds of the table where no seed is known yet."""
    try:
        text = read_text(path)
    except (OSError, ValueError):
        return
    lines = [line[:MAX_LINE] for line in (text or "").splitlines()]
    claims.title = next((line.lstrip("# ") for line in lines if line.startswith("#")), "")
    headline = headline_in(lines, path.name)
    if headline is not None and not claims.is_retracted:
        claims.headlines["readme"] = headline
    if (std := std_in(lines, headline, path.name)) is not None:
        claims.stds["readme"] = std
    if not claims.seeds:
        for seed, score in seed_table(lines, path.name, claims.headline):
            claims.seeds.append(seed)
            if score is not None:
                claims.bpb_by_seed[seed] = score


def headline_in(lines: list[str], file: str) -> Printed | None:
    """Return the score of the title, else of a bold line, of a line that begins with `final`, or with val_bpb."""
    ranked = []
    for number, line in enumerate(lines, start=1):
        rank = rank_of(line)
        if rank is not None and (score := score_in(line)) is not None:
            ranked.append((rank, Printed(float(score), len(score) - 2, file, number, "val_bpb")))
    return min(ranked, key=lambda pair: pair[0], default=(0, None))[1]


def rank_of(line: str) -> int | None:
    """Return how far a line is from being the headline, 0 for the title; None if it cannot be."""
    if line.lstrip().startswith("|"):
        return None
    if line.startswith("# "):
        return 0
    opening = OPENING.match(line)
    if opening is not None and opening[1]:
        return 2
    if BOLD.search(line):
        return 1 if opening is not None else 3
    return None if opening is None else 4


def score_in(line: str) -> str | None:
    """Return the first score of a line that no word before it makes another one's."""
    for found in SCORE.finditer(line):
        first = max(0, found.start() - NEAR) if line.startswith("# ") else 0
        if not OTHER_SCORE.search(line[first : found.end()]):
            return found[1] or found[2]
    return None


def std_in(lines: list[str], headline: Printed | None, file: str) -> Printed | None:
    """Return the standard deviation in the headline's line, else in a line that begins with it."""
    first = [] if headline is None or headline.line is None else [(headline.line, lines[headline.line - 1])]
    own = [(number, line) for number, line in enumerate(lines, start=1) if STD_OPENING.match(line)]
    for number, line in (*first, *own):
        if found := STD.search(line):
            return Printed(float(found[1]), len(found[1].partition(".")[2]), file, number, "std")
    return None


def seed_table(lines: list[str], file: str, headline: Printed | None) -> list[tuple[int, Printed | None]]:
    """Return the seeds of the table that the headline is the mean of, each with its score.

    If it is the mean of none, the first table counts, and its scores only if it has a single column of them. A table
    that names a seed twice, or whose heading speaks of other work, says nothing of this one.
    """
    first: list[tuple[int, Printed | None]] = []
    for start, line in enumerate(lines):
        heads = cells_of(line)
        is_head = start == 0 or not lines[start - 1].lstrip().startswith("|")
        if not (is_head and heads and re.search(r"\bseeds?\b", heads[0], re.IGNORECASE)):
            continue
        if OTHER_WORK.search(heading_before(lines, start)):
            continue
        columns = [index for index, head in enumerate(heads) if "bpb" in head.lower() and not OTHER_COLUMN.search(head)]
        for column in columns:
            rows = table_rows(lines, start, heads, file, column)
            scores = [score for _, score in rows if score is not None]
            if scores and headline is not None and agree(headline, mean_of(scores, "mean")):
                return rows
        first = first or table_rows(lines, start, heads, file, columns[0] if len(columns) == 1 else None)
    return first


def heading_before(lines: list[str], place: int) -> str:
    """Return the last heading above a line."""
    return next((line for line in reversed(lines[:place]) if line.startswith("#")), "")


def table_rows(
    lines: list[str], start: int, heads: list[str], file: str, column: int | None
) -> list[tuple[int, Printed | None]]:
    """Return the seed of each row, and the score in a column; none if a seed is repeated, or the seeds are counts."""
    rows: dict[int, Printed | None] = {}
    for number, line in enumerate(lines[start + 1 :], start=start + 2):
        cells = cells_of(line)
        if not cells:
            break
        named = SEED_CELL.fullmatch(cells[0])
        if named is None:
            continue
        seed = int(named[1])
        if seed in rows:
            return []
        cell = cells[column] if column is not None and column < len(cells) else ""
        score = re.search(r"\b[0-9]\.\d{3,10}\b", cell)
        rows[seed] = None
        if score is not None and column is not None:
            rows[seed] = Printed(float(score[0]), len(score[0]) - 2, file, number, plain(heads[column]))
    is_count = re.search(r"\bseeds\b", heads[0], re.IGNORECASE) is not None and all(seed < MOST_SEEDS for seed in rows)
    return [] if is_count else list(rows.items())


def cells_of(line: str) -> list[str]:
    """Return the cells of a line of a table; none if it is not one."""
    line = line.strip()
    return [cell.strip(" *`_") for cell in line.strip("|").split("|")] if line.startswith("|") else []
