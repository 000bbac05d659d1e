"""The preflight of a script: what it reads, and what earlier runs of it took."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

from pgolf.data.locate import LocatedData, locate_folder
from pgolf.data.overlap import judge_overlap
from pgolf.errors import DataError, SpecError
from pgolf.findings import Finding, counted
from pgolf.preflight import rules
from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.duration import DurationEstimate
from pgolf.preflight.preflight import Preflight, ScriptFacts
from pgolf.preflight.public_runs import estimate_public_run
from pgolf.preflight.script_start import start_findings
from pgolf.preflight.stopping import stop_rule
from pgolf.rulesets.judging import judge_size
from pgolf.rulesets.limits import bytes_over
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.rundir import usable_results
from pgolf.scripts.program import ScriptProgram, neighbours
from pgolf.scripts.reads import Variable, is_external
from pgolf.specs.experiment import Experiment
from pgolf.specs.identity import script_spec_sha256
from pgolf.specs.script_checks import program_of

CODE_BASIS = "the script and its files, as they are shipped"
# The variable by which scripts of openai/parameter-golf set their own training limit in seconds.
OWN_LIMIT = "MAX_WALLCLOCK_SECONDS"
# Hyperparameters, as logs name them, that do not change the number of parameters.
NOT_OF_SHAPE = ("bits", "clip", "lqer", "awq", "lr", "warm", "ttt", "compressor", "momentum", "decay", "quant", "steps")
SEEDS_DIFFER = 0.005
WORK_BYTES = 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptHistory:
    """A script as its spec runs it, with the results of its finished runs here."""

    spec: Experiment
    program: ScriptProgram
    identity: str | None
    """spec_sha256; None while the data is missing."""
    results: list[dict[str, Any]]
    """Of this very script, whatever its variables were."""

    @property
    def same(self) -> list[dict[str, Any]]:
        """Results of this very spec, on the same kind of device."""
        device = "cpu" if self.spec.launch.gpu is None else "cuda"
        return [
            result
            for result in self.results
            if result["spec_sha256"] == self.identity and result["environment"]["device"] == device
        ]

    @property
    def step_seconds(self) -> float | None:
        """Median seconds a step of finished runs of this spec."""
        found = [
            result["clock"]["train_seconds"] / result["steps"]
            for result in self.same
            if result["steps"] and result["clock"]["train_seconds"]
        ]
        return median(found) if found else None

    @property
    def unset(self) -> tuple[Variable, ...]:
        """Variables that the script reads and the spec leaves at their defaults."""
        given = [*self.spec.program.env, self.spec.program.seed_variable or ""]
        return tuple(self.program.reads.unset(given))

    @property
    def ambient(self) -> tuple[str, ...]:
        """Variables of this shell that the script reads, or may read, and the spec does not set."""
        reads, given = self.program.reads, {*self.spec.program.env, self.spec.program.seed_variable}
        candidates = [name for name in os.environ if name not in given and not is_external(name)]
        return tuple(sorted(name for name in candidates if reads.may_read(name) or reads.escapes))


def examine_script(spec: Experiment, *, runs_dir: Path, runs: int = 1) -> Preflight:
    """Return the preflight of an experiment that runs a script; see `examine`. Executes nothing of the script."""
    ruleset, program = load_ruleset(spec.ruleset), program_of(spec.program)
    located, problem = find_data(spec)
    identity = None
    if problem is None:
        data = None if located is None else located.manifest.sha256
        identity = script_spec_sha256(spec.program, spec.processes, program.sha256, ruleset.label, data)
    history = ScriptHistory(spec=spec, program=program, identity=identity, results=results_of(program, runs_dir))
    facts = ScriptFacts(
        name=program.name,
        code_files={name: len(content) for name, content in program.files.items()},
        unset=history.unset,
        ambient=history.ambient,
        train_seconds_allowed=ruleset.limits.train_seconds if rules.is_contest_hardware(spec.launch) else None,
    )
    root = Path(spec.program.path).parent
    known = Preflight(
        spec=spec,
        ruleset=ruleset,
        located=located,
        findings=[
            data_of_script(spec, located, problem),
            *variables(spec, program, facts),
            *start_findings(spec, program),
            *unshipped(spec, program),
            rules.libraries(program.libraries, spec.launch.on),
        ],
        code_sha256=program.sha256,
        code_bytes=program.bytes,
        code_basis=CODE_BASIS,
        libraries=program.libraries,
        own_files={name: root / name for name in program.files},
        script=facts,
        identity=identity,
        disk_bytes=WORK_BYTES,
        model_bytes=estimate_bytes(history),
        duration=estimate_script_duration(history),
        step_seconds=history.step_seconds,
    )
    if located is not None:
        manifest = located.manifest
        overlap = judge_overlap(located.folder, manifest)
        known = known.with_findings(rules.canonical_data(manifest, ruleset), overlap)
    known = known.with_findings(artifact_size(known), *judge_size(ruleset, known.size()))
    if (stop := stop_rule(known, runs_dir)) is not None:
        known = known.with_findings(stop)
    return known.priced(runs)


def find_data(spec: Experiment) -> tuple[LocatedData | None, str | None]:
    """Return the data that a script's spec names, or what is wrong with it; neither where it names none."""
    if spec.program.data is None:
        return None, None
    try:
        return locate_folder(Path(spec.program.data)), None
    except DataError as error:
        return None, str(error)


