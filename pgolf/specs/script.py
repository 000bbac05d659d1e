"""ScriptSpec: an experiment that runs a training script of the user's own, as it is."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from pgolf.scripts.program import ScriptProgram, read_program
from pgolf.specs.experiment import Experiment, SpecPart

SCRIPT_PATTERN = r"\.py$"
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
# Packed models, as the scripts of openai/parameter-golf name them.
USUAL_ARTIFACTS = ["*.ptz", "*.ptz.*", "*.pt.zst", "*.pt.br", "*.pt.xz", "*.int*.pt.*"]


def as_text(value: object) -> object:
    """A value of the environment, which holds texts: numbers become what `int` and `float` read back.

    Raises: ValueError for what has no one form, such as true.
    """
    if isinstance(value, bool):
        raise ValueError('what is true may be "1", "true" or "True" to a script; write the one that it compares with')
    if isinstance(value, str) and "\0" in value:
        raise ValueError("a variable of the environment cannot hold a NUL")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # 2e4 becomes 20000, which int() reads and float() as well
    return str(value) if isinstance(value, int | float) else value


def relative_pattern(pattern: str) -> str:
    """A pattern that stays below the folder in which the script works.

    Raises: ValueError for one that does not.
    """
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise ValueError(f"{pattern!r} leads out of the folder in which the script works")
    try:
        next(Path("/nowhere").glob(pattern), None)
    except ValueError as error:
        raise ValueError(f"{pattern!r} is no pattern of files: {error}") from None
    return pattern


Text = Annotated[str, BeforeValidator(as_text)]
VariableName = Annotated[str, Field(pattern=VARIABLE_PATTERN)]


class Script(SpecPart):
    """A training script that is run as it is. Paths are relative to the file that holds them."""

    kind: Literal["script"]
    path: Annotated[str, Field(pattern=SCRIPT_PATTERN)]
    """The script. It runs in a folder of the run's own."""
    env: dict[VariableName, Text] = {}
    """Environment variables. `{data}` in a value stands for the folder of `data`."""
    nproc: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Processes, started as torchrun does; null is one a device."""
    files: list[str] = []
    """Further files and folders that the script needs, from below its own folder. They count as code."""
    unchecked: list[VariableName] = []
    """Variables that the script reads in a way which its text does not show; they are not checked."""
    data: str | None = None
    """A folder of shards with a manifest.json, sent along by its hash; null leaves the data to the script."""
    seed_variable: VariableName | None = "SEED"
    """The variable that gives the seed; null for a script that takes none."""
    artifact: list[Annotated[str, AfterValidator(relative_pattern)]] = USUAL_ARTIFACTS
    """Patterns of the packed model, below the folder in which the script works."""
    seconds: Annotated[float, Field(gt=0)] | None = None
    """How long the script may take in all; it is stopped then. null leaves it to the script."""


class ScriptSpec(Experiment):
    """An experiment with a script in place of a recipe."""

    program: Script
    """The script, its variables, and where its data and its packed model are."""

    @property
    def processes(self) -> int:
        """Processes that share one run."""
        return self.program.nproc or self.launch.world_size


def program_of(script: Script) -> ScriptProgram:
    """The script and its files, read.

    Raises: OSError for a file that is not there; ValueError for one outside the script's folder.
    """
    return read_program(Path(script.path), [Path(file) for file in script.files])
