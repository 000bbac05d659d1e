"""Drafts from scripts, compared with parameter counts of public logs and sums by hand."""

from pathlib import Path

import pytest

from pgolf.drafting.draft import draft_of, hyperparameters, logged_runs
from pgolf.drafting.features import named_features
from pgolf.drafting.writing import script_draft
from pgolf.errors import SpecError
from pgolf.scripts.methods import in_words
from pgolf.scripts.program import ScriptProgram, read_program
from pgolf.specs.loading import load_spec
from tests.conftest import SHARED_DATA, Ended, run_pgolf

VARIABLES = Path(__file__).parent.parent.parent / "scripts" / "baseline_variables.py"
RECORD = SHARED_DATA.parent / "records" / "549-leakyrelu-legal-ttt" / "train_seed1337.log"
# Parameters of a baseline block: q and out, k and v, the MLP's two matrices, gains of q, two scales, two mixes.
BLOCK = 2 * 512 * 512 + 2 * 512 * 256 + 2 * 512 * 1024 + 8 + 2 * 512 + 2 * 512


def test_the_challenges_own_variables_give_the_baseline() -> None:
    draft = draft_of(read_program(VARIABLES, []), None, {})
    assert draft.base == "baseline"
    assert draft.overrides == {}
    assert draft.parameters == 17_059_912 == 9 * BLOCK + 1024 * 512 + 4 * 512
    assert {value.name for value, _ in draft.unmapped} == {
        "ITERATIONS", "WARMDOWN_ITERS", "MAX_WALLCLOCK_SECONDS", "CONTROL_TENSOR_NAME_PATTERNS"
    }  # fmt: skip
    assert "not compared" in draft.verdict


def test_given_values_change_the_draft_and_its_count() -> None:
    draft = draft_of(read_program(VARIABLES, []), None, {"NUM_LAYERS": "11", "MATRIX_LR": "0.03"})
    assert {key: value for key, (value, _) in draft.overrides.items()} == {
        "recipe.model.topology.layers": 11, "recipe.optimizer.matrix_lr": 0.03
    }  # fmt: skip
    assert draft.parameters == 11 * BLOCK + 1024 * 512 + 5 * 512


def script_of(**variables: object) -> ScriptProgram:
    """Return a script that reads these variables."""
    lines = ["import os", *(f"os.environ.get({name!r}, {value!r})" for name, value in variables.items())]
    return ScriptProgram({"train_gpt.py": "\n".join(lines).encode()})


OF_549 = {
    "VOCAB_SIZE": 1024, "MODEL_DIM": 512, "NUM_LAYERS": 11, "NUM_HEADS": 8, "NUM_KV_HEADS": 4, "MLP_MULT": 3.0,
    "XSA_LAST_N": 4, "ROPE_DIMS": 16, "BIGRAM_VOCAB_SIZE": 1536, "BIGRAM_DIM": 128, "VE_DIM": 128, "MATRIX_LR": 0.025,
    "TIED_EMBED_LR": 0.035, "SCALAR_LR": 0.025, "TRAIN_BATCH_TOKENS": 786432, "TRAIN_SEQ_LEN": 2048, "TTT_LR": 0.002,
}  # fmt: skip


@pytest.mark.skipif(not RECORD.exists(), reason=f"public records are not at {RECORD.parent.parent}")
def test_the_count_of_a_published_script_equals_that_of_its_log() -> None:
    draft = draft_of(script_of(**OF_549), RECORD, {})
    assert draft.base == "pr549_leaky_ttt"
    assert (draft.parameters, draft.logged_parameters) == (26_928_220, 26_928_220)
    assert draft.verdict == "the draft and the log both have 26,928,220 parameters"
    other = draft_of(script_of(**OF_549 | {"MODEL_DIM": 480}), RECORD, {})
    assert other.parameters is not None
    assert other.parameters < 26_928_220
    assert "the part that differs is not known" in other.verdict


def test_the_last_layers_are_counted_in_the_draft_and_not_in_its_base() -> None:
    draft = draft_of(script_of(NUM_LAYERS=12, XSA_LAST_N=2, MLP_MULT=3.0, BIGRAM_VOCAB_SIZE=1536), None, {})
    value, _ = draft.overrides["recipe.model.attention.exclusive"]
    assert value == ["flat.10", "flat.11"]


def test_a_hidden_width_becomes_a_multiple_of_the_drafts_width() -> None:
    draft = draft_of(script_of(NUM_LAYERS=9, MODEL_DIM=640, MLP_HIDDEN=1920), None, {})
    value, _ = draft.overrides["recipe.model.mlp.ratio"]
    assert value == 3.0


LOG = """\
Hyperparameters:
  num_layers: 10
  matrix_lr: 0.03
final_int8_zlib_roundtrip_exact val_loss:2.00000000 val_bpb:1.20000000
"""


def test_given_values_override_those_of_a_log_and_these_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text(LOG)
    draft = draft_of(read_program(VARIABLES, []), tmp_path / "run.log", {"NUM_LAYERS": "11"})
    assert {key: (value, source.place) for key, (value, source) in draft.overrides.items()} == {
        "recipe.model.topology.layers": (11, "given"), "recipe.optimizer.matrix_lr": (0.03, "run.log")
    }  # fmt: skip


def test_an_invalid_override_becomes_unmapped_with_the_reason() -> None:
    draft = draft_of(script_of(NUM_LAYERS=9, NUM_HEADS=7), None, {})
    assert draft.parameters is not None
    assert "recipe.model.attention.heads" not in draft.overrides
    (reason,) = (reason for value, reason in draft.unmapped if value.name == "NUM_HEADS")
    assert "heads" in reason


