"""The commands by name, none of them imported before it is called.

`pgolf --help` so costs what typer, rich and pydantic cost, and not what every command needs.
"""

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """Where a command, or a group of them, is; and its line in the help."""

    module: str
    attribute: str
    summary: str


COMMANDS = {
    "run": CommandEntry("run", "run", "Train, pack and score one seed of a spec."),
    "seeds": CommandEntry("seeds", "seeds", "Run the missing seeds of a spec, then show all of them."),
    "preflight": CommandEntry("preflight", "preflight", "Say whether a spec will fit, is allowed, and what it takes."),
    "fit": CommandEntry("fit", "fit", "Choose clips so that the artifact lands under the limit."),
    "bundle": CommandEntry("bundle", "bundle", "Write trainer and recipe as one file, train_gpt.py."),
    "submission": CommandEntry("submission", "submission", "Write a records folder from finished runs."),
    "verify": CommandEntry("submission", "verify", "Check a submission folder: claims, bytes and score."),
    "audit": CommandEntry("audit", "audit", "Check a submission folder, a run or a spec against the rules."),
    "search": CommandEntry("searching", "search", "Look for better values under a budget."),
    "report": CommandEntry("report", "report", "Show every seed, mean, deviation, interval and verdict."),
    "import": CommandEntry("importing", "import_script", "Draft a spec from a training script."),
    "compare": CommandEntry("compare", "compare", "Say what differs between two groups, and what it did."),
    "status": CommandEntry("status", "status", "Show where every run here stands: step, ETA, bpb."),
    "logs": CommandEntry("jobs", "logs", "Print the log of a run."),
    "attach": CommandEntry("jobs", "attach", "Watch a run to its end and bring its files here."),
    "cancel": CommandEntry("jobs", "cancel", "Ask a run to stop; it leaves a checkpoint."),
    "fetch": CommandEntry("jobs", "fetch", "Bring what a run has written elsewhere here."),
    "launchers": CommandEntry("launchers", "launchers", "List installed launchers and their options."),
    "doctor": CommandEntry("doctor", "doctor", "Say what a run would find here, or on a rented machine."),
    "spec": CommandEntry("spec", "spec_app", "Look at specs: show, diff, schema, reference, list, new."),
    "data": CommandEntry("data", "data_app", "Prepare, fetch and verify token shards."),
}


def markup_mode() -> Literal["rich"] | None:
    """Boxes on a terminal, plain lines elsewhere: typer's boxes take as long to import as all the rest."""
    return "rich" if sys.stdout.isatty() else None


class LazyCommands(TyperGroup):
    """A group that knows its commands' names and help, and imports the one that is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name, help=entry.summary) for name, entry in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else command, rest


def load_command(name: str) -> Any:
    """The command itself, with all its options."""
    entry = COMMANDS[name]
    target = getattr(import_module(f"pgolf.cli.{entry.module}"), entry.attribute)
    holder = typer.Typer(rich_markup_mode=markup_mode())
    holder.callback()(lambda: None)
    if isinstance(target, typer.Typer):
        holder.add_typer(target, name=name)
    else:
        holder.command(name)(target)
    return typer.main.get_group(holder).commands[name]
