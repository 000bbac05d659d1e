"""The small variants of the shipped specs: preflight does not warn of what an overlay does on purpose."""

from pathlib import Path

import pytest

from pgolf.preflight.examine import examine
from pgolf.preflight.preflight import Preflight
from pgolf.preflight.recipe import examine_data, examine_shape, examine_time, find_data
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.specs.loading import load_spec
from pgolf.specs.shipped import shipped_specs


def warned_rules(name: str, overlays: list[str], runs_dir: Path) -> set[str]:
    """Return the rules of which preflight warns or which fail, without packing the code, which takes seconds a spec."""
    spec = load_spec(name, overlays).spec
    located, problem = find_data(spec, lambda _: None)
    known = Preflight(
        spec=spec,
        ruleset=load_ruleset(spec.ruleset),
        findings=[],
        located=located,
        code_sha256="",
        code_bytes=31_000,
        code_basis="",
        libraries=(),
        own_files={},
    )
    known = examine_shape(known, runs_dir)
    if located is not None:
        known = examine_data(known, located, runs_dir)
    known = examine_time(known, runs_dir, 1, None)
    assert bool(overlays) <= (problem is None), "an overlay needs no data that has to be fetched"
    return {finding.rule for finding in known.findings if finding.severity != "pass"}


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["tiny", "micro"])
@pytest.mark.parametrize("name", sorted(shipped_specs()))
def test_an_overlay_adds_no_warning(name: str, overlay: str, tmp_path: Path) -> None:
    assert warned_rules(name, [overlay], tmp_path) <= warned_rules(name, [], tmp_path)


@pytest.mark.parametrize(
    "overlays", [*(pytest.param(each, marks=pytest.mark.slow) for each in ([], ["tiny"])), ["micro"]]
)
def test_a_new_user_is_warned_of_nothing(overlays: list[str], tmp_path: Path) -> None:
    found = examine(load_spec("quickstart", overlays).spec, runs_dir=tmp_path)
    assert [finding for finding in found.findings if finding.severity != "pass"] == []
