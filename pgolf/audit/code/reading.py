"""All suspicions about a folder's code, which is parsed and never executed."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from pgolf.audit.code import adaptation, byte_counts, mixtures, ngram, passes, resources
from pgolf.audit.code.flow import Flow
from pgolf.audit.code.program import Program
from pgolf.audit.code.source import Sources, read_sources
from pgolf.audit.code.suspicion import Suspicion
from pgolf.records.readme import find_readme
from pgolf.scripts.settings import Settings, readme_variables

MAX_README = 1_000_000
SIGNATURE_RULES = (
    "NGRAM-TARGET-KEY", "NGRAM-TARGET-GATE", "BYTE-PPM", "NO-PREQUANT-TTT", "C3-SCORE-FIRST", "C4-SINGLE-PASS", "SLOT",
    "NO-VAL-WARMUP", "NO-RESCORING-CALIBRATION", "NO-VAL-CALIBRATION", "NO-VAL-IN-ARTIFACT", "NO-TRAIN-DATA-AT-EVAL",
    "SPACE-ONCE", "SELF-CONTAINED", "RUNS-IN-FOLDER", "TRAIN-600", "TRAIN-VAL-DISJOINT",
)  # fmt: skip
"""Rules that have a signature."""


def read_code(folder: Path, logged: Mapping[str, str]) -> dict[str, Any]:
    """Return the suspicions about a folder's code and the files that could not be read, as plain JSON."""
    sources = read_sources(folder)
    found = list(suspicions(folder, sources, logged)) if sources.files else []
    return {
        "files": [file.name for file in sources.files],
        "wrapped": sources.wrapped,
        "broken": sources.broken,
        "too_large": sources.too_large,
        "opaque": sources.opaque,
        "suspicions": [each.as_json() for each in found],
    }


def suspicions(folder: Path, sources: Sources, logged: Mapping[str, str]) -> Iterator[Suspicion]:
    """Yield the suspicions of all signatures, once for each rule and line."""
    trees = [file.tree for file in sources.files]
    program = Program(sources.files, Settings(trees, readme_variables(readme_of(folder)), logged))
    validation, training = Flow(program, "validation"), Flow(program, "training")
    present = {part for path in folder.rglob("*") for part in (path.stem, path.name)} if folder.is_dir() else set()
    seen: set[tuple[str, str]] = set()
    for each in chain(
        adaptation.find_learning(program, validation),
        adaptation.find_closed_form_additions(program),
        passes.find_second_passes(program),
        passes.find_rewritten_scores(program),
        passes.find_rescoring_after_learning(program, validation),
        passes.find_fitted_constants(program, validation),
        passes.find_calibrations(program, validation),
        ngram.find_target_keys(program),
        mixtures.find_target_gates(program),
        mixtures.find_byte_mixtures(program),
        byte_counts.find_spaces_counted_twice(program),
        resources.find_network_use(program),
        resources.find_missing_modules(program, present),
        resources.find_training_on_validation(program),
        resources.find_packed_validation(program, validation),
        resources.find_late_training_reads(program, training),
        resources.find_ignored_clocks(program),
        resources.find_leaky_exports(program),
    ):
        if (each.rule, each.place) not in seen:
            seen.add((each.rule, each.place))
            yield each


def readme_of(folder: Path) -> str:
    """Return the start of the README, whatever its case; empty where there is none."""
    readme = find_readme(folder) if folder.is_dir() else None
    if readme is None or not readme.is_file():
        return ""
    try:
        with readme.open(encoding="utf-8", errors="replace") as file:
            return file.read(MAX_README)
    except OSError:
        return ""
