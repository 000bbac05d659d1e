"""Groups of runs that may be averaged: same spec, code and data; the newest finished attempt of each seed."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pgolf.alike import are_independent
from pgolf.errors import RunDamaged, UsageError
from pgolf.findings import Finding
from pgolf.records.printed import Printed
from pgolf.report.run_problems import group_problems, target_of, with_problems
from pgolf.report.seed_rows import SeedRow, problem_json
from pgolf.report.sweep_names import differing, flat_spec, name_of, point_key, sort_key
from pgolf.report.tables import DAMAGED
from pgolf.run_files import Identity, RunDocument
from pgolf.run_reading import read_any_result, read_if_any
from pgolf.rundir import SEED_FOLDER, RunDirectory
from pgolf.statistics import Spread, summarise


@dataclass(frozen=True, slots=True)
class DamagedRun:
    """A run whose files do not say what came out."""

    run: RunDirectory
    reason: str
    """The file, the key, what was found and what was expected."""

    def as_json(self) -> dict[str, Any]:
        """Return an entry of `damaged` in `report --json`."""
        return {
            "run_id": self.run.run_id,
            "run_dir": str(self.run.root),
            "seed": self.run.seed,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class RunGroup:
    """The seeds of one experiment."""

    name: str
    rows: list[SeedRow]
    notes: list[Finding]
    """Findings about runs that are not among the rows."""
    spec_sha256: str
    settings: dict[str, Any] = field(default_factory=dict)
    """The spec's values by dotted key, without those that cannot change the experiment."""
    swept: dict[str, Any] = field(default_factory=dict)
    """The values that distinguish it from other groups of its name, by dotted key."""
    damaged: Sequence[DamagedRun] = ()
    """Runs that cannot be rows."""

    @property
    def spread(self) -> Spread | None:
        """Spread of the headline scores of all seeds, over the limit or not; None before a seed has finished."""
        if not self.rows:
            return None
        return summarise([row.val_bpb for row in self.rows], are_independent([row.numbers for row in self.rows]))

    @property
    def max_total_bytes(self) -> int | None:
        return max((row.total_bytes for row in self.rows if row.total_bytes is not None), default=None)

    @property
    def limit_bytes(self) -> int | None:
        return self.rows[0].limit_bytes if self.rows else None

    @property
    def usd(self) -> float | None:
        """Dollars of all seeds; None if the price of one is not known."""
        costs = [row.usd for row in self.rows]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    @property
    def is_over_limit(self) -> bool:
        return any(row.is_over_limit for row in self.rows)

    @property
    def question(self) -> str | None:
        return next((row.question for row in self.rows if row.question), None)

    def claimed(self) -> list[Printed]:
        """Return nothing: nobody claims a score of a run that pgolf made."""
        return []

    @property
    def dates(self) -> list[date]:
        return sorted({datetime.fromtimestamp(row.ended_at / 1e9, UTC).date() for row in self.rows})

    @property
    def hardware(self) -> list[str]:
        return list(dict.fromkeys(row.machine for row in self.rows if row.machine is not None))

    @property
    def data_sha256(self) -> str | None:
        return self.rows[0].result["data_sha256"] if self.rows else None

    def problems(self) -> list[Finding]:
        """Return what a reader of the mean must know."""
        damaged = [Finding("fail", DAMAGED, each.reason) for each in self.damaged]
        return [*damaged, *self.notes, *group_problems(self.rows)]

    def target(self) -> Finding | None:
        """Return whether the seeds reach the loss that the rules ask for; None if they ask for none."""
        return target_of(self.rows)

    def as_json(self) -> dict[str, Any]:
        """Return an entry of `groups` in `report --json`."""
        spread = self.spread
        first: Mapping[str, Any] = self.rows[0].result if self.rows else {}
        return {
            "name": self.name,
            "source": first.get("source", "run"),
            "swept": self.swept,
            **{key: first.get(key) for key in ("spec_sha256", "code_sha256", "data_sha256")},
            "seeds": [row.as_json() for row in self.rows],
            "damaged": [each.as_json() for each in self.damaged],
            "n": len(self.rows),
            "mean": spread.mean if spread else None,
            "std": spread.std if spread else None,
            "ci95": list(spread.ci95) if spread and spread.ci95 else None,
            "max_total_bytes": self.max_total_bytes,
            "ruleset": first.get("ruleset"),
            "limit_bytes": self.limit_bytes,
            "over_limit": self.is_over_limit,
            "usd": self.usd,
            "target": None if (target := self.target()) is None else target.as_json(),
            "problems": [problem_json(finding) for finding in self.problems()],
            "versus": None,
        }


def runs_below(paths: Iterable[Path]) -> list[RunDirectory]:
    """Return the run directories at or below some paths.

    Raises:
        UsageError: a path does not exist.
    """
    found: dict[Path, RunDirectory] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such folder; expected a run, a group of seeds or a runs folder")
        candidates = [path / "run.json", *path.glob("seed-*/run.json"), *path.glob("*/seed-*/run.json")]
        for file in candidates:
            if os.path.lexists(file) and SEED_FOLDER.fullmatch(file.parent.name):
                found[file.parent.resolve()] = RunDirectory(file.parent.resolve())
    return sorted(found.values(), key=lambda run: run.run_id)


