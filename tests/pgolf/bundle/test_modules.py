"""The trainer modules that a recipe reaches, compared with what a run imports."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from pgolf.bundle import modules
from pgolf.bundle.modules import SWITCHES, TRAINER, components, is_switch, module_file, trainer_code
from pgolf.bundle.specialize import dataclasses_of
from pgolf.rundir import RunDirectory
from pgolf.specs.loading import load_spec
from pgolf.specs.shipped import shipped_specs
from tests.pgolf.data.builders import prepared, sentences
from trainer.recipe.averaging import NoAveraging
from trainer.recipe.codec import Zlib
from trainer.recipe.recipe import Recipe

MICRO = load_spec("quickstart", ["micro"]).spec.recipe


def with_codec(kind: str) -> Recipe:
    return load_spec("quickstart", ["micro"], [f"recipe.codec={{kind: {kind}}}"]).spec.recipe


def test_each_codec_reaches_its_own_module_only() -> None:
    zlib, brotli = set(trainer_code(with_codec("zlib")).modules), set(trainer_code(with_codec("brotli")).modules)
    assert zlib - brotli == {"trainer.codec.zlib"}
    assert brotli - zlib == {"trainer.codec.brotli"}


def test_each_average_reaches_its_own_module_only() -> None:
    ema = set(trainer_code(MICRO).modules)
    last = set(trainer_code(replace(MICRO, averaging=NoAveraging(kind="none"))).modules)
    assert "trainer.averaging.ema" in ema - last
    assert "trainer.averaging.ema" not in last
    assert "trainer.averaging.last" in last


def test_document_attention_is_reached_only_if_documents_are_kept_apart() -> None:
    packing = load_spec("quickstart", ["micro"], ["recipe.schedule.loader={kind: document_packing}"]).spec.recipe
    apart, across = set(trainer_code(packing).modules), set(trainer_code(MICRO).modules)
    assert "trainer.model.segment_attention" in apart
    assert "trainer.model.segment_attention" not in across


@pytest.mark.parametrize("name", sorted(shipped_specs()))
def test_every_reached_module_is_a_file_and_the_entry_points_are_among_them(name: str) -> None:
    code = trainer_code(load_spec(name).spec.recipe)
    assert {"trainer.command", "trainer.train", "trainer.score", "trainer.recipe.decode"} <= set(code.modules)
    assert list(code.modules) == sorted(set(code.modules))
    assert all(module_file(module).is_file() for module in code.modules)


def imported_by_a_run(root: Path) -> set[str]:
    """Return the trainer modules that training and scoring import, by the interpreter's import log."""
    command = [sys.executable, "-P", "-m", "trainer", str(root)]
    environment = os.environ | {"PYTHONPROFILEIMPORTTIME": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=TRAINER.parent, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    named = set(re.findall(r"^import time:.*\| +(trainer\.\S+)$", ended.stderr, re.MULTILINE))
    return {name for name in named if module_file(name).is_file()}


@pytest.mark.slow
def test_everything_that_a_run_imports_is_reached(micro_run: RunDirectory, tmp_path: Path) -> None:
    root = Path(shutil.copytree(micro_run.root, tmp_path / "micro-0" / "seed-1337"))
    (root / "result.json").unlink()
    shutil.rmtree(root / "checkpoints")
    prepared(tmp_path / "data", sentences(80), pieces=384)
    run = micro_run.read_run() | {"data_folder": str(tmp_path / "data")}
    (root / "run.json").write_text(json.dumps(run))
    imported = imported_by_a_run(root)
    assert {"trainer.train", "trainer.score", "trainer.quantizer.rtn", "trainer.averaging.ema"} <= imported
    reached = set(trainer_code(MICRO).modules)
    assert imported - {"trainer.script.job"} <= reached  # which distinguishes a script's run from a recipe's
    # Reached but not imported is only the module of another command of the trainer.
    assert reached - imported == {"trainer.timing"}


def test_components_are_all_dataclasses_inside_a_recipe() -> None:
    names = {type(component).__name__ for component in components(MICRO)}
    assert {"Recipe", "Gpt", "Rope", "Rtn", "DeviationClip", "Brotli", "Momentum", "Chunked"} <= names
    assert not {"Zlib", "Sliding", "PercentileClip", "Shards"} & names


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the trainer's source that may be changed."""
    folder = Path(shutil.copytree(TRAINER, tmp_path / "trainer", ignore=shutil.ignore_patterns("__pycache__")))
    monkeypatch.setattr(modules, "TRAINER", folder)
    return folder


def test_the_hash_is_that_of_names_lengths_and_contents(copy: Path) -> None:
    code = trainer_code(MICRO)
    digest = hashlib.sha256()
    for name in code.modules:
        content = copy.joinpath(*name.split(".")[1:]).with_suffix(".py").read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    assert code.sha256 == digest.hexdigest()


def test_the_hash_does_not_depend_on_where_the_source_lies(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = trainer_code(MICRO)
    monkeypatch.setattr(modules, "TRAINER", TRAINER)
    assert trainer_code(MICRO) == here


def test_the_hash_changes_with_a_reached_module_and_only_then(copy: Path) -> None:
    before, before_zlib = trainer_code(MICRO), trainer_code(replace(MICRO, codec=Zlib(kind="zlib")))
    with (copy / "codec" / "brotli.py").open("a") as file:
        file.write("# changed\n")
    after, after_zlib = trainer_code(MICRO), trainer_code(replace(MICRO, codec=Zlib(kind="zlib")))
    assert after.sha256 != before.sha256
    assert after_zlib == before_zlib


def test_a_new_import_is_followed(copy: Path) -> None:
    (copy / "codec" / "extra.py").write_text("from trainer.codec.zlib import ZlibCompressor\n")
    with (copy / "codec" / "brotli.py").open("a") as file:
        file.write("from trainer.codec.extra import ZlibCompressor\n")
    assert set(trainer_code(MICRO).modules) >= {"trainer.codec.extra", "trainer.codec.zlib"}


def test_two_seeds_and_names_have_one_code() -> None:
    other = load_spec("quickstart", ["micro"], ["name=other", "seeds=[7]", "recipe.model.width=64"]).spec.recipe
    assert trainer_code(other) == trainer_code(MICRO)


QUIRKS = {
    "published_stale_gradients": "trainer.optimizer.published_stale_gradients",
    "published_first": "trainer.data.published_first_sequences",
    "published_inverse": "trainer.quantizer.published_inverse",
    "published_grid": "trainer.quantizer.published_training_grid",
    "published_truncated": "trainer.recipe.published_rope",
    "published_dead_rows": "trainer.recipe.published_dead_rows",
}


@pytest.mark.parametrize("name", sorted(shipped_specs()))
def test_a_published_quirk_is_only_in_the_code_of_recipes_that_name_it(name: str) -> None:
    recipe = load_spec(name).spec.recipe
    text = repr(recipe)
    named = {module for quirk, module in QUIRKS.items() if re.search(rf"{quirk}=(?!False|None)", text)}
    assert {m for m in trainer_code(recipe).modules if m.rpartition(".")[2].startswith("published_")} == named
    if name.startswith("pr1579_crawler_d736"):
        assert bool(named) == (name == "pr1579_crawler_d736"), "the corrected one has no quirk"


def test_every_switch_is_off_by_default_in_the_component_that_has_it() -> None:
    """Code behind a switch is dropped where it is off, so nothing may have such a name and another meaning."""
    named = [(f.name, f.default) for kind in dataclasses_of(Recipe, set()) for f in fields(kind) if is_switch(f.name)]
    assert {name for name, _ in named} >= SWITCHES
    assert [name for name, default in named if default] == []