def results_of(program: ScriptProgram, runs_dir: Path) -> list[dict[str, Any]]:
    """Return the results of finished runs of a script here."""
    return [result for _, result in usable_results(runs_dir) if result["code_sha256"] == program.sha256]


def data_of_script(spec: Experiment, located: LocatedData | None, problem: str | None) -> Finding:
    """Return whether the data is named and on this machine."""
    if spec.program.data is not None:
        return rules.data_present(located.manifest if located else None, problem)
    message = "program.data names no folder: the script finds its data itself, and the run's identity leaves it out"
    fix = "program.data: FOLDER, and {data} in the variable that wants it"
    if spec.launch.on != "local":
        return Finding("warn", "script_data", f"{message}; no data is sent to {spec.launch.on}", fix)
    return Finding("pass", "script_data", message)


def unshipped(spec: Experiment, program: ScriptProgram) -> Iterator[Finding]:
    """Yield a failure if the script imports files from its own folder that are not shipped with it."""
    script = Path(spec.program.path)
    missing = [path.name for path in neighbours(script) if not is_shipped(path, script.parent, program)]
    if missing:
        names = ", ".join(missing)
        message = f"{program.name} imports {names} from its own folder, but program.files does not list it"
        yield Finding("fail", "files", message, f"program.files: [{names}]")


def is_shipped(path: Path, root: Path, program: ScriptProgram) -> bool:
    """Return whether a file, or anything in a folder, is shipped."""
    name = path.resolve().relative_to(root.resolve()).as_posix()
    return any(shipped == name or shipped.startswith(f"{name}/") for shipped in program.files)


def variables(spec: Experiment, program: ScriptProgram, facts: ScriptFacts) -> Iterator[Finding]:
    """Yield what happens to the variables that the script reads."""
    reads, given = program.reads, spec.program.env
    own = [name for name in reads.names if not is_external(name)]
    message = f"{program.name} reads {counted(len(own), 'variable')}; {len(given)} set, {len(facts.unset)} not set"
    if spec.program.seed_variable in own:
        message += f", {spec.program.seed_variable} set by pgolf"
    if reads.patterns:
        places = ", ".join(reads.patterns.values())
        message += f"; names assembled at {places} are known only as patterns"
    if reads.escapes:
        places = ", ".join(reads.escapes)
        message += f"; at {places} it reads all variables there are, so a misspelled one cannot be found"
    yield Finding("warn" if reads.escapes else "pass", "variables", message)
    ambient = [f"{name}={os.environ[name]}" for name in facts.ambient]
    if ambient and reads.escapes:
        names = ", ".join(facts.ambient)
        yield Finding("pass", "ambient_variables", f"runs do not see this shell's {names}", "program.env")
    elif ambient:
        message = f"{', '.join(ambient)} in this shell would change the script; its runs do not see it"
        yield Finding("warn", "ambient_variables", message, "set it in program.env, if the run should see it")
    misread = [name for name in given if not is_external(name) and name not in reads.names]
    if misread:
        yield Finding("warn", "unread_variables", f"{', '.join(misread)} may not be read: the source does not show it")


