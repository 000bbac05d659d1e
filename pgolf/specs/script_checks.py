"""What a spec says of a script, held against the script's text: every variable that is set is one that is read."""

from pgolf.errors import SpecError
from pgolf.scripts.program import ScriptProgram, Unreadable
from pgolf.scripts.reads import Reads, is_of_machine
from pgolf.specs.complaints import place_of
from pgolf.specs.script import Script, ScriptSpec, program_of
from pgolf.specs.suggestions import nearest
from pgolf.specs.yaml_documents import Node
from trainer.recipe.files import DATA_PLACEHOLDER

# How like two names are of which one is a misspelling of the other, where either could be meant.
ALMOST_THE_SAME = 0.85


def check_script(spec: ScriptSpec, document: Node) -> None:
    """Nothing, if the script is there and reads what the spec sets.

    Raises: SpecError with file:line.
    """
    program = read_or_refuse(spec.program, document)
    for name in spec.program.env:
        check_variable(name, program, spec.program, document)
    named = spec.program.seed_variable
    is_taken = named is None or program.reads.knows(named) or program.reads.walks or named in spec.program.unchecked
    if named is not None and not is_taken:
        place = place_of(document, ("program", "seed_variable"))
        raise SpecError(
            f"{place}: program.seed_variable: {program.name} does not read {named}, so all its runs would be one; "
            f"{alternative(named, program.reads)}, or null for a script without a seed"
        )
    wants_data = [name for name, text in spec.program.env.items() if DATA_PLACEHOLDER in text]
    if wants_data and spec.program.data is None:
        place = place_of(document, ("program", "env", wants_data[0]))
        raise SpecError(
            f"{place}: program.env.{wants_data[0]} names {DATA_PLACEHOLDER}, and program.data names no folder"
        )
    if spec.program.nproc not in (None, spec.launch.devices) and spec.launch.gpu is not None:
        place = place_of(document, ("program", "nproc"))
        raise SpecError(f"{place}: program.nproc: {spec.program.nproc} processes for {spec.launch.gpu}; one a device")


def read_or_refuse(script: Script, document: Node) -> ScriptProgram:
    """The script with its files.

    Raises: SpecError with file:line of the path that is wrong, or of the script's own line that is no Python.
    """
    place = place_of(document, ("program", "path"))
    try:
        program = program_of(script)
        assert program.reads is not None, "reading finds what is no Python"
    except OSError as error:
        raise SpecError(f"{place}: program: {error.filename}: {error.strerror}") from None
    except Unreadable as error:
        raise SpecError(f"{place}: program.path: {error}") from None
    except ValueError as error:
        place = place_of(document, ("program", "files"))
        raise SpecError(f"{place}: program.files: {error}; only what lies beside the script can be shipped") from None
    return program


def check_variable(name: str, program: ScriptProgram, script: Script, document: Node) -> None:
    """Nothing, if the script reads a variable, or may.

    Raises: SpecError with the nearest name and the line where that is read.
    """
    place, reads = place_of(document, ("program", "env", name)), program.reads
    if name == script.seed_variable:
        raise SpecError(f"{place}: program.env.{name}: seeds are given by `seeds:`, one a run")
    if name in script.unchecked:
        return
    close = nearest(name, reads.names, ALMOST_THE_SAME)
    if reads.knows(name) and not (is_of_machine(name) and name not in reads.names and close is not None):
        return
    if not reads.walks or close is not None:
        raise SpecError(
            f"{place}: program.env.{name}: {program.name} reads no such variable, so setting it does nothing; "
            f"{alternative(name, reads)}"
        )


def alternative(name: str, reads: Reads) -> str:
    """The variable that somebody probably meant, and where it is read; or how many there are."""
    close = nearest(name, reads.names)
    if close is not None:
        return f"did you mean `{close}` ({reads.first(close).place})? program.unchecked lets it pass"
    count = f"it reads {len(reads.names)}, which `pgolf preflight` lists" if reads.names else "it reads none"
    return f"{count}; program.unchecked lets it pass"
