"""Values by tensor name pattern."""

import pytest

from trainer.recipe.patterns import value_for
from trainer.recipe.strict import RecipeConflict

BITS = {"default": 6, "flat.*.attention": 5, "flat.0.attention.key": 8, "flat.0": 4, "embedding": 7}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("flat.0.attention.key", 8),  # an exact name
        ("flat.3.attention.query", 5),  # the part it belongs to
        ("flat.0.attention.query", 5),  # 14 literal characters beat 6
        ("flat.0.mlp.up", 4),
        ("flat.10.mlp.up", 6),  # flat.0 is not a prefix of flat.10
        ("embedding.tokens", 7),
        ("embeddings", 6),
    ],
)
def test_the_most_specific_pattern_wins(name: str, expected: int) -> None:
    assert value_for(BITS, name) == expected


def test_a_tie_is_an_error() -> None:
    with pytest.raises(RecipeConflict, match="matches both"):
        value_for({"default": 6, "flat.*.mlp": 5, "*.0.mlpx": 4, "flat.?.mlp": 4}, "flat.0.mlp.up")