def estimate_script_duration(history: ScriptHistory) -> DurationEstimate | None:
    """Return the seconds of finished runs of this spec, else the limit that spec or script sets."""
    same = history.same
    if same:
        seconds = median(result["clock"]["run_seconds"] for result in same)
        return DurationEstimate(
            seconds, 0.0, f"{counted(len(same), 'finished run')} of this spec, from start to end", True
        )
    if history.spec.program.seconds is not None:
        return DurationEstimate(history.spec.program.seconds, 0.0, "program.seconds, at most")
    limit = number_of(own_value(history, OWN_LIMIT))
    return DurationEstimate(limit, None, f"{OWN_LIMIT} of the script; its scoring time is not known") if limit else None


def own_value(history: ScriptHistory, name: str) -> str | None:
    """Return the value that a variable will have, as far as the source tells; None if the script does not read it."""
    if name in history.spec.program.env:
        return history.spec.program.env[name]
    return next((variable.default for variable in history.unset if variable.name == name), None)


def number_of(text: str | None) -> float | None:
    """Return the number that a text is, or None."""
    try:
        return float(text) if text else None
    except ValueError:
        return None


def estimate_bytes(history: ScriptHistory) -> ByteEstimate | None:
    """Return bytes of the packed model: of finished runs of this spec, else from the shape that a run printed."""
    taken = [size for result in history.same if (size := result["artifact"]["model_bytes"]) is not None]
    if taken:
        return between_seen(taken)
    for result in history.results:
        description = described(result, history.spec.program.env)
        if description is not None:
            try:
                estimate = estimate_public_run(description)
            except SpecError:
                continue
            return replace(estimate, basis=f"{estimate.basis}; shape as {result['run_id']} printed it")
    return None


def between_seen(sizes: list[int]) -> ByteEstimate:
    """Return the mean of sizes that were seen, with an interval slightly wider than they were."""
    low, high = round(min(sizes) * (1 - SEEDS_DIFFER)), round(max(sizes) * (1 + SEEDS_DIFFER))
    return ByteEstimate(round(fmean(sizes)), low, high, f"{counted(len(sizes), 'finished run')} of this spec")


def described(result: dict[str, Any], env: dict[str, str]) -> dict[str, Any] | None:
    """Return the hyperparameters that a run printed, updated by this spec's; None if these change the model's shape."""
    settings, parameters = result.get("settings") or {}, result.get("parameters")
    changed = {name.lower(): text for name, text in env.items()}
    other = {key for key, text in changed.items() if key in settings and not is_same(settings[key], text)}
    if not settings or parameters is None or any(not any(word in key for word in NOT_OF_SHAPE) for key in other):
        return None
    config = settings | {key: text for key, text in changed.items() if key in settings}
    return {"model_params": parameters, "compressor": config.get("compressor", "").strip("'\""), "config": config}


def is_same(one: str, other: str) -> bool:
    """Return whether two texts are the same number, or the same text."""
    numbers = number_of(one), number_of(other)
    return one == other if None in numbers else numbers[0] == numbers[1]


def artifact_size(known: Preflight) -> Finding:
    """Return whether code and model fit; only the code is known for a script that never ran here."""
    if known.model_bytes is not None:
        return rules.artifact_size(known.model_bytes, known.code_bytes, known.ruleset.limits.bytes)
    limit = known.ruleset.limits.bytes
    of_limit = "" if limit is None else f" of {limit:,}"
    message = f"code {known.code_bytes:,} bytes{of_limit}; the model's size is known once a run has printed it"
    return Finding("fail" if bytes_over(known.code_bytes, limit) else "unknown", "artifact_size", message)
