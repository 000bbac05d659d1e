"""The script that a spec is drafted from, and the variables that it is run with."""

import ast
from collections.abc import Sequence
from pathlib import Path

from pgolf.errors import SpecError, UsageError
from pgolf.scripts.program import ScriptProgram, Unreadable, read_program


def read_script(script: Path) -> ScriptProgram:
    """Read a script without executing it.

    Raises:
        UsageError: there is no such file.
        SpecError: it is not Python, or no program.
    """
    try:
        program = read_program(script, [])
        _ = program.reads  # parses the files
    except OSError as error:
        raise UsageError(f"{script}: {error.strerror}") from None
    except Unreadable as error:
        raise SpecError(error.below(script.parent)) from None
    if not does_anything(program.trees[next(iter(program.trees))]):
        raise SpecError(
            f"{script}: found no statement that does anything, expected a training script; "
            "`jupyter nbconvert --to script NOTEBOOK` makes one from a notebook"
        )
    return program


def does_anything(tree: ast.Module) -> bool:
    """Return whether a program has a statement that is more than constants, such as the JSON of a notebook is not."""
    statements = [each for each in tree.body if not isinstance(each, ast.Pass)]
    parts = (part for each in statements for part in ast.walk(each))
    is_constant = all(isinstance(each, ast.Expr) for each in statements)
    return not is_constant or any(isinstance(part, ast.Call | ast.Await | ast.NamedExpr) for part in parts)


def given_variables(words: Sequence[str], program: ScriptProgram) -> dict[str, str]:
    """Return the variables of `--env`.

    Raises:
        UsageError: it is not NAME=VALUE, or the script does not read the variable.
    """
    given = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in program.reads.names:
            raise UsageError(f"--env {word}: expected NAME=VALUE with the name of a variable that {program.name} reads")
        given[name] = text
    return given
