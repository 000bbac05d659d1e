"""Writes drafts as YAML files for the user to edit."""

from pathlib import Path
from textwrap import fill
from typing import Any

from pgolf.drafting.draft import Draft, as_yaml
from pgolf.drafting.values import Hyperparameter
from pgolf.scripts.program import ScriptProgram, neighbours

COMMENT_WIDTH = 120
RECIPE = """\
# A draft from {script}: `pgolf preflight {file}` checks it, `pgolf spec show {file}` prints every value.
{verdict}
spec_version: 1
extends: {base}
name: {name}
question: Does the recipe reach the score of {script}?
"""
# Lines of the draft that name the variable of the seed; SEED is the default.
SEEDS = {
    "SEED": "",
    None: "  seed_variable: null  # it reads no variable SEED; name the variable of its seed, if it has one\n",
}
SCRIPT = """\
# Runs {script} unchanged: `pgolf preflight {file}` lists its variables, {command}.
spec_version: 1
name: {name}
program:
  kind: script
  path: {path}
{files}{seed}  env: {{}}
"""


def recipe_draft(draft: Draft, script: str, file: str, name: str) -> str:
    """Return a recipe's draft as YAML: values that differ from the base with their sources, the rest as comments."""
    lines = [
        RECIPE.format(script=script, file=file, name=name, base=draft.base, verdict=commented(f"{draft.verdict}."))
    ]
    lines += tree_lines(tree_of(draft))
    if draft.lacking:
        lines += ["", f"# Named in the script's code but not in {draft.base}: {', '.join(draft.lacking)}."]
    if draft.unnamed:
        lines += ["", f"# In {draft.base} but not named in the script's code: {', '.join(draft.unnamed)}."]
    if draft.unmapped:
        lines += ["", "# Not mapped: these variables have no effect on this draft."]
        lines += [f"#   {value.name}={value.text} ({value.place}): {reason}" for value, reason in draft.unmapped]
    if draft.elsewhere:
        lines += ["", "# Handled elsewhere:"]
        lines += [f"#   {value.name}={value.text}: {where}" for value, where in draft.elsewhere]
    return "\n".join(line.rstrip("\n") for line in lines) + "\n"


def commented(text: str) -> str:
    """Return a text as lines of a comment."""
    return fill(text, COMMENT_WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def tree_of(draft: Draft) -> dict[str, Any]:
    """Return the overrides as nested mappings whose leaves are pairs of value and comment."""
    tree: dict[str, Any] = {}
    for key, (value, source) in draft.overrides.items():
        *above, last = key.split(".")
        place = tree
        for part in above:
            place = place.setdefault(part, {})
        place[last] = (as_yaml(value), f"{described(source, value)}, {source.place}")
    return tree


def described(source: Hyperparameter, value: Any) -> str:
    """Return the name of a variable, with its text where that is not the recipe's value."""
    is_same = not source.text or as_yaml(value) == source.text or source.value == value
    return source.name if is_same else f"{source.name}={source.text}"


def tree_lines(tree: dict[str, Any], depth: int = 0) -> list[str]:
    """Return nested mappings as YAML lines."""
    lines = []
    for key, value in tree.items():
        indent = "  " * depth
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *tree_lines(value, depth + 1)]
        else:
            lines.append(f"{indent}{key}: {value[0]}  # {value[1]}")
    return lines


def script_draft(program: ScriptProgram, script: Path, file: Path, name: str) -> str:
    """Return the YAML of a spec in `file` that runs the script unchanged, with its variables as comments."""
    beside = ", ".join(path_from_spec(path, file) for path in neighbours(script))
    files = f"  files: [{beside}]  # imported from its folder; counts as code\n" if beside else ""
    variable = seed_variable(program)
    has_seed = variable is not None
    seed = SEEDS.get(variable, f"  seed_variable: {variable}\n")
    command = f"`pgolf seeds {file} --n 3` runs three seeds" if has_seed else f"`pgolf run {file}` runs it"
    path = path_from_spec(script, file)
    text = SCRIPT.format(script=program.name, file=file, name=name, path=path, files=files, seed=seed, command=command)
    variables = program.reads.unset(() if variable is None else (variable,))
    shown = [f"#   {each.name}: {each.default}  # {each.place}" for each in variables]
    return text + "\n".join(["# Variables for env, with the script's defaults:", *shown, ""])


def seed_variable(program: ScriptProgram) -> str | None:
    """Return the variable that seeds a script: SEED, or else the only one with that word; None if there is none."""
    if program.reads.may_read("SEED") or program.reads.escapes:
        return "SEED"
    named = [name for name in program.reads.names if "SEED" in name.upper().split("_")]
    return named[0] if len(named) == 1 else None


def path_from_spec(script: Path, file: Path) -> str:
    """Return the script's path relative to the spec in `file`, or absolute if it is outside its folder."""
    try:
        return script.resolve().relative_to(file.resolve().parent).as_posix()
    except ValueError:
        return str(script.resolve())
