"""Scripts and logs that were drafted wrongly, small, and every script of the shared folders."""

import base64
import lzma
import re
from pathlib import Path

import pytest

from pgolf.drafting.draft import draft_of, hyperparameters, logged_runs
from pgolf.drafting.source import read_script
from pgolf.drafting.writing import recipe_draft, script_draft
from pgolf.errors import SpecError
from pgolf.scripts.program import ScriptProgram, read_program
from pgolf.specs.loading import load_spec
from tests.conftest import SHARED_DATA, run_pgolf

SHARED = SHARED_DATA.parent
SCRIPTS = sorted(path for folder in ("cases", "recipes", "records") for path in (SHARED / folder).rglob("*.py"))
WITHOUT_SEED = {
    "no seed": "import os\nsteps = int(os.environ.get('ITERATIONS', 100))\n",
    "a constant": "import os\nSEED = 1337\nsteps = int(os.environ.get('ITERATIONS', 100))\n",
    "a mapping": "import os\nstats = {'SEED': 1}\nprint(stats.get('SEED', 0))\n",
    "two seeds": "import os\na, b = os.environ.get('DATA_SEED', 1), os.environ.get('INIT_SEED', 1)\n",
    "a word with seed in it": "import os\nlinseed = os.environ.get('LINSEED', 1)\n",
    "no variable": "print(1)\n",
}
WITH_SEED = {
    "a helper": "import os\ndef get(name, x=None):\n    return os.environ.get(name, x)\nseed = get('SEED', '1')\n",
    "a subscript": "from os import environ as E\nseed = int(E['SEED'])\n",
    "the whole environment": "import os\nsettings = Config(**os.environ)\n",
}


def written(folder: Path, text: str) -> tuple[Path, Path]:
    """Return a script with this text, and the draft of a spec that runs it."""
    script, spec = folder / "train.py", folder / "draft.yaml"
    script.write_text(text)
    spec.write_text(script_draft(read_program(script, []), script, spec, "draft"))
    return script, spec


@pytest.mark.parametrize("text", WITHOUT_SEED.values(), ids=WITHOUT_SEED.keys())
def test_a_script_without_a_seed_is_run_once(text: str, tmp_path: Path) -> None:
    _, spec = written(tmp_path, text)
    assert load_spec(str(spec)).spec.program.seed_variable is None
    assert f"`pgolf run {spec}` runs it" in spec.read_text()
    assert "it reads no variable SEED; name the variable of its seed, if it has one" in spec.read_text()
    assert "--n 3" not in spec.read_text()


def test_the_only_variable_with_the_word_seed_is_the_seed(tmp_path: Path) -> None:
    _, spec = written(tmp_path, "import os\nseed = int(os.environ.get('TRAIN_SEED', 1337))\n")
    assert load_spec(str(spec)).spec.program.seed_variable == "TRAIN_SEED"
    assert f"`pgolf seeds {spec} --n 3` runs three seeds" in spec.read_text()
    assert "#   TRAIN_SEED" not in spec.read_text()


LOG = "model_params:17\nfinal_int8_zlib_roundtrip_exact val_loss:2.05 val_bpb:1.2140\n"


