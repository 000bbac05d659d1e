"""Everything that can be said about a script before it runs: what it reads, and what earlier runs of it took."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean, median
from typing import Any

from pgolf.data.locate import LocatedData, locate_folder
from pgolf.errors import DataError, SpecError
from pgolf.findings import Finding, failures
from pgolf.preflight import rules
from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.cost import spend_of
from pgolf.preflight.duration import DurationEstimate
from pgolf.preflight.public_runs import estimate_public_run
from pgolf.preflight.stopping import stop_rule
from pgolf.rulesets.ruleset import Ruleset, load_ruleset
from pgolf.rundir import find_runs, read_or_empty
from pgolf.scripts.program import ScriptProgram, neighbours
from pgolf.scripts.reads import Variable, is_external
from pgolf.specs.identity import script_spec_sha256
from pgolf.specs.script import ScriptSpec, program_of
from trainer.recipe.files import LOCAL_FOLDER

CODE_BASIS = "the script and its files, as they are shipped"
# How the scripts of openai/parameter-golf name their own limit of training seconds.
OWN_LIMIT = "MAX_WALLCLOCK_SECONDS"
# Hyperparameters, as logs name them, on which the number of parameters does not depend.
NOT_OF_SHAPE = ("bits", "clip", "lqer", "awq", "lr", "warm", "ttt", "compressor", "momentum", "decay", "quant", "steps")
SEEDS_DIFFER = 0.005
WORK_BYTES = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class ScriptPreflight:
    """A script's spec, what is known about it, and the findings."""

    spec: ScriptSpec
    ruleset: Ruleset
    program: ScriptProgram
    located: LocatedData | None
    earlier: list[dict[str, Any]]
    """Results of this very script here, whatever its variables were."""
    findings: list[Finding] = field(default_factory=list)
    identity: str | None = None
    duration: DurationEstimate | None = None
    model_bytes: ByteEstimate | None = None
    usd: float | None = None
    runs: int = 1

    @property
    def failures(self) -> list[Finding]:
        return failures(self.findings)

    @property
    def planned_seconds(self) -> float | None:
        return None if self.duration is None else self.duration.total_seconds

    @property
    def groups(self) -> dict[str, int]:
        """Nothing: how many parameters a script has, only its log tells."""
        return {}

    @property
    def planned_tokens(self) -> None:
        """Nothing: only the script knows."""

    @property
    def epochs(self) -> None:
        """Nothing: only the script knows."""

    @property
    def step_seconds(self) -> float | None:
        found = [clock["train_seconds"] / steps for clock, steps in self.speeds()]
        return median(found) if found else None

    def speeds(self) -> Iterator[tuple[dict[str, Any], int]]:
        """Clocks and steps of finished runs of this spec."""
        for result in self.same():
            if result["steps"] and result["clock"]["train_seconds"]:
                yield result["clock"], result["steps"]

    def same(self) -> list[dict[str, Any]]:
        """Results of this very spec, on the same kind of device."""
        device = "cpu" if self.spec.launch.gpu is None else "cuda"
        return [
            result
            for result in self.earlier
            if result["spec_sha256"] == self.identity and result["environment"]["device"] == device
        ]

    @property
    def processes(self) -> int:
        return self.spec.processes

    @property
    def code_sha256(self) -> str:
        return self.program.sha256

    @property
    def code_bytes(self) -> int:
        return self.program.bytes

    @property
    def code_basis(self) -> str:
        return CODE_BASIS

    @property
    def packed_program(self) -> None:
        """Nothing: the script is handed in as it is."""

    @property
    def libraries(self) -> tuple[str, ...]:
        return self.program.libraries

    @property
    def disk_bytes(self) -> int:
        return WORK_BYTES

    @cached_property
    def unset(self) -> list[Variable]:
        """Variables that the script reads and the spec leaves to their defaults."""
        given = [*self.spec.program.env, self.spec.program.seed_variable or ""]
        return self.program.reads.unset(given)

    @property
    def ambient(self) -> list[str]:
        """Variables of this shell that the script would, or might, read, and the spec does not set."""
        reads, given = self.program.reads, {*self.spec.program.env, self.spec.program.seed_variable}
        candidates = [name for name in os.environ if name not in given and not is_external(name)]
        return sorted(name for name in candidates if reads.may_read(name) or reads.escapes)

    def own_files(self) -> dict[str, Path]:
        root = Path(self.spec.program.path).parent
        return {name: root / name for name in self.program.files}

    def resolved(self) -> dict[str, Any]:
        document = self.spec.model_dump(mode="json")
        own = [f"{LOCAL_FOLDER}/{name}" for name in self.program.files]
        document["program"] |= {"path": own[0], "files": own[1:]}
        return document

    def of_program(self) -> dict[str, Any]:
        is_measured = rules.is_contest_hardware(self.spec.launch)
        return {
            "script": self.program.name,
            "withheld": sorted({*(variable.name for variable in self.unset), *self.ambient}),
            "train_seconds_allowed": self.ruleset.train_seconds if is_measured else None,
            "code_files": {name: len(content) for name, content in self.program.files.items()},
        }

    def with_findings(self, more: list[Finding]) -> "ScriptPreflight":
        return replace(self, findings=[*self.findings, *more])

    def priced(self, runs: int) -> "ScriptPreflight":
        usd, spend = spend_of(self.spec, self.duration, runs)
        others = [finding for finding in self.findings if finding.rule != "spend"]
        return replace(self, usd=usd, runs=runs, findings=[*others, spend])

    def artifact_json(self) -> dict[str, Any]:
        code, model, limit = self.code_bytes, self.model_bytes, self.ruleset.artifact_limit_bytes
        return {
            "basis": model.basis if model else None,
            "model_bytes": model.as_json() if model else None,
            "code_bytes": code,
            "total_bytes": {key: size + code for key, size in model.as_json().items()} if model else None,
            "limit_bytes": limit,
        }

    def as_json(self) -> dict[str, Any]:
        """The object of `pgolf preflight --json` and of preflight.json."""
        duration = self.duration
        return {
            "spec": self.spec.name,
            "spec_sha256": self.identity,
            "data_sha256": self.located.manifest.sha256 if self.located else None,
            "code_sha256": self.code_sha256,
            "ruleset": self.ruleset.label,
            "parameters": None,
            "artifact": self.artifact_json(),
            "duration": {
                "train_seconds": duration.train_seconds if duration else None,
                "evaluate_seconds": duration.evaluate_seconds if duration else None,
                "basis": duration.basis if duration else None,
            },
            "epochs": None,
            "memory_bytes": None,
            "cost_usd": {
                "estimate": self.usd,
                "all_seeds": None if self.usd is None else self.usd / self.runs * len(self.spec.seeds),
                "cap": self.spec.spend.usd,
            },
            "variables": {
                "set": dict(self.spec.program.env),
                "unset": {each.name: {"default": each.default, "read_at": each.place} for each in self.unset},
            },
            "checks": [finding.as_json() for finding in self.findings],
        }


