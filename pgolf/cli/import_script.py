"""`pgolf import SCRIPT`: a draft of a spec from somebody's training script."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pgolf.cli import options
from pgolf.cli.display.console import answer_console, print_json, say
from pgolf.drafting.draft import Draft, draft_of
from pgolf.drafting.writing import recipe_draft, script_draft
from pgolf.errors import MachineError, SpecError, UsageError
from pgolf.scripts.program import ScriptProgram, Unreadable, neighbours, read_program

SHOWN_NEAREST = 3


class Form(StrEnum):
    """What is drafted."""

    RECIPE = "recipe"
    SCRIPT = "script"


def import_script(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="A training script, such as train_gpt.py.")],
    form: Annotated[
        Form, typer.Option("--as", help="A recipe as near to it as there is, or the script itself as it is.")
    ] = Form.RECIPE,
    log: Annotated[
        Path | None, typer.Option("--log", help="A log of a run: its values, and the count of its parameters.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="A variable that the script is run with.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; NAME.yaml beside you.")] = None,
    is_json: options.Json = False,
) -> None:
    """Write a draft spec from a script, and say what it could not map. The script is read, never executed."""
    program = read_or_refuse(script)
    given = given_variables(env or [], program)
    name = re.sub(r"[^a-z0-9]+", "-", script.stem.lower()).strip("-") or "draft"
    file = out or Path(f"{name}.yaml")
    if file.exists():
        raise UsageError(f"{file} is already there; give another name with --out")
    if form is Form.SCRIPT:
        beside = [relative(path, file) for path in neighbours(script)]
        text, draft = script_draft(program, relative(script, file), beside, str(file), name), None
    else:
        draft = draft_of(program, log, given)
        text = recipe_draft(draft, script.name, str(file), name)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"{file}: {error.strerror}") from error
    if is_json:
        print_json({"file": str(file), "script_sha256": program.sha256} | ({} if draft is None else draft_json(draft)))
        return
    say(f"wrote {file}")
    if draft is not None:
        show(draft)


def read_or_refuse(script: Path) -> ScriptProgram:
    """The script, read.

    Raises: UsageError for one that is not there, SpecError for one that is no Python.
    """
    try:
        program = read_program(script, [])
        assert program.reads is not None, "reading finds what is no Python"
    except OSError as error:
        raise UsageError(f"{script}: {error.strerror}") from None
    except Unreadable as error:
        raise SpecError(f"{script.parent / str(error)}") from None
    return program


def given_variables(words: list[str], program: ScriptProgram) -> dict[str, str]:
    """Variables of `--env`.

    Raises: UsageError for one that the script does not read.
    """
    given = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in program.reads.names:
            raise UsageError(f"--env {word}: expected NAME=VALUE of a variable that {program.name} reads")
        given[name] = text
    return given


def relative(script: Path, file: Path) -> str:
    """The script's path as a spec in `file` would name it."""
    try:
        return script.resolve().relative_to(file.resolve().parent).as_posix()
    except ValueError:
        return str(script.resolve())


def show(draft: Draft) -> None:
    """Nothing; what was found is on stdout."""
    console = answer_console()
    for each in draft.nearest[:SHOWN_NEAREST]:
        words = f"{len(each.alike)} values alike, {len(each.other)} otherwise, {len(each.absent)} without a place"
        console.print(f"{each.name}: {words}", markup=False)
    console.print(f"drafted on {draft.base} with {len(draft.overrides)} values changed; {draft.verdict}", markup=False)
    if draft.lacking:
        console.print(f"its code names, and {draft.base} does not have: {', '.join(draft.lacking)}", markup=False)
    if draft.unnamed:
        console.print(f"{draft.base} has, and its code does not name: {', '.join(draft.unnamed)}", markup=False)
    for value, reason in draft.unmapped:
        console.print(f"not mapped: {value.name}={value.text} ({value.place}): {reason}", markup=False)


def draft_json(draft: Draft) -> dict[str, Any]:
    """The draft as JSON."""
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
    }
