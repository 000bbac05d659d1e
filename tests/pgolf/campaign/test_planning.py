"""Which seeds a command runs."""

import pytest

from pgolf.campaign.planning import choose_seeds
from pgolf.errors import UsageError
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.specs.loading import load_spec


def test_seeds_are_those_of_the_spec_and_then_those_of_its_ruleset() -> None:
    spec = load_spec("quickstart", [], ["seeds=[5, 42]"]).spec
    known = [5, 42, *(seed for seed in load_ruleset("parameter_golf").seeds if seed != 42)]
    assert choose_seeds(spec, 1) == [5]
    assert choose_seeds(spec, 4) == known[:4]
    assert choose_seeds(spec, len(known)) == known
    with pytest.raises(UsageError, match=f"list {len(known)} seeds"):
        choose_seeds(spec, len(known) + 1)
