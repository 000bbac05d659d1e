"""A pattern that names nothing is an error with the nearest name, wherever it stands."""

import pytest

from pgolf.errors import SpecError
from pgolf.specs.loading import load_spec

LORA = "{kind: document_lora, window: 64, chunk_tokens: 16, learn: [flat.*.mpl]}"
MISSPELT = [
    ("recipe.evaluation.freeze=[flatt.0]", "recipe.evaluation.freeze: 'flatt.0' names n", "flat.0"),
    ("recipe.evaluation.learn=[loooped.0]", "recipe.evaluation.learn: 'loooped.0' names n", "looped.0"),
    (
        "recipe.model.attention.exclusive=[flat.99]",
        "recipe.model.attention.exclusive: 'flat.99'",
        "did you mean 'flat.",
    ),
    ("recipe.optimizer.frozen=[blendz]", "recipe.optimizer.frozen: 'blendz' names n", "blends"),
    ("recipe.optimizer.adamw=[nonsense]", "recipe.optimizer.adamw: 'nonsense' names n", "there is"),
    ("recipe.optimizer.lr={flat.7: 0.1}", "recipe.optimizer.lr: 'flat.7' names n", "flat."),
    ('recipe.quantizer.bits={"flt.*.attention": 5}', "recipe.quantizer.bits: 'flt.*.attention'", "attention"),
    ("recipe.quantizer.clip.k={embeding: 5}", "recipe.quantizer.clip.k: 'embeding' names n", "'embedding'"),
    ("recipe.quantizer.scale_floor={lopped: 0.1}", "recipe.quantizer.scale_floor: 'lopped'", "looped"),
    ("recipe.quantizer.fitted=[flatt]", "recipe.quantizer.fitted: 'flatt' names n", "'flat'"),
    ('recipe.model.attention.exclusive=["flat.0/7"]', "recipe.model.attention.exclusive: 'flat.0/7'", "flat.0/0"),
    ('recipe.model.attention.exclusive=["flat.0/one"]', "recipe.model.attention.exclusive: 'flat.0/one'", "flat.0/0"),
    ("recipe.quantizer.bits={default: 6, skip_weights: 8}", "'skip_weights' names nothing that it could affect", ""),
    ("recipe.quantizer.fitted=[skip_weights]", "'skip_weights' names nothing that it could affect", ""),
    ("recipe.optimizer.adamw=[embedding.tokens]", "'embedding.tokens' names nothing that it could affect", ""),
    ('recipe.evaluation.freeze=["*"]', "recipe.evaluation.freeze: `learn` and `freeze` leave no tensor", ""),
    (f"recipe.evaluation={LORA.replace('flat.*.mpl', 'skip_weights')}", "'skip_weights' names nothing", ""),
    (f"recipe.evaluation={LORA}", "recipe.evaluation.learn: 'flat.*.mpl' names n", "mlp"),
]


@pytest.mark.parametrize(("assignment", "said", "meant"), MISSPELT)
def test_a_misspelt_pattern_is_named_with_what_may_have_been_meant(assignment: str, said: str, meant: str) -> None:
    with pytest.raises(SpecError) as refused:
        load_spec("pr1579_crawler_d736", ["micro"], [assignment])
    assert said in str(refused.value)
    assert meant in str(refused.value)


def test_a_pattern_of_a_reference_is_checked_as_well() -> None:
    coarse = "{quantizer: {kind: rtn, bits: {default: 3, nowhere: 2}, clip: {kind: percentile, percentile: 100}}}"
    with pytest.raises(SpecError, match="'nowhere' names n"):
        load_spec("quickstart", ["micro"], [f"recipe.evaluation.references={{coarse: {coarse}}}"])


def test_a_recurrence_that_no_step_sees_is_refused() -> None:
    late = "recipe.model.topology.recurrence={first: 0, last: 1, loops: 2, from_progress: 1.0}"
    with pytest.raises(SpecError, match="executions that were never trained"):
        load_spec("quickstart", ["micro"], [late])


def test_a_reference_that_wants_to_fit_is_refused() -> None:
    small = "{quantizer: {kind: rtn, bits: {default: 3}, clip: {kind: percentile, percentile: 100}, fit_bytes: 10}}"
    with pytest.raises(SpecError, match="a reference is not made to fit"):
        load_spec("quickstart", ["micro"], [f"recipe.evaluation.references={{small: {small}}}"])
