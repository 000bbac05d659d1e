"""Imports at the start of the command line, and its help."""

import subprocess
import sys

from typer.testing import CliRunner

from pgolf.cli.app import app
from pgolf.cli.commands import COMMANDS
from tests.conftest import Pgolf

HEAVY = ("torch", "modal", "numpy", "scipy", "sentencepiece")


def imported_by(statement: str) -> set[str]:
    """Return the top-level modules that a statement imports."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_app_imports_nothing_heavy() -> None:
    assert imported_by("import pgolf.cli.app").isdisjoint(HEAVY)


def test_importing_pgolf_imports_no_dependency() -> None:
    assert imported_by("import pgolf").isdisjoint({*HEAVY, "typer", "pydantic", "rich", "yaml"})


def test_the_recipe_needs_the_standard_library_only() -> None:
    foreign = imported_by("import trainer.recipe.decode") - sys.stdlib_module_names - {"trainer"}
    assert {name for name in foreign if not name.startswith(("_", "sitecustomize"))} == set()


def test_the_help_imports_no_command() -> None:
    code = "sys.argv = ['pgolf', '--help']\nfrom pgolf.cli.app import main\ntry: main()\nexcept SystemExit: pass\n"
    listing = "print(*sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}{listing}"], capture_output=True, text=True, check=True
    )
    imported = set(ended.stdout.split())
    assert "pgolf.cli.commands" in imported
    assert imported.isdisjoint({"pgolf.cli.run", "pgolf.specs", "pydantic", "rich.console", "importlib.metadata"})


def test_every_command_has_help(pgolf: Pgolf) -> None:
    listing = pgolf("--help").out
    for command, entry in COMMANDS.items():
        assert f"{command} " in listing
        assert entry.summary in listing, "too long for a line of 80 characters"
        shown = CliRunner().invoke(app, [command, "--help"])  # in this process, because twenty starts are slow
        assert shown.exit_code == 0
        assert "Usage" in shown.output
        assert "..." not in shown.output.partition("Commands")[2], "a summary is cut at 80 characters"


def test_preflight_does_not_start_torch(pgolf: Pgolf) -> None:
    pgolf("preflight", "quickstart", "--with", "micro")  # prepares the corpus, for which datasketch imports scipy
    code = (
        "import sys; sys.argv = ['pgolf', 'preflight', 'quickstart', '--with', 'micro', '--json']\n"
        "from pgolf.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'scipy' not in sys.modules"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
