"""Script: a training script of the user's own, run as it is."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from pgolf.specs.parts import SpecPart

SCRIPT_PATTERN = r"\.py$"
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
# Packed models, as the scripts of openai/parameter-golf name them.
USUAL_ARTIFACTS = ["*.ptz", "*.ptz.*", "*.pt.zst", "*.pt.br", "*.pt.xz", "*.int*.pt.*"]


def as_text(value: object) -> object:
    """Return the text of an environment variable. Numbers become text that `int` and `float` read back.

    Raises:
        ValueError: the value has no single text, such as true.
    """
    if isinstance(value, bool):
        raise ValueError('scripts spell true as "1", "true" or "True"; quote the one that this script compares with')
    if isinstance(value, str) and "\0" in value:
        raise ValueError("an environment variable cannot hold a NUL character")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # 2e4 becomes 20000, which int() reads and float() as well
    return str(value) if isinstance(value, int | float) else value


def relative_pattern(pattern: str) -> str:
    """Return a glob pattern that stays below the script's working folder.

    Raises:
        ValueError: it leads outside, or is not a pattern.
    """
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise ValueError(f"{pattern!r} leads outside the script's working folder")
    try:
        next(Path("/nowhere").glob(pattern), None)
    except ValueError as error:
        raise ValueError(f"{pattern!r} is not a file pattern: {error}") from None
    return pattern


Text = Annotated[str, BeforeValidator(as_text)]
VariableName = Annotated[str, Field(pattern=VARIABLE_PATTERN)]


class Script(SpecPart):
    """A training script that is run as it is. Paths are relative to the file they are written in."""

    kind: Literal["script"]
    path: Annotated[str, Field(pattern=SCRIPT_PATTERN)]
    """The script. It runs in a working folder inside the run directory."""
    env: dict[VariableName, Text] = {}
    """Environment variables. `{data}` in a value stands for the folder in `data`."""
    nproc: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Number of processes, started as torchrun starts them; null starts one a device."""
    files: list[str] = []
    """Further files and folders that the script needs, below its own folder. They count as code."""
    unchecked: list[VariableName] = []
    """Variables that the script reads in a way that its source does not show; they are not checked."""
    data: str | None = None
    """A folder of shards with a manifest.json, sent along by its hash; null leaves finding data to the script."""
    seed_variable: VariableName | None = "SEED"
    """The variable that gives the seed; null for a script that takes none."""
    artifact: list[Annotated[str, AfterValidator(relative_pattern)]] = USUAL_ARTIFACTS
    """Glob patterns of the packed model, below the script's working folder."""
    seconds: Annotated[float, Field(gt=0)] | None = None
    """Time limit in seconds, after which the script is stopped; null sets none."""
