"""Runs that may be averaged: one spec, one code, one data set; the newest finished attempt of each seed."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pgolf.data.references import References, is_well_below, read_references
from pgolf.errors import UsageError
from pgolf.findings import Finding
from pgolf.launching.requirements import is_gpu_of_kind
from pgolf.report.scripts import CLOCK_GRAIN_SECONDS, script_problems
from pgolf.report.statistics import Spread, summarise
from pgolf.report.swept import differing, flat_spec, name_of, order
from pgolf.rundir import SEED_FOLDER, RunDirectory, read_or_empty

SLOW_TIMES = 1.3


@dataclass(frozen=True, slots=True)
class SeedRow:
    """One finished run, as its result says."""

    run: RunDirectory
    result: dict[str, Any]

    @property
    def ended_at(self) -> int:
        """When the result was written, in nanoseconds."""
        return self.run.files.result.stat().st_mtime_ns

    @property
    def val_bpb(self) -> float:
        return float(self.result["headline"]["val_bpb"])

    @property
    def seed(self) -> int:
        return self.run.seed

    @property
    def val_loss(self) -> float:
        return float(self.result["headline"]["val_loss"])

    @property
    def total_bytes(self) -> int | None:
        """Code and model; None of a script that left no model and did not print its size."""
        size = self.result["artifact"]["total_bytes"]
        return None if size is None else int(size)

    @property
    def is_over_limit(self) -> bool:
        return (self.total_bytes or 0) > int(self.result["artifact"]["limit_bytes"])

    @property
    def is_script(self) -> bool:
        """Whether a script of the user's own printed these numbers, and no trainer of ours."""
        return self.result.get("source") == "script"

    @property
    def usd(self) -> float | None:
        """Dollars that the run cost: all its attempts at the price it began with. None without a price."""
        hourly = self.run.read_run().get("usd_per_hour")
        if hourly is None:
            return None
        return float(hourly) * self.seconds / 3600

    @property
    def seconds(self) -> float:
        """How long it had a machine: all attempts where these were noted, else its phases, or all of a script's run."""
        clock = self.result["clock"]
        noted = sum(self.run.read_attempts())
        return float(noted or clock.get("run_seconds") or sum(clock.values()))

    def problems(self) -> list[Finding]:
        """What is wrong with this run."""
        found = [*self.other_device(), *self.slower_than_planned()]
        if self.is_over_limit and self.total_bytes is not None:
            over = self.total_bytes - int(self.result["artifact"]["limit_bytes"])
            found.append(Finding("fail", "over_cap", f"{over:,} bytes over the limit"))
        found += self.repacked()
        found += self.over_time()
        if self.is_script:
            found += script_problems(self.result, self.run.read_run().get("train_seconds_allowed"))
        references = self.references()
        if references is not None and not is_well_below(self.val_bpb, references):
            message = (
                f"{self.val_bpb:.4f} bpb is not well below the {references.order2_bpb:.4f} of an order-2 byte model"
            )
            found.append(Finding("fail", "not_learned", message))
        return found

    def repacked(self) -> list[Finding]:
        """Whether the artifact was packed again on a wider grid to fit, and what that cost."""
        again = self.result["artifact"].get("repacked")
        if again is None:
            return []
        scores = {m.get("quantizer", m["stage"]): m["val_bpb"] for m in self.result["metrics"]}
        cost = scores["roundtrip"] - scores["over_limit"]
        message = (
            f"packed again with clips {again['clip_times']:.4f} times as wide, from {again['bytes_before']:,} bytes"
        )
        return [Finding("warn", "repacked", f"{message}; that cost {cost:+.6f} bpb before adaptation")]

    def over_time(self) -> list[Finding]:
        """Whether training, and reading training text after it, took longer than the spec's budget of seconds."""
        budget = read_or_empty(self.run.files.spec).get("recipe", {}).get("budget", {})
        if budget.get("clock") != "seconds":
            return []
        clock = self.result["clock"]
        spent = clock["train_seconds"] + clock.get("calibrate_seconds", 0.0)
        if spent <= budget["train"] + CLOCK_GRAIN_SECONDS:
            return []
        message = f"training and calibration took {spent:.1f} s of {budget['train']:.1f} s; reserve_seconds leaves room"
        return [Finding("warn", "train_over_time", message)]

    def other_device(self) -> list[Finding]:
        """Whether the GPUs that came are those that were asked for."""
        asked, devices = self.run.read_run().get("gpu"), (self.result.get("hardware") or {}).get("devices", [])
        if asked is None:
            return []
        number = int(asked.partition(":")[2] or 1)
        if len(devices) >= number and all(is_gpu_of_kind(asked, name) for name in devices):
            return []
        message = f"{asked} was asked for, {', '.join(devices) or 'no GPU'} came; its times do not compare"
        return [Finding("warn", "other_device", message)]

    def slower_than_planned(self) -> list[Finding]:
        """Whether the first steps took much longer than runs before this one."""
        speed = self.result.get("step_seconds") or {}
        planned, found = speed.get("planned"), speed.get("first")
        if not planned or not found or found <= SLOW_TIMES * planned:
            return []
        message = f"its first steps took {1000 * found:.1f} ms each, planned were {1000 * planned:.1f} ms"
        return [Finding("warn", "slower_than_planned", message)]

    def references(self) -> References | None:
        """What old methods make of the same validation bytes."""
        folder = self.run.read_run().get("data_folder")
        return read_references(Path(folder)) if folder else None

    @property
    def logged_steps(self) -> list[dict[str, Any]]:
        """Metrics of training steps; a script's may be of validation as well."""
        return [row for row in self.run.read_metrics() if "train_loss" in row]

    @property
    def curve_unit(self) -> str:
        """Tokens, or steps where a script does not say how many tokens one has."""
        return "tokens" if all("tokens" in row for row in self.logged_steps) else "steps"

    def curve(self) -> list[tuple[float, float]]:
        """Training loss."""
        key = {"tokens": "tokens", "steps": "step"}[self.curve_unit]
        return [(row[key], row["train_loss"]) for row in self.logged_steps]

    def stages(self) -> list[tuple[str, float]]:
        """What was scored on the way to the headline; references are no part of it."""
        scored = [metric for metric in self.result.get("metrics", []) if metric["stage"] != "reference"]
        return [(f"{metric['stage']} {metric['protocol']}", metric["val_bpb"]) for metric in scored]

    def byte_parts(self) -> dict[str, int]:
        """Tensor groups and code; the model in one where the run does not say."""
        artifact, counted = self.result["artifact"], read_or_empty(self.run.files.bytes)
        groups = counted.get("groups") or {"model": artifact["model_bytes"] or 0}
        return {**groups, "code": artifact["code_bytes"]}

    def explain(self) -> dict[str, str | None]:
        """Every number of a run stands in its result; those of a script, in its log."""
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
        headline, artifact, clock = self.result["headline"], self.result["artifact"], self.result["clock"]
        return {
            "seed": self.result["seed"],
            **{key: headline[key] for key in ("val_bpb", "val_loss", "stage", "protocol")},
            "steps": self.result["steps"],
            "train_seconds": clock["train_seconds"],
            "evaluate_seconds": clock["evaluate_seconds"],
            **{key: artifact[key] for key in ("model_bytes", "code_bytes", "total_bytes")},
            "usd": self.usd,
            "problems": [problem_json(finding) for finding in self.problems()],
        }


