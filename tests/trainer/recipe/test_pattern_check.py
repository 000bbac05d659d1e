"""A pattern that matches nothing is an error that suggests the nearest name."""

import pytest

from pgolf.errors import SpecError
from pgolf.specs.loading import load_spec

LORA = "{kind: document_lora, window: 64, chunk_tokens: 16, learn: [flat.*.mpl]}"
MISSPELLED = [
    ("recipe.evaluation.freeze=[flatt.0]", "recipe.evaluation.freeze: 'flatt.0' matches no", "flat.0"),
    ("recipe.evaluation.learn=[loooped.0]", "recipe.evaluation.learn: 'loooped.0' matches no", "looped.0"),
    (
        "recipe.model.attention.exclusive=[flat.99]",
        "recipe.model.attention.exclusive: 'flat.99'",
        "did you mean 'flat.",
    ),
    ("recipe.optimizer.frozen=[blendz]", "recipe.optimizer.frozen: 'blendz' matches no", "blends"),
    ("recipe.optimizer.adamw=[nonsense]", "recipe.optimizer.adamw: 'nonsense' matches no", "for example"),
    ("recipe.optimizer.lr={flat.7: 0.1}", "recipe.optimizer.lr: 'flat.7' matches no", "flat."),
    ('recipe.quantizer.bits={"flt.*.attention": 5}', "recipe.quantizer.bits: 'flt.*.attention'", "attention"),
    ("recipe.quantizer.clip.k={embeding: 5}", "recipe.quantizer.clip.k: 'embeding' matches no", "'embedding'"),
    ("recipe.quantizer.scale_floor={lopped: 0.1}", "recipe.quantizer.scale_floor: 'lopped'", "looped"),
    ("recipe.quantizer.fitted=[flatt]", "recipe.quantizer.fitted: 'flatt' matches no", "'flat'"),
    ('recipe.model.attention.exclusive=["flat.0/7"]', "recipe.model.attention.exclusive: 'flat.0/7'", "flat.0/0"),
    ('recipe.model.attention.exclusive=["flat.0/one"]', "recipe.model.attention.exclusive: 'flat.0/one'", "flat.0/0"),
    (
        "recipe.quantizer.bits={default: 6, skip_weights: 8}",
        "'skip_weights' matches no tensor that this key applies to",
        "",
    ),
    ("recipe.quantizer.fitted=[skip_weights]", "'skip_weights' matches no tensor that this key applies to", ""),
    ("recipe.optimizer.adamw=[embedding.tokens]", "'embedding.tokens' matches no tensor that this key applies to", ""),
    ('recipe.evaluation.freeze=["*"]', "recipe.evaluation.freeze: `learn` and `freeze` leave no tensor", ""),
    (f"recipe.evaluation={LORA.replace('flat.*.mpl', 'skip_weights')}", "'skip_weights' matches no", ""),
    (f"recipe.evaluation={LORA}", "recipe.evaluation.learn: 'flat.*.mpl' matches no", "mlp"),
]


@pytest.mark.parametrize(("assignment", "said", "meant"), MISSPELLED)
def test_a_misspelled_pattern_is_named_with_a_suggestion(assignment: str, said: str, meant: str) -> None:
    with pytest.raises(SpecError) as refused:
        load_spec("pr1579_crawler_d736", ["micro"], [assignment])
    assert said in str(refused.value)
    assert meant in str(refused.value)


def test_a_pattern_of_a_reference_is_checked_as_well() -> None:
    coarse = "{quantizer: {kind: rtn, bits: {default: 3, nowhere: 2}, clip: {kind: percentile, percentile: 100}}}"
    with pytest.raises(SpecError, match="'nowhere' matches no"):
        load_spec("quickstart", ["micro"], [f"recipe.evaluation.references={{coarse: {coarse}}}"])


def test_a_recurrence_after_the_last_step_is_refused() -> None:
    late = "recipe.model.topology.recurrence={first: 0, last: 1, loops: 2, from_progress: 1.0}"
    with pytest.raises(SpecError, match="scored but never trained"):
        load_spec("quickstart", ["micro"], [late])


@pytest.mark.parametrize("key", ["fit_bytes", "fill_bytes"])
def test_a_reference_of_a_given_size_is_refused(key: str) -> None:
    small = (
        f"{{quantizer: {{kind: rtn, bits: {{default: 3}}, clip: {{kind: deviations, k: {{default: 9}}}}, {key}: 10}}}}"
    )
    with pytest.raises(SpecError, match=f"a reference cannot have {key}"):
        load_spec("quickstart", ["micro"], [f"recipe.evaluation.references={{small: {small}}}"])
