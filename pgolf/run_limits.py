"""The limits under which a run began, and what it used."""

from pathlib import Path

from pydantic import ValidationError

from pgolf.rulesets.judging import RunSize
from pgolf.rulesets.ruleset import Ruleset
from pgolf.run_files import RecipeResult, Result, RunDocument
from pgolf.run_reading import damaged, read_present


def read_rules(path: Path) -> Ruleset | None:
    """Return the limits that run.json has kept; None in a run of a release that kept none.

    Raises:
        RunDamaged: they are not those of a ruleset.
    """
    rules = read_present(path, RunDocument).get("rules")
    try:
        return None if rules is None else Ruleset.model_validate(rules)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise damaged(f"{path}: rules.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def size_of_run(document: RunDocument, result: Result | RecipeResult, batch_tokens: int | None) -> RunSize:
    """Return what a run used, from run.json, result.json and the recipe's tokens a step."""
    return RunSize(
        parameters=result["parameters"],
        train_tokens=document.get("train_tokens"),
        steps=result["steps"],
        batch_tokens=batch_tokens,
        data=document.get("data"),
    )
