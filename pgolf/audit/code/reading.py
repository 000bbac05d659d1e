"""All suspicions about a folder's code. Nothing of it is executed."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from pgolf.audit.code import adaptation, byte_counts, mixtures, ngram, passes, shipping
from pgolf.audit.code.flow import Flow
from pgolf.audit.code.program import Program
from pgolf.audit.code.source import Sources, read_sources
from pgolf.audit.code.suspicion import Suspicion
from pgolf.scripts.settings import Settings, readme_variables

MOST_README = 1_000_000
CHECKED = (
    "NGRAM-TARGET-KEY", "NGRAM-TARGET-GATE", "BYTE-PPM", "NO-PREQUANT-TTT", "C3-SCORE-FIRST", "C4-SINGLE-PASS", "SLOT",
    "NO-VAL-WARMUP", "NO-RESCORING-CALIBRATION", "NO-VAL-CALIBRATION", "NO-VAL-IN-ARTIFACT", "NO-TRAIN-DATA-AT-EVAL",
    "SPACE-ONCE", "SELF-CONTAINED", "RUNS-IN-FOLDER", "TRAIN-600", "TRAIN-VAL-DISJOINT",
)  # fmt: skip
"""Rules that have a signature."""


def read_code(folder: Path, logged: Mapping[str, str]) -> dict[str, Any]:
    """What a folder's code looks like: suspicions, broken and wrapped files, as plain JSON."""
    sources = read_sources(folder)
    found = list(suspicions(folder, sources, logged)) if sources.files else []
    return {
        "files": [file.name for file in sources.files],
        "wrapped": sources.wrapped,
        "broken": sources.broken,
        "opaque": sources.opaque,
        "suspicions": [each.as_json() for each in found],
    }


def suspicions(folder: Path, sources: Sources, logged: Mapping[str, str]) -> Iterator[Suspicion]:
    """Every suspicion once, by every signature."""
    trees = [file.tree for file in sources.files]
    program = Program(sources.files, Settings(trees, readme_variables(readme_of(folder)), logged))
    validation, training = Flow(program, "validation"), Flow(program, "training")
    present = {part for path in folder.rglob("*") for part in (path.stem, path.name)} if folder.is_dir() else set()
    seen: set[tuple[str, str]] = set()
    for each in chain(
        adaptation.adaptations(program, validation),
        adaptation.closed_form_additions(program),
        passes.second_passes(program),
        passes.rewritten_scores(program),
        passes.adapted_and_scored_again(program, validation),
        passes.fitted_constants(program, validation),
        passes.calibrations(program, validation),
        ngram.target_keys(program),
        mixtures.target_gates(program),
        mixtures.byte_mixtures(program),
        byte_counts.spaces_counted_twice(program),
        shipping.network(program),
        shipping.missing_modules(program, present),
        shipping.trained_on_validation(program),
        shipping.packed_validation(program, validation),
        shipping.training_text_after_packing(program, training),
        shipping.ignored_clocks(program),
        shipping.leaky_exports(program),
    ):
        if (each.rule, each.place) not in seen:
            seen.add((each.rule, each.place))
            yield each


def readme_of(folder: Path) -> str:
    """The README, as far as it is read; empty where there is none."""
    if not (folder / "README.md").is_file():
        return ""
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as file:
            return file.read(MOST_README)
    except OSError:
        return ""
