"""Everything that can be said about a spec before it runs."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pgolf.bundle.build import Bundle, bundle_of
from pgolf.bundle.modules import TrainerCode
from pgolf.bundle.own_code import local_files, with_own_copies
from pgolf.data.locate import LocatedData, locate_data, resolve_vocabulary
from pgolf.data.manifests import Manifest
from pgolf.data.prepare import ignore_progress
from pgolf.errors import DataError
from pgolf.findings import Finding, failures
from pgolf.preflight import rules
from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.calibrated import calibrated
from pgolf.preflight.cost import spend_of
from pgolf.preflight.duration import DurationEstimate, estimate_duration, planned_tokens
from pgolf.preflight.memory import disk_bytes, memory_bytes
from pgolf.preflight.size import estimate_model_bytes
from pgolf.preflight.stopping import stop_rule
from pgolf.rulesets.ruleset import Ruleset, load_ruleset
from pgolf.specs.experiment import ExperimentSpec
from pgolf.specs.identity import recipe_json, spec_sha256
from trainer.recipe.data import Shards
from trainer.recipe.inventory import inventory, parameter_groups

CODE_BASIS = "train_gpt.py beside model.bin: the trainer with this recipe, in one file"


@dataclass(frozen=True, kw_only=True, slots=True)
class Preflight:
    """A spec, what is known about it, and the findings."""

    spec: ExperimentSpec
    """With the vocabulary size resolved, where it is known."""
    ruleset: Ruleset
    located: LocatedData | None
    bundle: Bundle
    findings: list[Finding]
    identity: str | None = None
    """spec_sha256, or None without data."""
    groups: dict[str, int] = field(default_factory=dict)
    """Parameters by group; empty while the vocabulary is unknown."""
    model_bytes: ByteEstimate | None = None
    duration: DurationEstimate | None = None
    epochs: float | None = None
    memory_bytes: int | None = None
    usd: float | None = None
    """Dollars of `runs` runs."""
    runs: int = 1

    @property
    def code(self) -> TrainerCode:
        """The trainer's modules that the recipe reaches."""
        return self.bundle.code

    @property
    def code_bytes(self) -> int:
        """Bytes of train_gpt.py, exactly, for it has been built."""
        return len(self.bundle.packed)

    @property
    def planned_seconds(self) -> float | None:
        """Seconds of training and scoring together, where both are known."""
        return None if self.duration is None else self.duration.total_seconds

    @property
    def planned_tokens(self) -> float | None:
        """Tokens that the budget pays for, or None under a clock of seconds."""
        return planned_tokens(self.spec.recipe)

    @property
    def step_seconds(self) -> float | None:
        """Seconds a step as they were measured before; None where they were not."""
        steps, duration = self.spec.recipe.planned_steps, self.duration
        if duration is None or duration.train_seconds is None or not steps or not duration.is_measured:
            return None
        return duration.train_seconds / steps

    @property
    def processes(self) -> int:
        """Processes that share one run."""
        return self.spec.launch.world_size

    @property
    def code_sha256(self) -> str:
        return self.code.sha256

    @property
    def code_basis(self) -> str:
        """What the bytes of code are the bytes of."""
        return CODE_BASIS

    @property
    def packed_program(self) -> bytes:
        """train_gpt.py, as it is handed in."""
        return self.bundle.packed

    @property
    def libraries(self) -> tuple[str, ...]:
        """Packages that the trainer's modules import."""
        return self.code.libraries

    @property
    def disk_bytes(self) -> int:
        """What a run directory grows to; 0 while the data is missing."""
        return 0 if self.located is None else disk_bytes(self.spec.recipe, self.located.manifest.validation.tokens)

    def own_files(self) -> dict[str, Path]:
        """The user's own code, by the names of the copies that a run directory keeps."""
        return local_files(self.spec.recipe)

    def resolved(self) -> dict[str, Any]:
        """Every value of the spec as JSON, the user's own code under the names of its copies."""
        return self.spec.model_dump(mode="json") | {"recipe": with_own_copies(recipe_json(self.spec.recipe))}

    def of_program(self) -> dict[str, Any]:
        """Nothing: a recipe is run by the trainer itself."""
        return {}

    @property
    def failures(self) -> list[Finding]:
        return failures(self.findings)

    def with_findings(self, more: list[Finding]) -> "Preflight":
        """The same with further findings, such as the launcher's."""
        return replace(self, findings=[*self.findings, *more])

    def priced(self, runs: int) -> "Preflight":
        """With the dollars of so many runs, in place of those of another number."""
        usd, spend = spend_of(self.spec, self.duration, runs)
        others = [finding for finding in self.findings if finding.rule != "spend"]
        return replace(self, usd=usd, runs=runs, findings=[*others, spend])

    def as_json(self) -> dict[str, Any]:
        """The object of `pgolf preflight --json` and of preflight.json."""
        return {
            "spec": self.spec.name,
            "spec_sha256": self.identity,
            "data_sha256": self.located.manifest.sha256 if self.located else None,
            "code_sha256": self.code.sha256,
            "ruleset": self.ruleset.label,
            "parameters": {"total": sum(self.groups.values()), "groups": self.groups} if self.groups else None,
            "artifact": self.artifact_json(),
            "duration": {
                "train_seconds": self.duration.train_seconds if self.duration else None,
                "evaluate_seconds": self.duration.evaluate_seconds if self.duration else None,
                "steps": self.duration.steps if self.duration else None,
                "basis": self.duration.basis if self.duration else "not known without a vocabulary size",
            },
            "epochs": self.epochs,
            "memory_bytes": self.memory_bytes,
            "cost_usd": {
                "estimate": self.usd,
                "all_seeds": None if self.usd is None else self.usd / self.runs * len(self.spec.seeds),
                "cap": self.spec.spend.usd,
            },
            "checks": [finding.as_json() for finding in self.findings],
        }

    def artifact_json(self) -> dict[str, Any]:
        code, model, limit = self.code_bytes, self.model_bytes, self.ruleset.artifact_limit_bytes
        if model is None:
            return {"basis": None, "model_bytes": None, "code_bytes": code, "total_bytes": None, "limit_bytes": limit}
        interval = model.as_json()
        return {
            "basis": model.basis,
            "model_bytes": interval,
            "code_bytes": code,
            "total_bytes": {key: value + code for key, value in interval.items()},
            "limit_bytes": limit,
        }


