"""The script that a spec is drafted from, and the variables that it is run with."""

from collections.abc import Sequence
from pathlib import Path

from pgolf.errors import SpecError, UsageError
from pgolf.scripts.program import ScriptProgram, Unreadable, read_program


def read_script(script: Path) -> ScriptProgram:
    """Read a script without executing it.

    Raises:
        UsageError: there is no such file.
        SpecError: it is not Python.
    """
    try:
        program = read_program(script, [])
        _ = program.reads  # parses the files
    except OSError as error:
        raise UsageError(f"{script}: {error.strerror}") from None
    except Unreadable as error:
        raise SpecError(error.below(script.parent)) from None
    return program


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