def group_runs(runs: Iterable[RunDirectory]) -> list[RunGroup]:
    """Return groups by spec, code, data and the spec that trained the weights, in the order of their first run.

    Unfinished runs and older attempts become notes. A damaged run joins the group that it says it belongs to, or that
    of its neighbours. A directory whose run.json was never completed is left out.
    """
    builders: dict[tuple[str | None, ...], GroupBuilder] = {}
    strays: list[DamagedRun] = []
    for run in sorted(runs, key=lambda run: (run.root.parent.name, run.seed, run.attempt)):
        try:
            identity = identity_of(run)
        except RunDamaged as error:
            strays.append(DamagedRun(run, str(error)))
            continue
        if identity is None:
            continue
        parent = identity.get("parent")
        trained_by = parent["spec_sha256"] if parent else ""
        key = (identity["spec_sha256"], identity["code_sha256"], identity["data_sha256"], trained_by)
        name = identity["name"]
        if trained_by:
            name += f" {identity['spec_sha256'][:8]} from {trained_by[:8]}"
        builder = builders.setdefault(key, GroupBuilder(name, identity["spec_sha256"]))
        builder.add(run)
    by_folder = {folder: builder for builder in builders.values() for folder in builder.folders}
    for stray in strays:
        folder = stray.run.root.parent
        if folder not in by_folder:
            by_folder[folder] = builders[str(folder),] = GroupBuilder(folder.name, "")
        by_folder[folder].damaged.append(stray)
    return with_distinct_names([builder.group() for builder in builders.values()])


def identity_of(run: RunDirectory) -> Identity | None:
    """Return what tells a run from those of other experiments; None if it was never completely created.

    Raises:
        RunDamaged: neither its result nor run.json says it.
    """
    if run.is_finished:
        with suppress(RunDamaged):
            return read_any_result(run.files.result)
    return read_if_any(run.files.run, RunDocument)


def with_distinct_names(groups: Sequence[RunGroup]) -> list[RunGroup]:
    """Return the groups, those that share a name renamed by the values in which their specs differ.

    Groups of one name stand together, in the order of those values.
    """
    by_name: dict[str, list[RunGroup]] = {}
    for group in groups:
        by_name.setdefault(group.name, []).append(group)
    return [named for alike in by_name.values() for named in named_by_differences(alike)]


def named_by_differences(alike: list[RunGroup]) -> list[RunGroup]:
    """Return groups of one name, renamed and in the order of the values in which their specs differ."""
    if len(alike) < 2:
        return alike
    points = differing([group.settings for group in alike])
    counts = Counter(map(point_key, points))
    named = [
        replace(
            group,
            name=name_of(group.name, point if counts[point_key(point)] == 1 else {}, group.spec_sha256),
            swept=point,
        )
        for group, point in zip(alike, points, strict=True)
    ]
    return sorted(named, key=lambda group: [sort_key(value) for value in group.swept.values()])


class GroupBuilder:
    """Sorts the runs of one group into rows, notes and damaged ones."""

    def __init__(self, name: str, spec_sha256: str) -> None:
        self.name, self.spec_sha256 = name, spec_sha256
        self.settings: dict[str, Any] | None = None
        self.rows: dict[int, SeedRow] = {}
        self.notes: list[Finding] = []
        self.damaged: list[DamagedRun] = []
        self.folders: set[Path] = set()

    def add(self, run: RunDirectory) -> None:
        """Add a run as a row, as a note if it has no result, or as a damaged one."""
        self.folders.add(run.root.parent)
        try:
            if run.is_finished:
                row = with_problems(SeedRow.load(run))
                settings = row.settings
                self.keep_newest(row)
            else:
                run.check_documents()
                settings = flat_spec(run.read_spec())
                self.notes.append(Finding("warn", "unfinished", f"{run.run_id} is {run.state}"))
        except RunDamaged as error:
            self.damaged.append(DamagedRun(run, str(error)))
        else:
            self.settings = self.settings or settings

    def keep_newest(self, row: SeedRow) -> None:
        """Keep the later attempt at a seed as the row, and note the other."""
        before = self.rows.get(row.seed)
        if before is not None:
            before, row = sorted((before, row), key=lambda row: row.run.order)
            message = f"{before.run.run_id} is finished as well; {row.run.run_id} is newer and counts"
            self.notes.append(Finding("warn", "older_attempt", message))
        self.rows[row.seed] = row

    def group(self) -> RunGroup:
        """Return the group of the runs added so far."""
        return RunGroup(
            name=self.name,
            rows=list(self.rows.values()),
            notes=self.notes,
            spec_sha256=self.spec_sha256,
            settings=self.settings or {},
            damaged=self.damaged,
        )
