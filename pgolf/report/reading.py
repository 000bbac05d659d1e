"""Groups of seeds read from paths: of own runs and of public records."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pgolf.errors import UsageError
from pgolf.records.folder import is_record
from pgolf.records.groups import record_groups
from pgolf.report.groups import group_runs, runs_below
from pgolf.report.rows import Group
from pgolf.report.seed_rows import SeedRow
from pgolf.rulesets.ruleset import Ruleset

# Depth at which records are looked for; they are nested like records/track_10min_16mb/DATE_NAME.
DEEPEST = 3
# Number of groups that an error message lists by name.
SHOWN_GROUPS = 8


def groups_at(paths: Iterable[Path], ruleset: Ruleset) -> list[Group]:
    """Return the groups in run directories, submission folders, and folders that hold either.

    Raises:
        UsageError: a path does not exist.
    """
    groups: list[Group] = []
    own: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(
                f"{path}: no such folder; expected a run, a group of seeds, a runs folder or a public record"
            )
        records = [path] if is_record(path) else records_below(path)
        groups += [group for record in records for group in record_groups(record, ruleset)]
        own += [] if is_record(path) else [path]
    return [*group_runs(runs_below(own)), *groups]


def records_below(path: Path) -> list[Path]:
    """Return the submission folders below a folder, sorted by name; run directories are not searched."""
    found: list[Path] = []
    level = [] if is_run(path) else [path]
    for _ in range(DEEPEST):
        below = [
            child for folder in level for child in sorted(folder.iterdir()) if child.is_dir() and not child.is_symlink()
        ]
        found += [folder for folder in below if is_record(folder)]
        level = [folder for folder in below if not is_record(folder) and not is_run(folder)]
    return found


def is_run(path: Path) -> bool:
    """Return whether a folder is a run directory."""
    return (path / "run.json").is_file()


def baseline_at(path: Path, ruleset: Ruleset) -> Group:
    """Return the group at a path that has the most seeds.

    Raises:
        UsageError: there is no group.
    """
    groups: Sequence[Group] = groups_at([path], ruleset)
    if not groups:
        raise UsageError(f"{path} holds no finished run and no record to compare with")
    return max(groups, key=lambda group: len(group.rows))


def find_group(reference: str, runs_dir: Path, ruleset: Ruleset) -> Group:
    """Return the group at a path, or the one whose name or folder matches; of a record, the one with most seeds.

    Raises:
        UsageError: no group matches, or several do; the message lists them.
    """
    for path in (Path(reference), runs_dir / reference):
        if path.exists() and (found := [group for group in groups_at([path], ruleset) if group.rows]):
            if len(found) > 1 and not is_record(path):
                raise UsageError(f"{reference} holds {len(found)} groups; name one of {list_names(found)}")
            return max(found, key=lambda group: len(group.rows))
    known = groups_at([runs_dir], ruleset) if runs_dir.exists() else []
    finished = [group for group in known if group.rows]
    exact = [group for group in finished if group.name == reference]
    matching = exact or [group for group in finished if has_name(group, reference)]
    if len(matching) == 1:
        return matching[0]
    reason = "more than one group matches" if matching else "no finished run matches"
    raise UsageError(f"{reference}: {reason}; name one of {list_names(matching or finished)}")


def has_name(group: Group, reference: str) -> bool:
    """Return whether a reference matches whole words of a group's name, or the beginning of its folder's name."""
    words = reference.split()
    folders = {row.run.root.parent.name for row in group.rows if isinstance(row, SeedRow)}
    return set(words) <= set(group.name.split()) or any(folder.startswith(reference) for folder in folders)


def list_names(groups: Sequence[Group]) -> str:
    """Return the names of the first groups, and the number of the others."""
    names = ", ".join(repr(group.name) for group in groups[:SHOWN_GROUPS]) or "(no finished group)"
    return names + (f" and {len(groups) - SHOWN_GROUPS} more" if len(groups) > SHOWN_GROUPS else "")
