"""Preflight: what is known about an experiment before it runs."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pgolf.data.locate import LocatedData
from pgolf.errors import DataError
from pgolf.findings import Finding, failures
from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.cost import spend_of
from pgolf.preflight.duration import DurationEstimate
from pgolf.rulesets.judging import RunSize
from pgolf.rulesets.ruleset import Ruleset
from pgolf.scripts.reads import Variable
from pgolf.specs.experiment import Experiment


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptFacts:
    """What the source of a user's script says."""

    name: str
    code_files: dict[str, int]
    """Bytes by shipped file."""
    unset: tuple[Variable, ...]
    """Variables that the script reads and the spec leaves at their defaults."""
    ambient: tuple[str, ...]
    """Variables of this shell that the script reads, or may read, and the spec does not set."""
    train_seconds_allowed: float | None
    """The contest's training limit, where the spec asks for the contest's hardware."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preflight:
    """An experiment, what is known about it, and the findings. What is not known is None or empty."""

    spec: Experiment
    """With the vocabulary size resolved, where it is known."""
    ruleset: Ruleset
    findings: list[Finding]
    located: LocatedData | None
    """The data, if it is on this machine."""
    code_sha256: str
    code_bytes: int
    code_basis: str
    """What `code_bytes` counts."""
    libraries: tuple[str, ...]
    """Packages that the code imports besides the standard library."""
    own_files: dict[str, Path]
    """The user's own code, by the names of the copies that a run directory keeps."""
    packed_program: bytes | None = None
    """The train_gpt.py to hand in, where it is known before the run."""
    script: ScriptFacts | None = None
    """For an experiment that runs a script."""
    identity: str | None = None
    """spec_sha256; None while the data is missing."""
    groups: dict[str, int] = field(default_factory=dict)
    """Parameters by group."""
    model_bytes: ByteEstimate | None = None
    planned_tokens: float | None = None
    epochs: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int = 0
    """Size to which a run directory grows."""
    duration: DurationEstimate | None = None
    step_seconds: float | None = None
    """Measured seconds a step; None where nothing was measured."""
    usd: float | None = None
    """Dollars for `runs` runs."""
    runs: int = 1

    @property
    def failures(self) -> list[Finding]:
        return failures(self.findings)

    @property
    def planned_seconds(self) -> float | None:
        """Seconds of training and scoring together."""
        return None if self.duration is None else self.duration.total_seconds

    def require_data(self) -> None:
        """Check that the data is there and right.

        Raises:
            DataError: it is not; quotes the finding.
        """
        missing = next((finding for finding in self.failures if finding.rule == "data"), None)
        if missing is not None:
            raise DataError(missing.message)

    def size(self) -> RunSize:
        """Return what a run will use, as far as it is known."""
        manifest = None if self.located is None else self.located.manifest
        recipe = None if self.spec.is_script else self.spec.recipe
        return RunSize(
            parameters=sum(self.groups.values()) or None,
            train_tokens=None if manifest is None else manifest.train.tokens,
            steps=None if recipe is None else recipe.planned_steps,
            batch_tokens=None if recipe is None else recipe.schedule.batch_tokens,
            data=None if manifest is None else manifest.name,
        )

    def with_findings(self, *more: Finding) -> "Preflight":
        """Return this with further findings, such as the launcher's."""
        return replace(self, findings=[*self.findings, *more])

    def priced(self, runs: int) -> "Preflight":
        """Return this with the dollars of another number of runs."""
        usd, spend = spend_of(self.spec, self.duration, runs)
        others = [finding for finding in self.findings if finding.rule != "spend"]
        return replace(self, usd=usd, runs=runs, findings=[*others, spend])

    def as_json(self) -> dict[str, Any]:
        """Return the object of `pgolf preflight --json` and of preflight.json."""
        return {
            "spec": self.spec.name,
            "spec_sha256": self.identity,
            "data_sha256": self.located.manifest.sha256 if self.located else None,
            "code_sha256": self.code_sha256,
            "ruleset": self.ruleset.label,
            "parameters": {"total": sum(self.groups.values()), "groups": self.groups} if self.groups else None,
            "artifact": self.artifact_json(),
            "duration": self.duration_json(),
            "epochs": self.epochs,
            "memory_bytes": self.memory_bytes,
            "cost_usd": {
                "estimate": self.usd,
                "all_seeds": None if self.usd is None else self.usd / self.runs * len(self.spec.seeds),
                "cap": self.spec.spend.usd,
            },
            **self.variables_json(),
            "checks": [finding.as_json() for finding in self.findings],
        }

    def artifact_json(self) -> dict[str, Any]:
        """Return bytes of model and code, and the limit."""
        model, code = self.model_bytes, self.code_bytes
        return {
            "basis": model.basis if model else None,
            "model_bytes": model.as_json() if model else None,
            "code_bytes": code,
            "total_bytes": {key: size + code for key, size in model.as_json().items()} if model else None,
            "limit_bytes": self.ruleset.limits.bytes,
        }

    def duration_json(self) -> dict[str, Any]:
        """Return seconds and their basis; steps only for a recipe, whose optimizer steps are known."""
        duration = self.duration
        document: dict[str, Any] = {
            "train_seconds": duration.train_seconds if duration else None,
            "evaluate_seconds": duration.evaluate_seconds if duration else None,
        }
        if self.script is None:
            document["steps"] = duration.steps if duration else None
        return document | {"basis": duration.basis if duration else self.unknown_duration_basis}

    @property
    def unknown_duration_basis(self) -> str | None:
        """Why there is no duration."""
        return "not known without a vocabulary size" if self.script is None else None

    def variables_json(self) -> dict[str, Any]:
        """Return the variables of a script; nothing for a recipe."""
        if self.script is None:
            return {}
        unset = {each.name: {"default": each.default, "read_at": each.place} for each in self.script.unset}
        return {"variables": {"set": dict(self.spec.program.env), "unset": unset}}
