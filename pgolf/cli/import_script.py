"""`pgolf import SCRIPT`: draft a spec from a training script."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pgolf.cli import options
from pgolf.cli.answer_files import check_is_new, create_answer
from pgolf.cli.display.console import answer_console, print_json, say
from pgolf.drafting.draft import Draft, draft_of
from pgolf.drafting.source import given_variables, read_script
from pgolf.drafting.writing import recipe_draft, script_draft
from pgolf.specs.experiment import name_from

SHOWN_NEAREST = 3


class Form(StrEnum):
    """Kind of spec that is drafted."""

    RECIPE = "recipe"
    SCRIPT = "script"


def import_script(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="A training script, such as train_gpt.py.")],
    form: Annotated[
        Form, typer.Option("--as", help="Draft the nearest recipe, or a spec that runs the script unchanged.")
    ] = Form.RECIPE,
    log: Annotated[
        Path | None,
        typer.Option("--log", help="Log of a run of the script, for its values and its number of parameters."),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="NAME=VALUE", help="Variable to run the script with, for example NUM_LAYERS=11."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write. Default: SCRIPT.yaml in this folder.")
    ] = None,
    is_json: options.Json = False,
) -> None:
    """Draft a spec from a script, and list what could not be mapped. The script is read, never executed."""
    program = read_script(script)
    given = given_variables(env or [], program)
    name = name_from(script.stem, "draft")
    file = out or Path(f"{name}.yaml")
    check_is_new(file)
    if form is Form.SCRIPT:
        text, draft = script_draft(program, script, file, name), None
    else:
        draft = draft_of(program, log, given)
        text = recipe_draft(draft, script.name, str(file), name)
    create_answer(file, text)
    if is_json:
        print_json({"file": str(file), "script_sha256": program.sha256} | ({} if draft is None else draft_json(draft)))
        return
    say(f"wrote {file}")
    if draft is not None:
        print_draft(draft)


def print_draft(draft: Draft) -> None:
    """Print the nearest specs, and what was and was not mapped."""
    console = answer_console()
    for each in draft.nearest[:SHOWN_NEAREST]:
        counts = f"{len(each.alike)} values equal, {len(each.other)} different, {len(each.absent)} not in the recipe"
        console.print(f"{each.name}: {counts}", markup=False)
    console.print(f"drafted on {draft.base} with {len(draft.overrides)} values changed; {draft.verdict}", markup=False)
    if draft.lacking:
        console.print(f"the script has, and {draft.base} lacks: {', '.join(draft.lacking)}", markup=False)
    if draft.unnamed:
        console.print(f"{draft.base} has, and the script does not mention: {', '.join(draft.unnamed)}", markup=False)
    for value, reason in draft.unmapped:
        console.print(f"not mapped: {value.name}={value.text} ({value.place}): {reason}", markup=False)


def draft_json(draft: Draft) -> dict[str, Any]:
    """Return the draft for --json."""
    return {
        "base": draft.base,
        "nearest": [
            {"name": each.name, "alike": each.alike, "other": each.other, "absent": each.absent}
            for each in draft.nearest
        ],
        "overrides": {key: value for key, (value, _) in draft.overrides.items()},
        "lacking": draft.lacking,
        "unnamed": draft.unnamed,
        "unmapped": {value.name: reason for value, reason in draft.unmapped},
        "elsewhere": {value.name: where for value, where in draft.elsewhere},
        "parameters": draft.parameters,
        "logged_parameters": draft.logged_parameters,
        "script_parameters": draft.script_parameters,
        "not_counted": draft.doubt,
        "differing_parts": [
            {"name": part.name, "draft": part.draft, "script": part.script, "place": part.place}
            for part in draft.differing
        ],
    }