def examine_script(spec: ScriptSpec, *, runs_dir: Path, runs: int = 1) -> ScriptPreflight:
    """The preflight of a script's spec for a number of runs. Executes nothing of it."""
    ruleset, program = load_ruleset(spec.ruleset), program_of(spec.program)
    located, problem = find_data(spec)
    known = ScriptPreflight(
        spec=spec, ruleset=ruleset, program=program, located=located, earlier=results_of(program, runs_dir)
    )
    known = known.with_findings([data_of_script(spec, located, problem), *variables(known)])
    known = known.with_findings([*unshipped(known), rules.libraries(known.libraries, spec.launch.on)])
    if located is not None:
        known = known.with_findings([rules.canonical_data(located.manifest, ruleset)])
    if problem is None:
        data = None if located is None else located.manifest.sha256
        known = replace(
            known, identity=script_spec_sha256(
            spec.program, spec.processes, program.sha256, ruleset.label, data
        )
        )  # fmt: skip
    known = replace(known, model_bytes=estimate_bytes(known), duration=estimate_script_duration(known))
    known = known.with_findings(
        [artifact_size(known), *([] if (stop := stop_rule(known, runs_dir)) is None else [stop])]
    )
    return known.priced(runs)


def find_data(spec: ScriptSpec) -> tuple[LocatedData | None, str | None]:
    """The data that a script's spec names, or what is wrong with it; neither where it names none."""
    if spec.program.data is None:
        return None, None
    try:
        return locate_folder(Path(spec.program.data)), None
    except DataError as error:
        return None, str(error)


def results_of(program: ScriptProgram, runs_dir: Path) -> list[dict[str, Any]]:
    """Results of finished runs of a script here."""
    found = (read_or_empty(run.files.result) for run in find_runs(runs_dir))
    return [result for result in found if result.get("code_sha256") == program.sha256]


def data_of_script(spec: ScriptSpec, located: LocatedData | None, problem: str | None) -> Finding:
    """Whether the data is known, here, and what its manifest says."""
    if spec.program.data is not None:
        return rules.data_present(located.manifest if located else None, problem)
    message = (
        "program.data names no folder: which data the script finds is not known, and no part of the run's identity"
    )
    fix = "program.data: FOLDER, and {data} in the variable that wants it"
    if spec.launch.on != "local":
        return Finding("warn", "script_data", f"{message}; nothing is sent to {spec.launch.on}", fix)
    return Finding("pass", "script_data", message, fix)


def unshipped(known: ScriptPreflight) -> Iterator[Finding]:
    """Files that the script imports from its own folder, and that would not be there when it runs."""
    script = Path(known.spec.program.path)
    missing = [path.name for path in neighbours(script) if not is_shipped(path, script.parent, known.program)]
    if missing:
        names = ", ".join(missing)
        message = f"{known.program.name} imports {names} from beside it, and program.files does not name it"
        yield Finding("fail", "files", message, f"program.files: [{names}]")