@dataclass(frozen=True, slots=True)
class RunGroup:
    """The seeds of one experiment."""

    name: str
    rows: list[SeedRow]
    notes: list[Finding]
    """About runs that are not among the rows."""
    spec_json: Path | None = None
    """Of one of its runs."""
    swept: dict[str, Any] = field(default_factory=dict)
    """The values that tell it from other groups of its name, by dotted key."""

    @property
    def spread(self) -> Spread | None:
        """Of the headlines of all seeds, over the limit or not; None before the first has ended."""
        return summarise([row.val_bpb for row in self.rows]) if self.rows else None

    @property
    def max_total_bytes(self) -> int | None:
        return max((row.total_bytes for row in self.rows if row.total_bytes is not None), default=None)

    @property
    def usd(self) -> float | None:
        """Dollars of all seeds together; None where no price is known for one of them."""
        costs = [row.usd for row in self.rows]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    @property
    def is_over_limit(self) -> bool:
        return any(row.is_over_limit for row in self.rows)

    def problems(self) -> list[Finding]:
        """What a reader of the mean must know."""
        found = list(self.notes)
        over = [row.run.seed for row in self.rows if row.is_over_limit]
        if over:
            found.append(Finding("fail", "over_cap", f"seeds {over} are over the limit"))
        unlearned = [f.message for row in self.rows for f in row.problems() if f.rule == "not_learned"]
        if unlearned:
            found.append(Finding("fail", "not_learned", unlearned[0]))
        labels = sorted({str(row.result["headline"].get("label")) for row in self.rows})
        if len(self.rows) > 1 and self.rows[0].is_script and len({row.val_bpb for row in self.rows}) == 1:
            message = f"all {len(self.rows)} seeds have one score; does the script take the seed that it is given?"
            found.append(Finding("fail", "seeds_alike", message))
        if len(labels) > 1:
            message = f"the seeds' scores stand on lines of different kinds: {', '.join(labels)}; they have no mean"
            found.append(Finding("fail", "mixed_evaluations", message))
        if len(self.rows) == 1:
            found.append(Finding("warn", "single_seed", "one seed has no spread; `pgolf seeds --n 3` runs the others"))
        return found

    def as_json(self) -> dict[str, Any]:
        spread = self.spread
        first = self.rows[0].result if self.rows else {}
        return {
            "name": self.name,
            "source": first.get("source", "run"),
            "swept": self.swept,
            **{key: first.get(key) for key in ("spec_sha256", "code_sha256", "data_sha256")},
            "seeds": [row.as_json() for row in self.rows],
            "n": len(self.rows),
            "mean": spread.mean if spread else None,
            "std": spread.std if spread else None,
            "ci95": list(spread.ci95) if spread and spread.ci95 else None,
            "max_total_bytes": self.max_total_bytes,
            "ruleset": first.get("ruleset"),
            "limit_bytes": first["artifact"]["limit_bytes"] if first else None,
            "over_limit": self.is_over_limit,
            "usd": self.usd,
            "problems": [problem_json(finding) for finding in self.problems()],
            "versus": None,
        }


