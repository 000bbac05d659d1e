"""The contest's facts, compared with its issue threads."""

import pytest

from pgolf.rulesets.ruleset import load_ruleset

RULES = load_ruleset("parameter_golf")
CASEOPS = "fineweb10B_sp8192_lossless_caps_caseops_v1_reserved"


@pytest.mark.parametrize(
    ("name", "tokens", "is_its_own"),
    [
        ("fineweb10B_sp1024", 62_021_845, True),
        ("fineweb10B_sp1024", 62_021_632, True),
        ("fineweb10B_sp1024", 62_021_846, False),
        ("fineweb10B_sp1024", 63_779_840, False),
        ("fineweb10B_sp4096", 45_508_608, True),
        ("fineweb10B_sp4096", 45_508_607, False),
        ("fineweb10B_sp4096", 45_514_752, False),
        ("fineweb10B_sp8192", 40_540_160, True),
        ("fineweb10B_sp8192", 40_546_304, True),
        ("fineweb10B_sp8192", 40_548_352, True),
        ("fineweb10B_sp8192", 40_540_159, False),
        (CASEOPS, 47_853_343, True),
        (CASEOPS, 47_851_520, True),
        (CASEOPS, 9_662_464, False),
    ],
)
def test_reported_token_counts_are_recognized(name: str, tokens: int, is_its_own: bool) -> None:
    assert RULES.data[name].has_tokens(tokens) is is_its_own


@pytest.mark.parametrize("tokens", [9_662_464, 9_662_464 + 2_047, 63_779_840])
def test_refused_exports_are_recognized_by_their_tokens_and_valid_ones_are_not_refused(tokens: int) -> None:
    assert [refused.has_tokens(tokens) for refused in RULES.refused_exports].count(True) == 1
    assert not any(facts.has_tokens(tokens) for facts in RULES.data.values())


def test_validation_texts_are_told_apart_by_their_bytes() -> None:
    assert RULES.validation_bytes == 151_080_000
    (older,) = [refused for refused in RULES.refused_exports if refused.validation_bytes]
    assert older.validation_bytes == 155_770_000
    assert {1499, 1502} == {number for refused in RULES.refused_exports for number in refused.train_shards}
