"""`pgolf launchers`: the installed launchers and their options."""

from pgolf.cli.display.console import answer_console, print_json
from pgolf.cli.display.table import Column, FittedTable
from pgolf.cli.options import Json
from pgolf.launching import describe_launcher, launcher_entries


def launchers(is_json: Json = False) -> None:
    """List installed launchers with their options, or the error of those that cannot be loaded."""
    found = [describe_launcher(name) for name in sorted(launcher_entries())]
    if is_json:
        print_json({"launchers": found})
        return
    table = FittedTable(Column("launcher"), Column("description", "text"), Column("launch.options", "text"))
    for row in found:
        table.add_row(row["name"], row["summary"] or row["error"], ", ".join(row["options"]) or "none")
    answer_console().print(table)
