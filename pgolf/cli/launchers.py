"""`pgolf launchers`: the installed launchers and their options."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from pgolf.cli.display.console import answer_console, print_json
from pgolf.cli.options import Json
from pgolf.errors import LauncherError
from pgolf.launching import launcher_entries, load_launcher


def launchers(is_json: Json = False) -> None:
    """List installed launchers with their options, or the error of those that cannot be loaded."""
    found = [describe(name) for name in sorted(launcher_entries())]
    if is_json:
        print_json({"launchers": found})
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("launcher", "description", "launch.options"):
        table.add_column(column)
    for row in found:
        table.add_row(row["name"], escape(row["summary"] or row["error"]), ", ".join(row["options"]) or "none")
    answer_console().print(table)


def describe(name: str) -> dict[str, Any]:
    """Return a launcher's description, or the error with which it fails to load."""
    try:
        launcher = load_launcher(name)
    except LauncherError as error:
        return {"name": name, "summary": None, "options": [], "error": str(error)}
    return {"name": name, "summary": launcher.summary, "options": list(launcher.Options.model_fields), "error": None}
