"""The job in a run directory that holds a script in place of a recipe."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.recipe.files import DATA_PLACEHOLDER, RunFiles
from trainer.recipe.reading import read_json
from trainer.runtime.failure import ResumeRefused
from trainer.runtime.job import read_run, require

# Where the script runs, inside the run directory. It is kept from one attempt to the next.
WORK_FOLDER = "work"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptJob:
    """The contents of a run directory that holds a script."""

    files: RunFiles
    seed: int
    program: dict[str, Any]
    """`program` of the spec."""
    run: dict[str, Any]
    """run.json: identity, hashes, limits, environment variables withheld from the script."""

    @property
    def work(self) -> Path:
        return self.files.root / WORK_FOLDER

    @property
    def script(self) -> str:
        """Name of the script in its working folder."""
        return str(self.run["script"])

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables that the script has besides those of this process."""
        folder = self.run["data_folder"] or ""
        given = {name: text.replace(DATA_PLACEHOLDER, folder) for name, text in self.program["env"].items()}
        named = self.program["seed_variable"]
        return given if named is None else given | {named: str(self.seed)}


def is_script_run(arguments: list[str]) -> bool:
    """Return whether one of the arguments is a run directory with a script."""
    for argument in arguments:
        try:
            if "program" in read_json(RunFiles(Path(argument)).spec):
                return True
        except (OSError, ValueError):
            continue
    return False


def read_script_job(root: Path) -> ScriptJob:
    """Read the job of a run directory.

    Raises:
        ResumeRefused: spec.json or run.json is missing or not readable.
    """
    files = RunFiles(root.resolve())
    try:
        spec, run = read_json(files.spec), read_run(files)
        program, seed = require(spec, "program", dict, files.spec), require(spec, "seed", int, files.spec)
        require(program, "env", dict, files.spec)
        require(program, "artifact", list, files.spec)
        require(run, "script", str, files.run)
        require(run, "withheld", list, files.run)
        require(run, "code_files", dict, files.run)
        return ScriptJob(files=files, seed=seed, program=program, run=run)
    except (OSError, ValueError) as error:
        raise ResumeRefused(f"{root} is not a run directory: {error}") from error
