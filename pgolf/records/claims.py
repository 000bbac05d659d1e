"""The claims of a record's author: what submission.json and README.md say of its score, seeds and bytes."""

from dataclasses import dataclass, field
from datetime import date

from pgolf.records.printed import Printed


@dataclass(slots=True)
class Claims:
    """The numbers that an author claims for a record."""

    headlines: dict[str, Printed] = field(default_factory=dict)
    """val_bpb by the file that states it: submission_json or readme."""
    stds: dict[str, Printed] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    listed_seeds: list[int] = field(default_factory=list)
    """Those that a list names, with or without results."""
    bpb_by_seed: dict[int, Printed] = field(default_factory=dict)
    bytes_by_seed: dict[int, Printed] = field(default_factory=dict)
    bytes_total: Printed | None = None
    bytes_code: Printed | None = None
    loss: Printed | None = None
    """The mean of val_loss in nats per token."""
    loss_by_seed: dict[int, Printed] = field(default_factory=dict)
    evaluate_seconds_by_seed: dict[int, Printed] = field(default_factory=dict)
    submitted: date | None = None
    hardware: str = ""
    track: str = ""
    says_non_record: bool = False
    """Whether submission.json has `non_record: true`."""
    name: str = ""
    title: str = ""
    """The first heading of the README."""
    is_retracted: bool = False
    retracted: Printed | None = None
    """The score that the author retracted."""
    has_seeds_in_submission: bool = False
    """Whether submission.json names the seeds; else only the README may, which may speak of others."""
    submission_error: str | None = None
    """Why submission.json could not be read."""

    @property
    def headline(self) -> Printed | None:
        """val_bpb in submission.json, else in the README."""
        return next(iter(self.headlines.values()), None)