def problem_json(finding: Finding) -> dict[str, str]:
    return {"rule": finding.rule, "message": finding.message}


def runs_below(paths: Iterable[Path]) -> list[RunDirectory]:
    """Run directories at or below some paths.

    Raises: UsageError for a path that does not exist.
    """
    found: dict[Path, RunDirectory] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such folder; expected a run, a group of seeds or a runs folder")
        candidates = [path / "run.json", *path.glob("seed-*/run.json"), *path.glob("*/seed-*/run.json")]
        for file in candidates:
            if file.is_file() and SEED_FOLDER.fullmatch(file.parent.name):
                found[file.parent.resolve()] = RunDirectory(file.parent.resolve())
    return sorted(found.values(), key=lambda run: run.run_id)


def group_runs(runs: Iterable[RunDirectory]) -> list[RunGroup]:
    """Groups by spec, code, data and the spec that trained the weights, in the order of their first run.

    Unfinished runs, damaged results and older attempts become notes; a run that was never whole is left out.
    """
    groups: dict[tuple[str, ...], GroupBuilder] = {}
    for run in sorted(runs, key=lambda run: (run.root.parent.name, run.seed, run.attempt)):
        document = read_or_empty(run.files.result) or run.read_run()
        try:
            parent = (document.get("parent") or {}).get("spec_sha256", "")
            key = (document["spec_sha256"], document["code_sha256"], document["data_sha256"], parent)
            name = document["name"]
            if parent:
                name += f" {document['spec_sha256'][:8]} from {parent[:8]}"
            builder = groups.setdefault(key, GroupBuilder(name))
        except KeyError:
            continue
        builder.add(run)
    return told_apart([builder.group() for builder in groups.values()])


def told_apart(groups: list[RunGroup]) -> list[RunGroup]:
    """The groups, those of one name named by the values in which their specs differ."""
    found = []
    for group in groups:
        alike = [other for other in groups if other.name == group.name and other.spec_json is not None]
        if len(alike) < 2 or group.spec_json is None:
            found.append(group)
            continue
        points = differing([flat_spec(other.spec_json) for other in alike if other.spec_json is not None])
        point = points[alike.index(group)]
        is_named = points.count(point) == 1
        sha256 = str(read_or_empty(group.spec_json.with_name("run.json")).get("spec_sha256"))
        name = name_of(group.name, point if is_named else {}, sha256)
        found.append(replace(group, name=name, swept=point))
    first = {group.name: number for number, group in reversed([*enumerate(groups)])}
    places = {named.name: first[group.name] for named, group in zip(found, groups, strict=True)}
    return sorted(found, key=lambda group: (places[group.name], [order(value) for value in group.swept.values()]))


class GroupBuilder:
    """Sorts the runs of one group into rows and notes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.spec_json: Path | None = None
        self.rows: dict[int, SeedRow] = {}
        self.notes: list[Finding] = []

    def add(self, run: RunDirectory) -> None:
        """Nothing; the run is a row or a note."""
        result = read_or_empty(run.files.result)
        self.spec_json = self.spec_json or run.files.spec
        if not run.is_finished:
            self.notes.append(Finding("warn", "unfinished", f"{run.run_id} is {run.state}"))
        elif "headline" not in result:
            self.notes.append(Finding("fail", "damaged_result", f"{run.files.result} is not readable"))
        else:
            self.keep_newest(SeedRow(run, result))

    def keep_newest(self, row: SeedRow) -> None:
        """Nothing; of two finished attempts at a seed the one that ended last is the row, the other is named."""
        before = self.rows.get(row.run.seed)
        if before is not None:
            row, before = sorted((row, before), key=lambda row: row.ended_at, reverse=True)
            message = f"{before.run.run_id} is finished as well; {row.run.run_id} is newer and counts"
            self.notes.append(Finding("warn", "older_attempt", message))
        self.rows[row.run.seed] = row

    def group(self) -> RunGroup:
        return RunGroup(self.name, list(self.rows.values()), self.notes, self.spec_json)
