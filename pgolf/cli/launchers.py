"""`pgolf launchers`: the installed launchers and their options."""

from rich.markup import escape
from rich.table import Table

from pgolf.cli.display.console import answer_console, print_json
from pgolf.cli.options import Json
from pgolf.launching import describe_launcher, launcher_entries


def launchers(is_json: Json = False) -> None:
    """List installed launchers with their options, or the error of those that cannot be loaded."""
    found = [describe_launcher(name) for name in sorted(launcher_entries())]
    if is_json:
        print_json({"launchers": found})
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("launcher", "description", "launch.options"):
        table.add_column(column)
    for row in found:
        table.add_row(row["name"], escape(row["summary"] or row["error"]), ", ".join(row["options"]) or "none")
    answer_console().print(table)
