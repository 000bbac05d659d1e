"""Rulesets from the user's own YAML files."""

from pathlib import Path

import pytest
import yaml

from pgolf.errors import SpecError
from pgolf.records.groups import record_groups
from pgolf.rulesets import ruleset
from pgolf.rulesets.ruleset import load_ruleset
from tests.pgolf.records.test_logs import write

SHIPPED = Path(ruleset.__file__).with_name("parameter_golf.yaml")


def test_a_users_ruleset_has_its_own_limits(tmp_path: Path) -> None:
    rules = yaml.safe_load(SHIPPED.read_text()) | {"name": "small", "version": 3, "limits": {"bytes": 10_000_000}}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(rules))
    own = load_ruleset(str(tmp_path / "small.yaml"))
    (tmp_path / "record").mkdir()
    folder = write(tmp_path / "record", "baseline", {1: 1.21, 2: 1.22})
    (group,) = record_groups(folder, own)
    assert (group.as_json()["ruleset"], group.is_over_limit) == ("small-3", True)
    (group,) = record_groups(folder, load_ruleset("parameter_golf"))
    assert (group.as_json()["ruleset"], group.is_over_limit) == ("parameter_golf-1", False)


@pytest.mark.parametrize("content", ["name: [", "name: small", "- 1"])
def test_an_invalid_ruleset_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.yaml").write_text(content)
    with pytest.raises(SpecError, match=r"bad\.yaml"):
        load_ruleset(str(tmp_path / "bad.yaml"))


@pytest.mark.parametrize("name", ["golf", "../rulesets/nothing", "nowhere.yaml"])
def test_an_unknown_ruleset_is_refused_with_the_shipped_ones(name: str) -> None:
    with pytest.raises(SpecError, match="expected parameter_golf"):
        load_ruleset(name)


def test_limits_of_an_earlier_release_are_read(tmp_path: Path) -> None:
    """Files before 0.3 had three limits beside the other keys."""
    rules = yaml.safe_load(SHIPPED.read_text())
    limits = rules.pop("limits")
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(rules | {"artifact_limit_bytes": limits.pop("bytes")} | limits))
    assert load_ruleset(str(tmp_path / "old.yaml")) == load_ruleset("parameter_golf")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"byte": 5}, r"limits\.byte: Extra inputs are not permitted"),
        ({"bytes": 0}, r"limits\.bytes: Input should be greater than 0"),
        ({"parameters": "many"}, r"limits\.parameters: Input should be a valid integer"),
        ({"target": {"steps": 30}}, r"limits\.target\.val_loss: Field required"),
        ({"target": {"val_loss": float("nan")}}, r"limits\.target\.val_loss: Input should be"),
        ({"train_seconds": float("inf")}, r"limits\.train_seconds: Input should be a finite number"),
        ({"bytes": True}, r"limits\.bytes: Input should be a valid integer"),
    ],
)
def test_a_wrong_limit_is_named(tmp_path: Path, limits: dict[str, object], message: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump({"name": "own", "version": 1, "limits": limits}))
    with pytest.raises(SpecError, match=message):
        load_ruleset(str(file))


def test_limits_beside_and_in_limits_are_refused(tmp_path: Path) -> None:
    rules = yaml.safe_load(SHIPPED.read_text()) | {"artifact_limit_bytes": 5}
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(rules))
    with pytest.raises(SpecError, match="artifact_limit_bytes: Extra inputs"):
        load_ruleset(str(tmp_path / "both.yaml"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "a b/../c"}, "name: String should match"),
        ({"version": -3}, "version: Input should be greater"),
        ({"fixed": {"parameters": -5}}, r"fixed\.parameters: Input should be greater than 0"),
        ({"fixed": {"data": ""}}, r"fixed\.data: String should have at least 1"),
    ],
)
def test_a_wrong_name_or_fixed_part_is_named(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump({"name": "own", "version": 1, "limits": {}} | changed))
    with pytest.raises(SpecError, match=message):
        load_ruleset(str(file))


@pytest.mark.parametrize(
    ("content", "found"), [(b"", "found nothing"), (b"- 1", "found a list"), (b"\xff\xfe", "no text")]
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "own.yaml").write_bytes(content)
    with pytest.raises(SpecError, match=rf"own\.yaml: .*{found}.*expected"):
        load_ruleset(str(tmp_path / "own.yaml"))
