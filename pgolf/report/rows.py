"""Row and Group: the interface that own runs and public records share, for tables, pages and comparisons."""

from collections.abc import Hashable, Sequence
from datetime import date
from typing import Any, Protocol

from pgolf.data.references import References, describe_references
from pgolf.findings import Finding
from pgolf.records.printed import Printed
from pgolf.statistics import Spread


class Row(Protocol):
    """One seed."""

    @property
    def seed(self) -> int: ...
    @property
    def val_bpb(self) -> float: ...
    @property
    def val_loss(self) -> float | None: ...
    @property
    def is_over_limit(self) -> bool: ...

    def problems(self) -> list[Finding]: ...
    def references(self) -> References | None: ...
    @property
    def curve_unit(self) -> str:
        """Unit of the curve's x axis: tokens, or steps if tokens are not known."""
        ...

    def curve(self) -> list[tuple[float, float]]:
        """Return training loss against `curve_unit`. Units: nats per token."""
        ...

    def stages(self) -> list[tuple[str, float]]:
        """Return bits per byte of each scored stage, in order."""
        ...

    def byte_parts(self) -> dict[str, int]:
        """Return the artifact's bytes by part, as far as they are known."""
        ...

    def explain(self) -> dict[str, str | None]:
        """Return where each number was read: its file, and the line of a log."""
        ...

    def as_json(self) -> dict[str, Any]: ...


class Group(Protocol):
    """Seeds that may be averaged."""

    @property
    def name(self) -> str: ...
    @property
    def rows(self) -> Sequence[Row]: ...
    @property
    def spread(self) -> Spread | None: ...
    @property
    def max_total_bytes(self) -> int | None: ...
    @property
    def limit_bytes(self) -> int | None: ...
    @property
    def is_over_limit(self) -> bool: ...
    @property
    def usd(self) -> float | None: ...
    @property
    def question(self) -> str | None:
        """What the spec says that the experiment is to answer."""
        ...

    def claimed(self) -> list[Printed]:
        """Return the mean that the author of a public record states, once for each file; nothing for own runs."""
        ...

    @property
    def dates(self) -> list[date]:
        """Days on which the seeds finished, in order; of a public record, the day that its author states."""
        ...

    @property
    def hardware(self) -> list[str]:
        """Each machine that seeds ran on, such as `8x H100` or `CPU, 2 cores`, as far as it is known."""
        ...

    @property
    def data_sha256(self) -> str | None:
        """Hash of the data; None for a public record, whose log does not state it."""
        ...

    def problems(self) -> list[Finding]: ...
    def target(self) -> Finding | None:
        """Return whether the seeds reach the loss that the rules ask for; None if they ask for none."""
        ...

    def as_json(self) -> dict[str, Any]: ...


def row_keys(group: Group) -> list[Hashable]:
    """Return each row's seed, by which groups are paired; a row of unknown seed gets a key that no other row has."""
    return [row.seed if row.seed >= 0 else object() for row in group.rows]


def scores_by_seed(group: Group) -> dict[Hashable, float]:
    """Return the headline bits per byte by `row_keys`."""
    return {key: row.val_bpb for key, row in zip(row_keys(group), group.rows, strict=True)}


def groups_by_reference(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return groups by the scores of simple methods on their validation bytes, so that each is printed once."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        references = group.rows[0].references() if group.rows else None
        if references is not None and group.spread is not None:
            found.setdefault(describe_references(references), []).append(group)
    return found
