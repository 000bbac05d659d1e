"""SeedRow: one finished run, read from its directory once."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from pgolf.alike import RunNumbers, numbers_of_result
from pgolf.data.overlap import read_overlap
from pgolf.data.references import References, read_references
from pgolf.errors import RunDamaged
from pgolf.findings import Finding
from pgolf.report.sweep_names import flat_spec
from pgolf.rulesets.judging import RunSize
from pgolf.rulesets.limits import bytes_over
from pgolf.rulesets.ruleset import Ruleset
from pgolf.run_files import BudgetPart, ByteCounts, MetricsRow, PreflightDocument, Result, RunDocument
from pgolf.run_limits import read_rules, size_of_run
from pgolf.run_reading import read_any_result, read_if_any, read_present, read_rows_if_any
from pgolf.rundir import RunDirectory

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SeedRow:
    """One finished run, as its files describe it. Nothing is read after `load`."""

    run: RunDirectory
    result: Result
    document: RunDocument
    """run.json."""
    rules: Ruleset | None
    """The limits under which the run began; None for a run of an earlier release."""
    settings: dict[str, Any]
    """The spec's values by dotted key, without those that cannot change the experiment."""
    budget: BudgetPart | None
    """The recipe's budget; None for a script."""
    question: str | None
    """What the spec says that the experiment is to answer."""
    metrics: list[MetricsRow]
    attempt_seconds: list[float]
    """Seconds of each attempt on a rented machine; empty for runs here."""
    byte_groups: dict[str, int]
    """Bytes of the model by tensor group; empty if not known."""
    known_references: References | None
    """Scores of simple methods on the same validation bytes."""
    overlap: Finding | None
    """The verdict on the overlap of its splits, if it was measured where the data is."""
    ended_at: int
    """When the result was written, in nanoseconds."""
    damage: list[Finding]
    """Files that only add to the result and are damaged; the row counts without them."""
    found_problems: list[Finding] = field(default_factory=list)
    """Filled in by `pgolf.report.run_problems.with_problems`."""

    @classmethod
    def load(cls, run: RunDirectory) -> Self:
        """Read a finished run, without judging it.

        Raises:
            RunDamaged: a file without which the result means nothing is damaged.
        """
        damage: list[Finding] = []

        def usable(read: Callable[[], T], otherwise: T) -> T:
            try:
                return read()
            except RunDamaged as error:
                damage.append(Finding("warn", "damaged_file", str(error)))
                return otherwise

        result, document = read_any_result(run.files.result), read_present(run.files.run, RunDocument)
        spec = run.read_spec()
        data_folder, recipe = document.get("data_folder"), spec.get("recipe")
        sizes = usable(lambda: read_if_any(run.files.bytes, ByteCounts), None)
        checks = usable(lambda: read_if_any(run.preflight, PreflightDocument), None)
        return cls(
            run=run,
            result=result,
            document=document,
            rules=read_rules(run.files.run),
            settings=flat_spec(spec),
            budget=recipe.get("budget") if recipe else None,
            question=spec.get("question"),
            metrics=usable(lambda: read_rows_if_any(run.files.metrics, MetricsRow), []),
            attempt_seconds=usable(run.read_attempts, []),
            byte_groups=sizes.get("groups", {}) if sizes else {},
            known_references=read_references(Path(data_folder)) if data_folder else None,
            overlap=overlap_of(document, checks) if data_folder else None,
            ended_at=run.files.result.stat().st_mtime_ns,
            damage=damage,
        )

    @property
    def seed(self) -> int:
        return self.run.seed

    @property
    def val_bpb(self) -> float:
        return self.result["headline"]["val_bpb"]

    @property
    def val_loss(self) -> float:
        return self.result["headline"]["val_loss"]

    @property
    def total_bytes(self) -> int | None:
        """Bytes of code and model; None for a script that left no model and printed no size."""
        return self.result["artifact"]["total_bytes"]

    @property
    def limit_bytes(self) -> int | None:
        return self.result["artifact"]["limit_bytes"]

    @property
    def is_over_limit(self) -> bool:
        return bytes_over(self.total_bytes, self.limit_bytes) > 0

    @property
    def size(self) -> RunSize:
        """What the run used, as far as it is known."""
        return size_of_run(self.document, self.result, self.settings.get("recipe.schedule.batch_tokens"))

    @property
    def is_script(self) -> bool:
        """Return whether a user's script printed these numbers; otherwise the bundled trainer did."""
        return self.result.get("source") == "script"

    @property
    def usd(self) -> float | None:
        """Dollars for all attempts, at the price when the run began; None if it is not known."""
        hourly = self.document.get("usd_per_hour")
        return None if hourly is None else hourly * self.seconds / 3600

    @property
    def seconds(self) -> float:
        """Seconds of machine time: of all attempts if they were recorded, else of the run's phases."""
        clock = self.result["clock"]
        phases = sum(seconds for seconds in clock.values() if seconds is not None)
        return sum(self.attempt_seconds) or clock.get("run_seconds") or phases

    @property
    def machine(self) -> str | None:
        """The GPUs that the run used, or the CPU and its cores; None if the result does not say."""
        hardware = self.result.get("hardware")
        if hardware and hardware["devices"]:
            return ", ".join(f"{count}x {name}" for name, count in Counter(hardware["devices"]).items())
        if self.result["environment"]["device"] != "cpu":
            return None
        cores = hardware.get("cores") if hardware else None
        return "CPU" if cores is None else f"CPU, {cores} {'core' if cores == 1 else 'cores'}"

    def problems(self) -> list[Finding]:
        """Return what is wrong with this run."""
        return self.found_problems

    def references(self) -> References | None:
        """Return the scores of simple methods on the same validation bytes."""
        return self.known_references

    @property
    def logged_steps(self) -> list[MetricsRow]:
        """Metrics of training steps; a script may log validation as well."""
        return [row for row in self.metrics if "train_loss" in row]

    @property
    def curve_unit(self) -> str:
        """Tokens; steps for a script that does not print the tokens per step."""
        return "tokens" if all("tokens" in row for row in self.logged_steps) else "steps"

    def curve(self) -> list[tuple[float, float]]:
        """Return training loss against `curve_unit`. Units: nats per token."""
        has_tokens = self.curve_unit == "tokens"
        return [(row["tokens"] if has_tokens else row["step"], row["train_loss"]) for row in self.logged_steps]

    def stages(self) -> list[tuple[str, float]]:
        """Return bits per byte of each scored stage, without references."""
        scored = [metric for metric in self.result["metrics"] if metric["stage"] != "reference"]
        return [(f"{metric['stage']} {metric['protocol']}", metric["val_bpb"]) for metric in scored]

    @property
    def numbers(self) -> RunNumbers:
        """The numbers by which the run is told from another."""
        return numbers_of_result(self.run.run_id, self.result, self.metrics)

    def byte_parts(self) -> dict[str, int]:
        """Return the bytes of tensor groups and code; the model is one part if its groups are not known."""
        artifact = self.result["artifact"]
        return {**(self.byte_groups or {"model": artifact["model_bytes"] or 0}), "code": artifact["code_bytes"]}

    def explain(self) -> dict[str, str | None]:
        """Return the file of each number, with the line for the score of a script."""
        if self.is_script:
            log, line = self.run.files.log, self.result["headline"]["line"]
            basis = self.result["artifact"]["basis"]
            return {
                "val_bpb": f"{log}:{line}",
                "total_bytes": basis and f"{basis} in {self.run.root}",
                "seed": str(log),
            }
        return dict.fromkeys(("val_bpb", "total_bytes", "seed"), str(self.run.files.result))

    def as_json(self) -> dict[str, Any]:
        """Return an entry of `seeds` in `report --json`."""
        headline, artifact, clock = self.result["headline"], self.result["artifact"], self.result["clock"]
        return {
            "run_id": self.run.run_id,
            "run_dir": str(self.run.root),
            "log": str(self.run.files.log),
            "seed": self.result["seed"],
            **{key: headline[key] for key in ("val_bpb", "val_loss", "stage", "protocol")},
            "steps": self.result["steps"],
            "train_seconds": clock["train_seconds"],
            "evaluate_seconds": clock["evaluate_seconds"],
            **{key: artifact[key] for key in ("model_bytes", "code_bytes", "total_bytes")},
            "usd": self.usd,
            "problems": [problem_json(finding) for finding in self.problems()],
        }


def overlap_of(document: RunDocument, preflight: PreflightDocument | None) -> Finding | None:
    """Return the verdict on the overlap of the splits: of the data today, else that of the run's preflight."""
    folder, data_sha256 = Path(document["data_folder"] or ""), document["data_sha256"]
    overlap = read_overlap(folder, data_sha256) if data_sha256 else None
    if overlap is not None:
        return overlap.finding(folder)
    checks = preflight.get("checks", []) if preflight else []
    found = next((check for check in checks if check["rule"] == "overlap" and check["status"] != "unknown"), None)
    return None if found is None else Finding(found["status"], "overlap", found["message"], found.get("fix"))


def problem_json(finding: Finding) -> dict[str, str]:
    """Return a problem as reports show it."""
    return {"rule": finding.rule, "message": finding.message}