@pytest.mark.parametrize(
    ("log", "note"),
    [
        (LOG, None),
        (LOG.partition("\n")[2], "the log prints no number of parameters"),
        (f"seed:1\n{LOG}seed:2\n{LOG}", "of the log's 2 runs the last was taken, a.log:4"),
    ],
)
def test_what_a_log_leaves_open_is_said(log: str, note: str | None, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(log)
    program = ScriptProgram({"train.py": b"import os\nMATRIX_LR = os.environ.get('MATRIX_LR', 0.1)\n"})
    draft = draft_of(program, tmp_path / "a.log", {})
    assert draft.log_note == note
    assert "--log" not in draft.verdict
    assert note is None or draft.verdict.endswith(note)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "found no statement that does anything"),
        ('{"cells": [], "nbformat": 4, "metadata": {"a": null, "b": [-1.5, true]}}\n', "found no statement that does"),
        ('"""A title."""\n1 + 2\npass\n', "found no statement that does anything"),
        ('#!/usr/bin/env bash\nexec torchrun "$@"\n', "1:1: found `#!/usr/bin/env bash`, expected a Python script"),
    ],
)
def test_a_file_that_is_no_program_is_refused(text: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(text)
    with pytest.raises(SpecError, match=re.escape(found)):
        read_script(tmp_path / "train.py")


@pytest.mark.parametrize("text", WITH_SEED.values(), ids=WITH_SEED.keys())
def test_a_script_with_a_seed_is_run_with_three(text: str, tmp_path: Path) -> None:
    _, spec = written(tmp_path, text)
    assert load_spec(str(spec)).spec.program.seed_variable == "SEED"
    assert f"`pgolf seeds {spec} --n 3` runs three seeds" in spec.read_text()


@pytest.mark.parametrize(
    "line",
    [
        "stats = {'num_tensors': 1}\nprint(stats.get('num_tensors', 0))", "{}.get('LR')", "stats = {}\nstats.get('LR')",
        "import json\nstats = dict(A=1)\nstats.pop('LR', 1)", "sizes = {n: 1 for n in 'ab'}\nsizes.get('LR', 0)",
        "class A:\n    def __init__(self):\n        self.seen = {}\n    def f(self):\n        self.seen.get('LR')",
    ],
)  # fmt: skip
def test_the_get_of_a_dictionary_reads_no_variable(line: str) -> None:
    """Even where a function of the same name reads the environment."""
    text = WITH_SEED["a helper"] + line + "\n"
    assert set(ScriptProgram({"train.py": text.encode()}).reads.names) == {"SEED"}


def test_same_quotes_in_fields_of_f_strings_are_read_also_when_wrapped() -> None:
    text = (
        'import os\nh = {"dim": int(os.environ.get("MODEL_DIM", 640))}\nprint(f"{h["dim"]:>{8}} {f"{h["dim"]!r}"}")\n'
    )
    packed = base64.b85encode(lzma.compress(text.encode())).decode()
    stub = f'import lzma as L,base64 as B\nexec(L.decompress(B.b85decode("{packed}")))\n'
    for script in (text, stub):
        draft = draft_of(ScriptProgram({"train.py": script.encode()}), None, {})
        assert draft.overrides["recipe.model.width"][0] == 640


DUMPED = """\
class H:
    num_layers = int(os.environ.get("NUM_LAYERS", 3))
    model_dim: int = 7
def f(
    num_layers: int,
    num_heads: int = 4,
    mlp_mult: float,
    matrix_lr=0.5,
):
  num_kv_heads: {h.num_kv_heads}
Hyperparameters:
  num_layers: 10
  ttt_lora_rank: 80
  lqer_rank: 4
  ttt_update_every: 7
final_int8_zlib_roundtrip_exact val_loss:2.05 val_bpb:1.2140
"""
NAMES = ("NUM_LAYERS", "MODEL_DIM", "NUM_HEADS", "MLP_MULT", "MATRIX_LR", "NUM_KV_HEADS", "TTT_LORA_RANK", "LQER_RANK",
         "TTT_UPDATE_EVERY")  # fmt: skip


def test_a_log_gives_values_only_where_it_prints_them(tmp_path: Path) -> None:
    """Ranks and updates are settings; only whole words are private names."""
    (tmp_path / "train.log").write_text(DUMPED)
    text = "import os\n" + "".join(f"{name} = float(os.environ.get('{name}', 2))\n" for name in NAMES)
    program = ScriptProgram({"train.py": text.encode()})
    values = hyperparameters(program, logged_runs(tmp_path / "train.log")[-1], {})
    printed = {"NUM_LAYERS": "10", "TTT_LORA_RANK": "80", "LQER_RANK": "4", "TTT_UPDATE_EVERY": "7"}
    assert {name: value.text for name, value in values.items()} == dict.fromkeys(NAMES, "2") | printed


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = 1\nprint 'a'\n", "2:1: found the print statement of Python 2, expected a call"),
        ("def f():\n    return <> 1\n", "2:12: found `<>`, expected Python 3"),
        ("x = (1,\n", "1:1: found `x = (1,`, expected Python 3"),
    ],
)
def test_a_refusal_says_where_what_was_found_and_what_to_do(text: str, found: str, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_script(script)
    assert str(caught.value) == f"{script}:{found}; give a file that Python 3 can run"


@pytest.mark.slow
@pytest.mark.skipif(not SCRIPTS, reason=f"there are no scripts in {SHARED}")
def test_pgolf_loads_what_it_drafts_of_every_shared_script(tmp_path: Path) -> None:
    refused = []
    for number, script in enumerate(SCRIPTS):
        spec = tmp_path / f"{number}.yaml"
        try:
            program = read_script(script)
        except SpecError:
            continue  # it is no Python, or a bomb
        spec.write_text(script_draft(program, script, spec, "draft"))
        try:
            load_spec(str(spec))
            spec.write_text(recipe_draft(draft_of(program, None, {}), script.name, spec.name, "draft"))
            load_spec(str(spec))
        except SpecError as error:
            if "no recipe can be drafted" not in str(error):
                refused.append(f"{script}: {error}")
    assert refused == []


@pytest.mark.slow
def test_a_draft_with_every_component_is_one_that_preflight_reads(tmp_path: Path) -> None:
    from tests.pgolf.drafting.test_components import FRONTIER, MODEL

    on = {"SPARSE_ATTN_GATE_ENABLED": 1, "SMEAR_GATE_ENABLED": 1, "LQER_ENABLED": 1, "MATRIX_CLIP_SIGMAS": 12.85,
          "MLP_CLIP_SIGMAS": 11.5, "EMBED_BITS": 7, "GPTQ_CALIBRATION_BATCHES": 16, "TTT_ENABLED": 1,
          "TTT_LORA_RANK": 80, "EMA_DECAY": 0.9965, "PARALLEL_START_LAYER": 8}  # fmt: skip
    reads = [f"os.environ.get({name!r}, {value!r})" for name, value in (FRONTIER | on).items()]
    (tmp_path / "train.py").write_text("\n".join(["import os", *reads]) + MODEL)
    assert run_pgolf(tmp_path, "import", "train.py", "--out", "draft.yaml").code == 0
    recipe = load_spec(str(tmp_path / "draft.yaml")).spec.recipe
    assert recipe.quantizer.clip.k == {"default": 12.85, "flat.*.mlp": 11.5}  # type: ignore[union-attr]
    assert recipe.evaluation.rank == 80  # type: ignore[union-attr]
    assert run_pgolf(tmp_path, "spec", "show", "draft.yaml").code == 0