@pytest.mark.parametrize(
    ("variables", "unmapped"),
    [
        ({"NUM_HEADS": 7, "NUM_LAYERS": 10}, ["NUM_HEADS"]),
        ({"NUM_LAYERS": 9, "MODEL_DIM": 500, "NUM_KV_HEADS": 3}, ["NUM_KV_HEADS", "MODEL_DIM"]),
    ],
)
def test_only_the_overrides_that_make_the_draft_invalid_are_unmapped(
    variables: dict[str, int], unmapped: list[str]
) -> None:
    draft = draft_of(script_of(**variables), None, {})
    assert sorted(value.name for value, _ in draft.unmapped) == sorted(unmapped)
    assert draft.parameters is not None


def test_an_untied_embedding_has_a_head() -> None:
    draft = draft_of(script_of(NUM_LAYERS=9, TIE_EMBEDDINGS=0), None, {})
    assert draft.overrides["recipe.model.embedding.kind"][0] == "untied"
    assert draft.parameters == 9 * BLOCK + 2 * 1024 * 512 + 4 * 512


def test_a_script_without_known_variables_is_refused() -> None:
    with pytest.raises(SpecError, match="--as script"):
        draft_of(script_of(DEPTH=3), None, {})


def test_features_are_found_in_names_and_not_in_comments() -> None:
    text = "# gptq and ttt\nclass BigramHash: pass\ndef ema_update(lawa): pass\nschema = 'lora'\n"
    assert named_features(ScriptProgram({"a.py": text.encode()})) == {"bigram table", "EMA"}
    assert in_words("ValueEmbedding_2") == "value embedding 2"


def run_import(folder: Path, *arguments: str) -> Ended:
    return run_pgolf(folder, "import", str(VARIABLES), *arguments)


def test_the_draft_is_a_valid_spec_with_the_mapped_values(tmp_path: Path) -> None:
    ended = run_import(tmp_path, "--env", "NUM_LAYERS=11", "--out", "draft.yaml")
    assert ended.code == 0, ended.err
    assert "not mapped: ITERATIONS=20000 (baseline_variables.py:" in ended.out
    recipe = load_spec(str(tmp_path / "draft.yaml")).spec.recipe
    assert recipe.model.topology.layers == 11  # type: ignore[union-attr]
    assert "layers: 11  # NUM_LAYERS, given" in (tmp_path / "draft.yaml").read_text()
    again = run_import(tmp_path, "--out", "draft.yaml")
    assert (again.code, "already there" in again.err) == (2, True)


def test_a_misspelt_variable_is_refused(tmp_path: Path) -> None:
    ended = run_import(tmp_path, "--env", "NUM_LAYER=11")
    assert ended.code == 2
    assert "of a variable that baseline_variables.py reads" in " ".join(ended.err.split())


def test_the_script_itself_can_be_drafted(tmp_path: Path) -> None:
    ended = run_import(tmp_path, "--as", "script", "--out", "own.yaml")
    assert ended.code == 0, ended.err
    found = run_pgolf(tmp_path, "preflight", "own.yaml", "--json").json
    assert found["variables"]["unset"]["NUM_LAYERS"]["default"] == "9"


def test_code_dumped_into_a_log_gives_no_values(tmp_path: Path) -> None:
    """`num_layers: int,` is a line of a signature; a value that the log prints still counts."""
    (tmp_path / "run.log").write_text("    num_layers: int,\n    matrix_lr: float,\n" + LOG.replace("num_layers", "x"))
    values = hyperparameters(read_program(VARIABLES, []), logged_runs(tmp_path / "run.log")[-1], {})
    assert values["NUM_LAYERS"].place.startswith(VARIABLES.name)


def test_a_script_without_a_seed_is_drafted_with_a_null_seed_variable(tmp_path: Path) -> None:
    script, spec = tmp_path / "train.py", tmp_path / "draft.yaml"
    script.write_text("import os\nsteps = int(os.environ.get('ITERATIONS', 100))\n")
    spec.write_text(script_draft(read_program(script, []), script, spec, "draft"))
    program = load_spec(str(spec)).spec.program
    assert program.seed_variable is None


NUMBERS = ("NUM_LAYERS", "BIGRAM_VOCAB_SIZE", "BIGRAM_DIM", "PARALLEL_START_LAYER", "NUM_LOOPS", "LOOP_START",
           "GRAD_CLIP_NORM", "MODEL_DIM", "VE_DIM", "EVAL_STRIDE")  # fmt: skip


@pytest.mark.parametrize("text", ["inf", "nan", "-inf", "1e400"])
def test_a_number_that_is_not_finite_is_not_mapped(text: str) -> None:
    reads = "".join(f"{name.lower()} = float(os.environ.get({name!r}, {text!r}))\n" for name in NUMBERS)
    code = (
        f"import os\nMATRIX_LR = float(os.environ.get('MATRIX_LR', 0.03))\n{reads}LOOP_END = os.environ['LOOP_END']\n"
    )
    draft = draft_of(ScriptProgram({"train.py": code.encode()}), None, {})
    reasons = {value.name: reason for value, reason in draft.unmapped}
    assert draft.overrides["recipe.optimizer.matrix_lr"][0] == 0.03
    assert reasons["GRAD_CLIP_NORM"] == f"{text} is not a finite number"
