"""What a leaderboard keeps of a submission folder: plain data, so that it can be cached and sent between processes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pgolf.records.groups import record_groups
from pgolf.records.rows import RecordGroup
from pgolf.report.methods import Mention, mentions_in
from pgolf.rulesets.ruleset import Ruleset
from trainer.dialects.plain import plain


@dataclass(frozen=True, slots=True)
class Standing:
    """The leading group of a submission folder."""

    group: Mapping[str, Any]
    """The group's JSON."""
    claimed_bpb: float | None
    submitted: str | None
    """The day that the author states, as YYYY-MM-DD."""
    hardware: list[str]
    methods: list[Mention]
    runs_sha256: str | None
    """Of the logs that the group was read from; equal in copies of a folder. None without a scored run."""

    @property
    def name(self) -> str:
        """The folder's name on one line."""
        return " ".join(plain(self.group["name"]).split())

    @property
    def place(self) -> str:
        """The folder's path on one line."""
        return " ".join(plain(self.group["folder"]).split())

    @property
    def mean(self) -> float | None:
        """Mean bits per byte of the group's seeds; None if no log has a score."""
        return self.group["mean"] if self.group["seeds"] else None

    @property
    def is_before_packing(self) -> bool:
        """Return whether no seed scores the packed model."""
        return all(seed["stage"] == "prequant" for seed in self.group["seeds"])

    @property
    def problems(self) -> list[dict[str, Any]]:
        """The group's problems, with status and evidence."""
        return list(self.group["problems"])

    def as_json(self) -> dict[str, Any]:
        """Return the standing as JSON, from which `from_json` makes it again."""
        return {
            "group": self.group,
            "claimed_bpb": self.claimed_bpb,
            "submitted": self.submitted,
            "hardware": self.hardware,
            "methods": [[each.method, each.file, each.line] for each in self.methods],
            "runs_sha256": self.runs_sha256,
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Self:
        """Return the standing of `as_json`."""
        return cls(**{**facts, "methods": [Mention(*each) for each in facts["methods"]]})


def read_standing(folder: Path, ruleset: Ruleset) -> Standing:
    """Read a submission folder and return the standing of its leading group."""
    group = record_groups(folder, ruleset)[0]
    claims = group.record.claims
    return Standing(
        group.as_json(),
        None if claims.headline is None else claims.headline.value,
        None if claims.submitted is None else claims.submitted.isoformat(),
        group.hardware,
        mentions_in(folder),
        runs_sha256(folder, group),
    )


def runs_sha256(folder: Path, group: RecordGroup) -> str | None:
    """Return the hash of the logs of a group; None if it has no scored run or a log is not found by its name."""
    files = sorted({row.run.file for row in group.rows})
    try:
        contents = [hashlib.sha256((folder / file).read_bytes()).digest() for file in files]
    except OSError:
        return None
    return hashlib.sha256(b"".join(sorted(contents))).hexdigest() if contents else None
