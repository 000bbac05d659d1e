"""Loading specs by name, from files, and from runs."""

from pathlib import Path

import pytest

from pgolf.errors import SpecError
from pgolf.rundir import RunDirectory
from pgolf.specs.experiment import Experiment
from pgolf.specs.loading import find_spec, load_spec
from pgolf.specs.shipped import shipped_specs
from tests.pgolf.specs.builders import WHOLE, load_text, write
from trainer.recipe.data import Embedded
from trainer.recipe.optimizer import MuonAdamW
from trainer.recipe.writing import write_json


@pytest.mark.parametrize("name", sorted(shipped_specs()))
def test_every_shipped_spec_loads_and_has_the_name_of_its_file(name: str) -> None:
    assert load_spec(name).spec.name == name


@pytest.mark.parametrize("overlay", ["tiny", "micro"])
@pytest.mark.parametrize("name", sorted(shipped_specs()))
def test_every_shipped_spec_has_tiny_and_micro_on_the_embedded_corpus(name: str, overlay: str) -> None:
    whole, small = load_spec(name).spec, load_spec(name, [overlay]).spec
    assert isinstance(small.recipe.data, Embedded)
    assert small.launch.gpu is None
    assert small.recipe.budget.train < whole.recipe.budget.train


def test_the_example_spec_of_the_checkout_loads() -> None:
    spec = load_spec(str(Path(__file__).parents[3] / "spec.yaml")).spec
    assert isinstance(spec.recipe.optimizer, MuonAdamW)
    assert (spec.name, spec.recipe.optimizer.matrix_lr) == ("my-first", 0.03)
    assert spec.recipe.model == load_spec("quickstart").spec.recipe.model


def test_a_reference_is_a_file_if_it_looks_like_one_or_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_spec("quickstart") == shipped_specs()["quickstart"]
    assert find_spec("./quickstart") == Path("quickstart")
    assert find_spec("quickstart.yaml") == Path("quickstart.yaml")
    write(tmp_path / "quickstart")
    assert find_spec("quickstart") == Path("quickstart")
    assert load_spec("quickstart").spec.name == "whole"


def test_the_error_of_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(
        SpecError, match="quickstrat: no such file and no shipped experiment of this name; did you mean `quickstart"
    ):
        find_spec("quickstrat")
    with pytest.raises(SpecError, match="shipped experiments: baseline, english, frontier, pr1493, pr1529, "):
        find_spec("0000")


def test_the_error_of_a_name_without_its_suffix_suggests_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine.yaml")
    with pytest.raises(SpecError, match=r"did you mean `mine\.yaml`\?"):
        find_spec("mine")


def test_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    spec = load_text(tmp_path, WHOLE).spec
    assert spec.seeds == [1337, 42, 2024]
    assert (spec.ruleset, spec.question, spec.spend.usd) == ("parameter_golf", None, None)
    assert (spec.launch.on, spec.launch.gpu, spec.launch.processes) == ("local", None, 1)


def test_a_run_loads_as_the_spec_it_was_made_from(micro_run: RunDirectory) -> None:
    made, again = load_spec("quickstart", ["micro"]).spec, load_spec(micro_run.files.spec).spec
    assert again == made


@pytest.mark.parametrize("question", ["plain?", "quoted \" and ' # yes: no", "\u00e9\u4e2d", "emoji \N{GRINNING FACE}"])
def test_a_question_round_trips_through_a_run(tmp_path: Path, question: str) -> None:
    spec = load_spec("quickstart").spec.model_copy(update={"question": question})
    file = tmp_path / "spec.json"
    document = spec.as_json() | {"seed": 42, "sources": {}}
    write_json(file, document)
    assert load_spec(file).spec.question == question


def test_assignments_apply_to_the_spec_of_a_run(micro_run: RunDirectory) -> None:
    loaded = load_spec(micro_run.files.spec, [], ["recipe.budget.train=3"])
    assert loaded.spec.recipe.budget.train == 3
    assert loaded.sources["recipe.budget.train"] == "--set recipe.budget.train=3"


def test_a_half_written_spec_of_a_run_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text('{"name": "a",')
    with pytest.raises(SpecError, match=r"spec\.json:"):
        load_spec(file)


def test_every_default_of_a_spec_is_valid() -> None:
    document = load_spec("quickstart").spec.as_json()
    assert Experiment.model_validate(document) == load_spec("quickstart").spec


@pytest.mark.parametrize("name", sorted(shipped_specs()))
def test_every_shipped_spec_can_be_extended(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"spec_version: 1\nname: mine\nextends: {name}\nseeds: [7]\n")
    assert load_spec(str(tmp_path / "mine.yaml")).spec.seeds == [7]