def is_shipped(path: Path, root: Path, program: ScriptProgram) -> bool:
    """Whether a file, or something of a folder, is shipped."""
    name = path.resolve().relative_to(root.resolve()).as_posix()
    return any(shipped == name or shipped.startswith(f"{name}/") for shipped in program.files)


def variables(known: ScriptPreflight) -> Iterator[Finding]:
    """What becomes of the variables that the script reads."""
    reads, given = known.program.reads, known.spec.program.env
    own = [name for name in reads.names if not is_external(name)]
    message = f"{known.program.name} reads {len(own)} variables; {len(given)} are set, {len(known.unset)} are not"
    if reads.patterns:
        places = ", ".join(reads.patterns.values())
        message += f"; names put together at {places} are known only as patterns"
    if reads.escapes:
        places = ", ".join(reads.escapes)
        message += f"; at {places} it goes through all there are, so a misspelt one cannot be told"
    yield Finding("warn" if reads.escapes else "pass", "variables", message)
    ambient = [f"{name}={os.environ[name]}" for name in known.ambient]
    if ambient and reads.escapes:
        names = ", ".join(known.ambient)
        yield Finding("pass", "ambient_variables", f"runs do not see this shell's {names}", "program.env")
    elif ambient:
        message = f"{', '.join(ambient)} in this shell would change the script; its runs do not see it"
        yield Finding("warn", "ambient_variables", message, "program.env, if it is meant")
    misread = [name for name in given if not is_external(name) and name not in reads.names]
    if misread:
        yield Finding("warn", "unread_variables", f"whether {', '.join(misread)} is read is not certain")


def estimate_script_duration(known: ScriptPreflight) -> DurationEstimate | None:
    """Seconds: of finished runs of this spec, else the limits that script and spec set themselves."""
    same = known.same()
    if same:
        seconds = median(result["clock"]["run_seconds"] for result in same)
        return DurationEstimate(seconds, 0.0, f"{len(same)} finished runs of this spec, from start to end", True)
    if known.spec.program.seconds is not None:
        return DurationEstimate(known.spec.program.seconds, 0.0, "program.seconds, at most")
    limit = number_of(own_value(known, OWN_LIMIT))
    return DurationEstimate(limit, None, f"{OWN_LIMIT} of the script; its scoring is not known") if limit else None


def own_value(known: ScriptPreflight, name: str) -> str | None:
    """What a variable will be, as far as the text tells; None where the script does not read it."""
    if name in known.spec.program.env:
        return known.spec.program.env[name]
    return next((variable.default for variable in known.unset if variable.name == name), None)


def number_of(text: str | None) -> float | None:
    """A number that a text is, or None."""
    try:
        return float(text) if text else None
    except ValueError:
        return None


def estimate_bytes(known: ScriptPreflight) -> ByteEstimate | None:
    """Bytes of the packed model: of finished runs of this spec, else from what a run of the script said of itself."""
    taken = [size for result in known.same() if (size := result["artifact"]["model_bytes"]) is not None]
    if taken:
        return between_seen(taken)
    for result in known.earlier:
        description = described(result, known.spec.program.env)
        if description is not None:
            try:
                estimate = estimate_public_run(description)
            except SpecError:
                continue
            return replace(estimate, basis=f"{estimate.basis}; shape as {result['run_id']} printed it")
    return None


def between_seen(sizes: list[int]) -> ByteEstimate:
    """The mean of sizes that were seen, and an interval a little wider than they were."""
    low, high = round(min(sizes) * (1 - SEEDS_DIFFER)), round(max(sizes) * (1 + SEEDS_DIFFER))
    return ByteEstimate(round(fmean(sizes)), low, high, f"{len(sizes)} finished runs of this spec")


def described(result: dict[str, Any], env: dict[str, str]) -> dict[str, Any] | None:
    """What a run printed of its hyperparameters, with this spec's over it; None where the shape becomes another."""
    settings, parameters = result.get("settings") or {}, result.get("parameters")
    changed = {name.lower(): text for name, text in env.items()}
    other = {key for key, text in changed.items() if key in settings and not is_same(settings[key], text)}
    if not settings or parameters is None or any(not any(word in key for word in NOT_OF_SHAPE) for key in other):
        return None
    config = settings | {key: text for key, text in changed.items() if key in settings}
    return {"model_params": parameters, "compressor": config.get("compressor", "").strip("'\""), "config": config}


def is_same(one: str, other: str) -> bool:
    """Whether two texts are the same number, or the same text."""
    numbers = number_of(one), number_of(other)
    return one == other if None in numbers else numbers[0] == numbers[1]


def artifact_size(known: ScriptPreflight) -> Finding:
    """Whether code and model fit; of a script that never ran here only the code is known."""
    if known.model_bytes is not None:
        return rules.artifact_size(known.model_bytes, known.code_bytes, known.ruleset.artifact_limit_bytes)
    limit = known.ruleset.artifact_limit_bytes
    message = f"code {known.code_bytes:,} bytes of {limit:,}; what the model takes is known once a run has printed it"
    return Finding("fail" if known.code_bytes > limit else "unknown", "artifact_size", message)
