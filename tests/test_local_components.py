"""Components of the user's own: the worked example of the docs, one for each slot, and what goes wrong."""

import json
import re
from pathlib import Path

import pytest

from pgolf.bundle.modules import trainer_code
from pgolf.errors import SpecError
from pgolf.rundir import RunDirectory
from pgolf.specs.identity import spec_sha256
from pgolf.specs.loading import load_spec
from tests.conftest import Pgolf

PAGE = (Path(__file__).parent.parent / "docs" / "your_own_component.md").read_text()
OTHERS = '''
import torch
from torch import nn
from trainer.model.attention import Attention
from trainer.model.linear import linear
from trainer.quantizer.rtn import RoundToNearest


class Mean(Attention):
    """Each token gathers the mean of the values so far."""

    def __init__(self, model, bias):
        super().__init__()
        self.bias = bias
        self.value = nn.Parameter(torch.empty(model.kv_width, model.width))
        self.output = nn.Parameter(torch.zeros(model.width, model.kv_width))

    def readers(self):
        return [self.value]

    def forward(self, x, scale, inputs):
        v = linear(x, self.value)
        count = torch.arange(1, x.size(1) + 1)[:, None]
        return linear(v.cumsum(1) / (count + self.bias), self.output, scale), v


class Sign:
    """Sign descent, with a momentum that a checkpoint has to hold."""

    def __init__(self, tensors, parameters, lr):
        self.parameters, self.lr = parameters, lr
        self.momentum = {name: torch.zeros_like(p) for name, p in parameters.items()}

    def moving(self):
        return self.parameters

    @torch.no_grad()
    def step(self, step, multiplier):
        for name, p in self.parameters.items():
            self.momentum[name].lerp_(p.grad, 0.1)
            p.sub_(self.momentum[name].sign(), alpha=self.lr * multiplier)

    def forget_gradients(self):
        for p in self.parameters.values():
            p.grad = None

    def state(self):
        return self.momentum

    def restore(self, state):
        for name, value in self.momentum.items():
            value.copy_(state[name])


class Even(RoundToNearest):
    """Even codes only."""

    def quantize(self, name, w):
        matrix = super().quantize(name, w)
        return type(matrix)((matrix.codes_RC // 2) * 2, matrix.steps_R)
'''
ATTENTION = """
    attention:
      kind: local:others.py:Mean
      heads: 2
      kv_heads: 1
      rope: {dims: 8}
      tensors: {value: [kv_width, width], output: [width, kv_width]}
      options: {bias: 1}
"""


