"""SeedRow: one finished run, read from its directory once."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pgolf.alike import RunNumbers, numbers_of_result
from pgolf.data.overlap import read_overlap
from pgolf.data.references import References, read_references
from pgolf.findings import Finding
from pgolf.rulesets.limits import bytes_over
from pgolf.rundir import RunDirectory, read_or_empty


@dataclass(frozen=True, slots=True)
class SeedRow:
    """One finished run, as its files describe it. Nothing is read after `load`."""

    run: RunDirectory
    result: dict[str, Any]
    document: dict[str, Any]
    """run.json."""
    budget: dict[str, Any]
    """The recipe's budget; empty for a script."""
    question: str | None
    """What the spec says that the experiment is to answer."""
    metrics: list[dict[str, Any]]
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
    found_problems: list[Finding] = field(default_factory=list)
    """Filled in by `pgolf.report.run_problems.with_problems`."""

    @classmethod
    def load(cls, run: RunDirectory) -> Self:
        """Read a finished run, without judging it.

        Raises:
            RunFailed: result.json is damaged.
        """
        document = run.read_run()
        data_folder = document.get("data_folder")
        spec = read_or_empty(run.files.spec)
        return cls(
            run=run,
            result=run.read_result(),
            document=document,
            budget=spec.get("recipe", {}).get("budget", {}),
            question=spec.get("question"),
            metrics=run.read_metrics(),
            attempt_seconds=run.read_attempts(),
            byte_groups=read_or_empty(run.files.bytes).get("groups") or {},
            known_references=read_references(Path(data_folder)) if data_folder else None,
            overlap=overlap_of(run, document) if data_folder else None,
            ended_at=run.files.result.stat().st_mtime_ns,
        )

    @property
    def seed(self) -> int:
        return self.run.seed

    @property
    def val_bpb(self) -> float:
        return float(self.result["headline"]["val_bpb"])

    @property
    def val_loss(self) -> float:
        return float(self.result["headline"]["val_loss"])

    @property
    def total_bytes(self) -> int | None:
        """Bytes of code and model; None for a script that left no model and printed no size."""
        size = self.result["artifact"]["total_bytes"]
        return None if size is None else int(size)

    @property
    def limit_bytes(self) -> int:
        return int(self.result["artifact"]["limit_bytes"])

    @property
    def is_over_limit(self) -> bool:
        return bytes_over(self.total_bytes, self.limit_bytes) > 0

    @property
    def is_script(self) -> bool:
        """Return whether a user's script printed these numbers; otherwise the bundled trainer did."""
        return self.result.get("source") == "script"

    @property
    def usd(self) -> float | None:
        """Dollars for all attempts, at the price when the run began; None if it is not known."""
        hourly = self.document.get("usd_per_hour")
        return None if hourly is None else float(hourly) * self.seconds / 3600

    @property
    def seconds(self) -> float:
        """Seconds of machine time: of all attempts if they were recorded, else of the run's phases."""
        clock = self.result["clock"]
        return float(sum(self.attempt_seconds) or clock.get("run_seconds") or sum(clock.values()))

    @property
    def machine(self) -> str | None:
        """The GPUs that the run used, or the CPU and its cores; None if the result does not say."""
        hardware = self.result.get("hardware") or {}
        if devices := hardware.get("devices"):
            return ", ".join(f"{count}x {name}" for name, count in Counter(devices).items())
        if self.result.get("environment", {}).get("device") != "cpu":
            return None
        cores = hardware.get("cores")
        return "CPU" if cores is None else f"CPU, {cores} {'core' if cores == 1 else 'cores'}"

    def problems(self) -> list[Finding]:
        """Return what is wrong with this run."""
        return self.found_problems

    def references(self) -> References | None:
        """Return the scores of simple methods on the same validation bytes."""
        return self.known_references

    @property
    def logged_steps(self) -> list[dict[str, Any]]:
        """Metrics of training steps; a script may log validation as well."""
        return [row for row in self.metrics if "train_loss" in row]

    @property
    def curve_unit(self) -> str:
        """Tokens; steps for a script that does not print the tokens per step."""
        return "tokens" if all("tokens" in row for row in self.logged_steps) else "steps"

    def curve(self) -> list[tuple[float, float]]:
        """Return training loss against `curve_unit`. Units: nats per token."""
        key = {"tokens": "tokens", "steps": "step"}[self.curve_unit]
        return [(row[key], row["train_loss"]) for row in self.logged_steps]

    def stages(self) -> list[tuple[str, float]]:
        """Return bits per byte of each scored stage, without references."""
        scored = [metric for metric in self.result.get("metrics", []) if metric["stage"] != "reference"]
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


def overlap_of(run: RunDirectory, document: Mapping[str, Any]) -> Finding | None:
    """Return the verdict on the overlap of the splits: of the data today, else that of the run's preflight."""
    folder, data_sha256 = Path(document["data_folder"]), document.get("data_sha256")
    overlap = read_overlap(folder, data_sha256) if data_sha256 else None
    if overlap is not None:
        return overlap.finding(folder)
    for check in read_or_empty(run.preflight).get("checks") or ():
        match check:
            case {"rule": "overlap", "status": ("pass" | "warn" | "fail") as status, "message": str(message)}:
                return Finding(status, "overlap", message, check.get("fix"))
    return None


def problem_json(finding: Finding) -> dict[str, str]:
    """Return a problem as reports show it."""
    return {"rule": finding.rule, "message": finding.message}
