"""Checks a script spec against the script's text: every variable that the spec sets must be one that is read."""

from pathlib import Path

from pgolf.errors import SpecError
from pgolf.scripts.program import ScriptProgram, Unreadable, read_program
from pgolf.scripts.reads import EnvironmentReads, is_external
from pgolf.specs.experiment import Experiment
from pgolf.specs.script import Script
from pgolf.specs.suggestions import nearest
from pgolf.specs.validation_errors import place_of
from pgolf.specs.yaml_documents import Node
from trainer.recipe.files import DATA_PLACEHOLDER

# Similarity from which a name that may be read counts as a misspelling of another one.
MISSPELLING_SIMILARITY = 0.85


def program_of(script: Script) -> ScriptProgram:
    """Read a script and its files.

    Raises:
        OSError: a file is not there.
        ValueError: a file lies outside the script's folder.
    """
    return read_program(Path(script.path), [Path(file) for file in script.files])


def check_script(spec: Experiment, document: Node) -> None:
    """Check that the script exists and reads the variables that the spec sets.

    Raises:
        SpecError: it is wrong, at file:line.
    """
    program = read_script(spec.program, document)
    for name in spec.program.env:
        check_variable(name, program, spec.program, document)
    named = spec.program.seed_variable
    is_taken = (
        named is None or program.reads.may_read(named) or program.reads.escapes or named in spec.program.unchecked
    )
    if named is not None and not is_taken:
        place = place_of(document, ("program", "seed_variable"))
        raise SpecError(
            f"{place}: program.seed_variable: {program.name} does not read {named}, so every seed would give the same "
            f"run; {suggest_variable(named, program.reads)}, or set it to null for a script without a seed"
        )
    wants_data = [name for name, text in spec.program.env.items() if DATA_PLACEHOLDER in text]
    if wants_data and spec.program.data is None:
        place = place_of(document, ("program", "env", wants_data[0]))
        raise SpecError(
            f"{place}: program.env.{wants_data[0]} uses {DATA_PLACEHOLDER}, but program.data names no folder; add it"
        )
    if spec.program.nproc not in (None, spec.launch.devices) and spec.launch.gpu is not None:
        place = place_of(document, ("program", "nproc"))
        raise SpecError(
            f"{place}: program.nproc: found {spec.program.nproc} processes, expected one for each device of "
            f"{spec.launch.gpu}"
        )


def read_script(script: Script, document: Node) -> ScriptProgram:
    """Read the script with its files.

    Raises:
        SpecError: a path is wrong, or a line of the script is not Python; gives file:line.
    """
    place = place_of(document, ("program", "path"))
    try:
        program = program_of(script)
        _ = program.reads  # parses the files
    except OSError as error:
        raise SpecError(f"{place}: program: {error.filename}: {error.strerror}") from None
    except Unreadable as error:
        raise SpecError(f"{place}: program.path: {error}") from None
    except ValueError as error:
        place = place_of(document, ("program", "files"))
        raise SpecError(f"{place}: program.files: {error}; files must be in the script's folder or below it") from None
    return program


def check_variable(name: str, program: ScriptProgram, script: Script, document: Node) -> None:
    """Check that the script reads a variable, or may read it.

    Raises:
        SpecError: it does not; suggests the nearest name, with the line where that is read.
    """
    place, reads = place_of(document, ("program", "env", name)), program.reads
    if name == script.seed_variable:
        raise SpecError(f"{place}: program.env.{name}: seeds are given by `seeds:`, one for each run; remove it")
    if name in script.unchecked:
        return
    close = nearest(name, reads.names, MISSPELLING_SIMILARITY)
    if reads.may_read(name) and not (is_external(name) and name not in reads.names and close is not None):
        return
    if not reads.escapes or close is not None:
        raise SpecError(
            f"{place}: program.env.{name}: {program.name} does not read this variable, so setting it has no effect; "
            f"{suggest_variable(name, reads)}"
        )


def suggest_variable(name: str, reads: EnvironmentReads) -> str:
    """Return the most similar variable as a question, with its place, or how many variables are read."""
    close = nearest(name, reads.names)
    if close is not None:
        return f"did you mean `{close}` ({reads.first(close).place})? Or list it in program.unchecked to allow it"
    count = f"it reads {len(reads.names)}, which `pgolf preflight` lists" if reads.names else "it reads none"
    return f"{count}; or list it in program.unchecked to allow it"