def example(folder: Path) -> Path:
    """mine.yaml of the page, with its code and the other classes beside it."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (spec,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (folder / "my_mlp.py").write_text(code)
    (folder / "others.py").write_text(OTHERS)
    file = folder / "mine.yaml"
    file.write_text(spec)
    return file


def run_json(pgolf: Pgolf, *arguments: str) -> tuple[RunDirectory, dict[str, object]]:
    ended = pgolf("run", *arguments, "--with", "micro", "--json")
    assert ended.code == 0, ended.err
    (run,) = ended.json["runs"]
    return RunDirectory(Path(run["run_dir"])), run["result"]


@pytest.mark.slow
def test_the_worked_example_trains_quantizes_packs_and_scores(pgolf: Pgolf, tmp_path: Path) -> None:
    example(tmp_path)
    run, result = run_json(pgolf, "mine.yaml")
    (copy,) = (run.root / "local").iterdir()
    assert copy.name.endswith("_my_mlp.py")
    assert copy.read_text() == (tmp_path / "my_mlp.py").read_text()
    recipe = json.loads(run.files.spec.read_text())["recipe"]
    assert recipe["model"]["mlp"]["file"] == f"local/{copy.name}"
    hidden = 3 * 32
    plain, _ = run_json(pgolf, "quickstart")
    assert result["parameters"] == plain.read_result()["parameters"] + 2 * hidden  # a leak for each unit of two layers
    assert run.read_run()["code_bytes"] > plain.read_run()["code_bytes"]
    again = load_spec(run.files.spec).spec
    assert trainer_code(again.recipe).sha256 == run.read_run()["code_sha256"]


def test_there_is_a_slot_for_attention_optimizer_and_quantizer(pgolf: Pgolf, tmp_path: Path) -> None:
    file = example(tmp_path)
    text = file.read_text()
    text = text[: text.index("    mlp:")].rstrip() + ATTENTION
    text += "  optimizer: {kind: local:others.py:Sign, options: {lr: 0.003}}\n"
    file.write_text(text)
    quantizer = (
        "{kind: local:others.py:Even, bits: {default: 8}, clip: {kind: percentile, percentile: 100}, float_up_to: 0}"
    )
    run, result = run_json(pgolf, "mine.yaml", "--set", f"recipe.quantizer={quantizer}")
    stages = {metric["stage"]: metric["val_loss"] for metric in result["metrics"]}  # type: ignore[attr-defined]
    assert stages["roundtrip"] != stages["prequant"]
    assert stages["roundtrip"] < 5.9  # ln 384 is 5.95
    assert [path.name[9:] for path in (run.root / "local").iterdir()] == ["others.py"]


@pytest.mark.slow
def test_two_files_of_one_name_are_two_files(pgolf: Pgolf, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        example(tmp_path / name)
    other = tmp_path / "b" / "my_mlp.py"
    other.write_text(other.read_text() + "\n\n" + OTHERS.split("class Sign", maxsplit=1)[0])
    spec = tmp_path / "a" / "mine.yaml"
    attention = ATTENTION.replace("local:others.py", f"local:{tmp_path}/b/my_mlp.py")
    spec.write_text(spec.read_text().rstrip() + attention)
    run, _ = run_json(pgolf, str(spec))
    assert len([*(run.root / "local").iterdir()]) == 2


@pytest.mark.slow
def test_a_reference_may_be_a_quantizer_of_ones_own(pgolf: Pgolf, tmp_path: Path) -> None:
    example(tmp_path)
    grid = "bits: {default: 8}, clip: {kind: percentile, percentile: 100}, float_up_to: 0"
    references = f"{{even: {{quantizer: {{kind: local:others.py:Even, {grid}}}}}}}"
    before = trainer_code(load_spec("quickstart").spec.recipe).sha256
    run, result = run_json(pgolf, "quickstart", "--set", f"recipe.evaluation.references={references}")
    assert [metric["stage"] for metric in result["metrics"]][-1] == "reference"  # type: ignore[attr-defined]
    assert run.read_run()["code_sha256"] != before


def test_a_change_in_the_file_is_another_experiment_and_its_place_is_not(tmp_path: Path) -> None:
    def identity(folder: Path) -> tuple[str, str]:
        recipe = load_spec(str(folder / "mine.yaml")).spec.recipe
        return spec_sha256(recipe, "rules", "data"), trainer_code(recipe).sha256

    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        example(folder)
    assert identity(here) == identity(there)
    before = identity(here)
    (here / "my_mlp.py").write_text((here / "my_mlp.py").read_text() + "\n# changed\n")
    assert identity(here)[0] != before[0]
    assert identity(here)[1] != before[1]


def test_a_missing_file_or_a_misspelt_kind_is_named_with_its_line(tmp_path: Path) -> None:
    file = example(tmp_path)
    text = file.read_text()
    for old, new, said in (
        ("my_mlp.py", "your_mlp.py", r"mine\.yaml:7: kind: .*your_mlp\.py does not exist"),
        ("local:my_mlp.py:LearnedLeak", "local:LearnedLeak", r"mine\.yaml:7: kind: .* expected local:FILE\.py:CLASS"),
    ):
        file.write_text(text.replace(old, new))
        with pytest.raises(SpecError, match=said):
            load_spec(str(file))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("class LearnedLeak", "class Other", "has no class LearnedLeak; it has Other"),
        pytest.param(
            "import torch\n", "import torch\nraise ValueError('no')\n", "cannot be executed: ValueError: no",
            marks=pytest.mark.slow,
        ),
        pytest.param("self.leak = ", "self.slope = ", "inventory and model differ", marks=pytest.mark.slow),
        pytest.param("start: float", "begin: float", "LearnedLeak of", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_class_that_is_not_what_the_spec_says_is_named(
    pgolf: Pgolf, tmp_path: Path, old: str, new: str, said: str
) -> None:
    example(tmp_path)
    code = tmp_path / "my_mlp.py"
    code.write_text(code.read_text().replace(old, new, 1))
    ended = pgolf("run", "mine.yaml", "--with", "micro")
    assert ended.code == 1
    assert said in ended.err
