"""The commands by name. A command is imported when it is called, so that `pgolf --help` stays fast."""

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """Where a command or a group of commands is defined, and its line in the help."""

    module: str
    attribute: str
    summary: str


COMMANDS = {
    "run": CommandEntry("run", "run", "Train, pack and score one seed of a spec."),
    "seeds": CommandEntry("seeds", "seeds", "Run the missing seeds of a spec, then show all of them."),
    "preflight": CommandEntry("preflight", "preflight", "Check size, time, cost and rules of a spec."),
    "fit": CommandEntry("fit", "fit", "Choose quantizer clips so that the artifact fits."),
    "bundle": CommandEntry("bundle", "bundle", "Write trainer and recipe as one train_gpt.py."),
    "submission": CommandEntry("submission", "submission", "Write a records folder from finished runs."),
    "verify": CommandEntry("verify", "verify", "Check a submission folder: claims, bytes and score."),
    "audit": CommandEntry("audit", "audit", "Check a submission folder, a run or a spec against the rules."),
    "search": CommandEntry("search", "search", "Search for better values under a budget."),
    "report": CommandEntry("report", "report", "Show every seed, mean, deviation and verdict."),
    "import": CommandEntry("import_script", "import_script", "Draft a spec from a training script."),
    "compare": CommandEntry("compare", "compare", "Show what differs between two groups, and its effect."),
    "status": CommandEntry("status", "status", "Show where every run stands: step, ETA, bpb."),
    "logs": CommandEntry("logs", "logs", "Print the log of a run."),
    "attach": CommandEntry("attach", "attach", "Watch a run to its end and fetch its files."),
    "cancel": CommandEntry("cancel", "cancel", "Ask a run to stop; it writes a checkpoint."),
    "fetch": CommandEntry("fetch", "fetch", "Fetch what a run has written elsewhere."),
    "launchers": CommandEntry("launchers", "launchers", "List installed launchers and their options."),
    "doctor": CommandEntry("doctor", "doctor", "Check this machine, or a rented one, before a run."),
    "spec": CommandEntry("spec", "spec_app", "Inspect specs: show, diff, schema, reference, list, new."),
    "data": CommandEntry("data", "data_app", "Prepare, fetch and verify token shards."),
}


def markup_mode() -> Literal["rich"] | None:
    """Return how help is rendered: boxes on a terminal, plain lines elsewhere, which are faster to import."""
    return "rich" if sys.stdout.isatty() else None


class LazyCommands(TyperGroup):
    """A command group that knows names and help lines, and imports only the command that is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name, help=entry.summary) for name, entry in COMMANDS.items()}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # Tab was pressed after these words
            from pgolf.cli.completion import words_before

            args = words_before(ctx, args)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else command, rest


def load_command(name: str) -> Any:
    """Import a command with all its options."""
    entry = COMMANDS[name]
    target = getattr(import_module(f"pgolf.cli.{entry.module}"), entry.attribute)
    holder = typer.Typer(rich_markup_mode=markup_mode())
    holder.callback()(lambda: None)
    if isinstance(target, typer.Typer):
        holder.add_typer(target, name=name)
    else:
        holder.command(name)(target)
    return typer.main.get_group(holder).commands[name]
