"""What Tab completes: names of specs, runs, groups, overlays, keys and launchers.

A completer returns candidates and never fails: a shell would print the error among the words that are being typed.
Where it returns none, the shell completes file names.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import typer

from pgolf.rundir import find_runs, newest_run
from pgolf.specs.shipped import shipped_specs

DEFAULT_RUNS_DIR = Path("runs")
DEFAULT_SPEC = "quickstart"
SPEC_SUFFIXES = (".yaml", ".yml")
# Under these names commands take a spec.
SPEC_PARAMETERS = ("spec", "specs", "reference", "subject")
IN_VALUE = "pgolf.is_in_value"
"""Key of a context's meta: whether the word on which Tab was pressed is the value of a `--set KEY=VALUE`."""

Completer = Callable[[typer.Context, str], list[str]]


def completer(candidates: Callable[[typer.Context], Iterable[str]]) -> Completer:
    """Return a completer that offers the candidates which begin with what has been typed."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        if ctx.meta.get(IN_VALUE):
            return []
        try:
            return [candidate for candidate in candidates(ctx) if candidate.startswith(incomplete)]
        except Exception:  # whatever is wrong with a file here, the command itself will say it
            return []

    return complete


def words_before(ctx: typer.Context, words: Sequence[str]) -> list[str]:
    """Return the words before the one that is completed so that they can be parsed, and note what that one is."""
    joined = rejoined(words)
    ctx.meta[IN_VALUE] = is_in_value(joined)
    # With an option that waits for its value, parsing would stop before the arguments.
    return joined[:-1] if joined and joined[-1].startswith("-") else joined


def rejoined(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with `KEY`, `=` and `VALUE` joined: bash splits words at `=`."""
    joined: list[str] = []
    for word in words:
        if joined and (word == "=" or joined[-1].endswith("=")):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def is_in_value(words: Sequence[str]) -> bool:
    """Return whether the word after these is the value of an assignment, given the words as `rejoined` returns them."""
    return bool(words) and (words[-1].endswith("=") or (words[-2:-1] == ["--set"] and "=" not in words[-1]))


@completer
def complete_spec(_: typer.Context) -> Iterable[str]:
    """Return the shipped specs and the YAML files of this folder."""
    return [*shipped_specs(), *yaml_files()]


@completer
def complete_run(ctx: typer.Context) -> Iterable[str]:
    """Return the ids of all runs."""
    return [run.run_id for run in find_runs(runs_dir_of(ctx))]


@completer
def complete_spec_or_run(ctx: typer.Context) -> Iterable[str]:
    """Return what names a spec or a run."""
    return [*shipped_specs(), *yaml_files(), *(run.run_id for run in find_runs(runs_dir_of(ctx)))]


@completer
def complete_group(ctx: typer.Context) -> Iterable[str]:
    """Return the folders of seeds."""
    return dict.fromkeys(run.root.parent.name for run in find_runs(runs_dir_of(ctx)))


@completer
def complete_overlay(ctx: typer.Context) -> Iterable[str]:
    """Return the overlays of the spec on the command line, and the YAML files of this folder."""
    from pgolf.specs.loading import find_spec, read_spec

    reference = spec_of(ctx)
    own = read_spec(find_spec(reference) if isinstance(reference, str) else reference).value.get("overlays")
    return [*(own.value if own is not None else ()), *yaml_files()]


@completer
def complete_key(ctx: typer.Context) -> Iterable[str]:
    """Return the keys of the spec on the command line, ready for a value."""
    from pgolf.specs.flat import flatten
    from pgolf.specs.loading import load_specs

    return [f"{key}=" for key in flatten(load_specs(spec_of(ctx))[0].spec.as_json())]


@completer
def complete_launcher(_: typer.Context) -> Iterable[str]:
    """Return the installed launchers."""
    from pgolf.launching import launcher_entries

    return launcher_entries()


@completer
def complete_export(_: typer.Context) -> Iterable[str]:
    """Return the published exports that are known by name."""
    from pgolf.data.sources import SOURCES

    return SOURCES


def yaml_files() -> list[str]:
    """Return the names of the YAML files in this folder."""
    return sorted(path.name for path in Path().iterdir() if path.suffix in SPEC_SUFFIXES)


def runs_dir_of(ctx: typer.Context) -> Path:
    """Return the runs folder that the command line names, or the default."""
    return Path(ctx.params.get("runs_dir") or DEFAULT_RUNS_DIR)


def spec_of(ctx: typer.Context) -> str | Path:
    """Return the spec that the command line names, else that of the newest run, else the default."""
    for name in SPEC_PARAMETERS:
        if named := ctx.params.get(name):
            return str(named if isinstance(named, str) else named[-1])
    newest = newest_run(runs_dir_of(ctx))
    return DEFAULT_SPEC if newest is None else newest.files.spec
