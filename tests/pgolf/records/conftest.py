"""Public submission folders, rebuilt from the development set beside the checkout, which is no part of the project."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

RECORDS = Path(__file__).parents[4] / "shared" / "records"


@pytest.fixture(scope="session")
def public_record(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that builds the submission folder of a name, once per session."""
    if not RECORDS.is_dir():
        pytest.skip(f"shared development records are not at {RECORDS}")
    root = tmp_path_factory.mktemp("records")
    return cache(lambda name: build_record(RECORDS / name, root / name))


def build_record(source: Path, folder: Path) -> Path:
    """Build a submission folder: logs and submission.json as published, code of the recorded sizes, and a README.

    The development set has no code and no README; code_bytes.json gives the size of each code file, claims.json the
    numbers of the README.
    """
    folder.mkdir()
    for path in source.iterdir():
        if path.name not in ("code_bytes.json", "claims.json"):
            shutil.copyfile(path, folder / path.name)
    for name, size in json.loads((source / "code_bytes.json").read_text()).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"#" * size)
    (folder / "README.md").write_text(readme_text(json.loads((source / "claims.json").read_text())))
    return folder


def readme_text(claims: dict[str, Any]) -> str:
    """Return a README that states the headline, the standard deviation and the score of each seed."""
    lines = ["# A submission", ""]
    if (headline := claims["headline_val_bpb"].get("readme")) is not None:
        lines.append(f"val_bpb: **{headline}**")
    if (std := claims["std"].get("readme")) is not None:
        lines.append(f"std: {std}")
    scores = {seed: facts["val_bpb"] for seed, facts in claims["per_seed"].items() if facts.get("val_bpb")}
    if scores:
        lines += ["", "| seed | val_bpb |", "|---|---|", *(f"| {seed} | {bpb} |" for seed, bpb in scores.items())]
    return "\n".join(lines) + "\n"