def examine(
    spec: ExperimentSpec,
    *,
    runs_dir: Path,
    runs: int = 1,
    step_seconds: float | None = None,
    on_progress: Callable[[str], None] = ignore_progress,
) -> Preflight:
    """The preflight of a spec for a number of runs. Starts no torch and never fails on a finding."""
    ruleset = load_ruleset(spec.ruleset)
    located, problem = find_data(spec, on_progress)
    recipe = resolve_vocabulary(spec.recipe, located, ruleset)
    if recipe is not None:
        spec = spec.model_copy(update={"recipe": recipe})
    present = rules.data_present(located.manifest if located else None, problem)
    bundle = bundle_of(spec, ruleset)
    known = Preflight(spec=spec, ruleset=ruleset, located=located, bundle=bundle, findings=[present])
    known = known.with_findings([rules.libraries(known.code.libraries, spec.launch.on)])
    if recipe is None:
        message = "the vocabulary size is known neither here nor to the rules"
        return known.with_findings([Finding("fail", "vocabulary", message, "recipe.data.vocabulary_size: N")])
    known = examine_shape(known, runs_dir)
    if located:
        known = examine_data(known, located.manifest, runs_dir)
    return examine_time(known, runs_dir, runs, step_seconds)


def examine_shape(known: Preflight, runs_dir: Path) -> Preflight:
    """With what follows from the recipe alone: parameters, bytes, memory."""
    recipe, ruleset = known.spec.recipe, known.ruleset
    model_bytes = calibrated(estimate_model_bytes(recipe), recipe, runs_dir)
    launch = known.spec.launch
    memory = (
        rules.memory(recipe, available_memory(), launch.world_size)
        if launch.gpu is None
        else rules.gpu_memory(recipe, launch.gpu)
    )
    findings = [
        rules.artifact_size(model_bytes, known.code_bytes, ruleset.artifact_limit_bytes),
        rules.schedule_fits(recipe),
        rules.late_stages(recipe),
        rules.processes(recipe, launch),
        rules.training_clock(recipe, ruleset),
        rules.calibration_clock(recipe, ruleset),
        rules.quantized_share(recipe),
        memory,
    ]
    groups = parameter_groups(inventory(recipe.model, recipe.vocabulary_size))
    needed = memory_bytes(recipe, launch.gpu)
    return replace(known, groups=groups, model_bytes=model_bytes, memory_bytes=needed).with_findings(findings)


def examine_data(known: Preflight, manifest: Manifest, runs_dir: Path) -> Preflight:
    """With what follows from the data as well: identity, epochs, disk."""
    recipe, ruleset = known.spec.recipe, known.ruleset
    epochs, finding = rules.epochs(recipe, manifest)
    findings = [
        rules.canonical_data(manifest, ruleset),
        rules.lossless_tokenizer(manifest),
        finding,
        rules.disk(recipe, manifest, runs_dir),
    ]
    identity = spec_sha256(recipe, ruleset.label, manifest.sha256)
    return replace(known, identity=identity, epochs=epochs).with_findings(findings)


def examine_time(known: Preflight, runs_dir: Path, runs: int, step_seconds: float | None) -> Preflight:
    """With seconds and dollars."""
    launch = known.spec.launch
    duration = estimate_duration(
        known.spec.recipe,
        runs_dir=runs_dir,
        spec_sha256=known.identity,
        gpu=launch.gpu,
        processes=launch.world_size,
        cores=len(os.sched_getaffinity(0)),
        validation_tokens=validation_tokens(known),
        step_seconds=step_seconds,
    )
    known = replace(known, duration=duration)
    findings = [
        rules.evaluation_clock(duration, known.ruleset, launch),
        *([] if (stop := stop_rule(known, runs_dir)) is None else [stop]),
    ]
    return known.with_findings(findings).priced(runs)


def validation_tokens(known: Preflight) -> int | None:
    """Validation tokens of the data that is here, else of the ruleset's facts on a folder of that name."""
    if known.located is not None:
        return known.located.manifest.validation.tokens
    data = known.spec.recipe.data
    facts = known.ruleset.data.get(Path(data.folder).name) if isinstance(data, Shards) else None
    return None if facts is None else facts.validation_tokens[1]


def find_data(spec: ExperimentSpec, on_progress: Callable[[str], None]) -> tuple[LocatedData | None, str | None]:
    """The data of a spec, or what is wrong with it."""
    try:
        return locate_data(spec.recipe.data, on_progress), None
    except DataError as error:
        return None, str(error)


def available_memory() -> int | None:
    """Bytes of memory that are free or can be freed, where the kernel says so."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    sizes = dict(line.split(":") for line in lines)
    return int(sizes["MemAvailable"].split()[0]) * 1024
