"""What launching, pricing and showing ask of a preflight, be it of a recipe or of a script."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from pgolf.data.locate import LocatedData
from pgolf.data.prepare import ignore_progress
from pgolf.findings import Finding
from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.duration import DurationEstimate
from pgolf.rulesets.ruleset import Ruleset
from pgolf.specs.experiment import Experiment, ExperimentSpec
from pgolf.specs.script import ScriptSpec


class Examined(Protocol):
    """A spec, what is known about it, and the findings."""

    @property
    def spec(self) -> Experiment: ...
    @property
    def ruleset(self) -> Ruleset: ...
    @property
    def located(self) -> LocatedData | None: ...
    @property
    def findings(self) -> list[Finding]: ...
    @property
    def failures(self) -> list[Finding]: ...
    @property
    def identity(self) -> str | None:
        """spec_sha256, or None while the data is missing."""
        ...

    @property
    def groups(self) -> dict[str, int]:
        """Parameters by group; empty where they are not known."""
        ...

    @property
    def model_bytes(self) -> ByteEstimate | None: ...
    @property
    def planned_tokens(self) -> float | None: ...
    @property
    def epochs(self) -> float | None: ...
    @property
    def duration(self) -> DurationEstimate | None: ...
    @property
    def planned_seconds(self) -> float | None:
        """Seconds of training and scoring together, where both are known."""
        ...

    @property
    def step_seconds(self) -> float | None:
        """Seconds a step as they were measured before; None where they were not."""
        ...

    @property
    def usd(self) -> float | None:
        """Dollars of `runs` runs."""
        ...

    @property
    def runs(self) -> int: ...
    @property
    def processes(self) -> int:
        """Processes that share one run."""
        ...

    @property
    def code_sha256(self) -> str: ...
    @property
    def code_bytes(self) -> int: ...
    @property
    def code_basis(self) -> str:
        """What the bytes of code are the bytes of."""
        ...

    @property
    def packed_program(self) -> bytes | None:
        """The one file that is handed in, where it is known before the run."""
        ...

    @property
    def libraries(self) -> tuple[str, ...]: ...
    @property
    def disk_bytes(self) -> int:
        """What a run directory grows to, as far as it is known."""
        ...

    def own_files(self) -> dict[str, Path]:
        """The user's own code, by the names of the copies that a run directory keeps."""
        ...

    def resolved(self) -> dict[str, Any]:
        """Every value of the spec as JSON, the user's own code under the names of its copies."""
        ...

    def of_program(self) -> dict[str, Any]:
        """What run.json says of a script; nothing of a recipe."""
        ...

    def with_findings(self, more: list[Finding]) -> "Examined": ...
    def priced(self, runs: int) -> "Examined":
        """With the dollars of so many runs, in place of those of another number."""
        ...

    def artifact_json(self) -> dict[str, Any]: ...
    def as_json(self) -> dict[str, Any]: ...


def examine_any(
    spec: ExperimentSpec | ScriptSpec,
    *,
    runs_dir: Path,
    runs: int = 1,
    on_progress: Callable[[str], None] = ignore_progress,
) -> Examined:
    """The preflight of a spec for a number of runs. Starts no torch and never fails on a finding."""
    # Either imports what the other can do without.
    if isinstance(spec, ScriptSpec):
        from pgolf.preflight.scripts import examine_script

        return examine_script(spec, runs_dir=runs_dir, runs=runs)
    from pgolf.preflight.examine import examine

    return examine(spec, runs_dir=runs_dir, runs=runs, on_progress=on_progress)
