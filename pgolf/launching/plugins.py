"""Installed launchers: found through the entry-point group `pgolf.launchers`, the built-in ones too."""

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from pgolf.errors import LauncherError
from pgolf.launching.protocol import Launcher

GROUP = "pgolf.launchers"


def launcher_entries() -> dict[str, EntryPoint]:
    """Return the entry points of installed launchers by name, none of them imported."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def load_launcher(name: str) -> Launcher:
    """Return a new launcher of this name.

    Raises:
        LauncherError: it is not installed or cannot be imported.
    """
    entries = launcher_entries()
    if name not in entries:
        raise LauncherError(f"launcher {name!r} is not installed; installed are {', '.join(sorted(entries))}")
    try:
        launcher: Launcher = entries[name].load()()
    except Exception as error:  # a plugin may fail in any way; it is named and nothing else breaks
        raise LauncherError(f"launcher {name!r} ({entries[name].value}) cannot be loaded: {error!r}") from error
    return launcher


def describe_launcher(name: str) -> dict[str, Any]:
    """Return a launcher's summary and the names of its options, or the error with which it fails to load."""
    try:
        launcher = load_launcher(name)
    except LauncherError as error:
        return {"name": name, "summary": None, "options": [], "error": str(error)}
    return {"name": name, "summary": launcher.summary, "options": list(launcher.Options.model_fields), "error": None}


def check_options(launcher: Launcher, options: dict[str, Any]) -> None:
    """Check launch.options.

    Raises:
        LauncherError: an option is unknown or has a wrong value; names the first one.
    """
    try:
        launcher.Options.model_validate(options)
    except ValidationError as error:
        found = error.errors(include_url=False)
        # A misspelled option explains the others, such as a missing one.
        first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
        path = ".".join(("launch.options", *map(str, first["loc"])))
        near = get_close_matches(str(first["loc"][0]), launcher.Options.model_fields, n=1)
        is_unknown = first["type"] == "extra_forbidden"
        guess = f"; did you mean `{near[0]}`?" if near and is_unknown else ""
        complaint = f"not an option of {launcher.name}" if is_unknown else first["msg"]
        known = ", ".join(launcher.Options.model_fields) or "none"
        raise LauncherError(f"{path}: {complaint}{guess}; options of {launcher.name}: {known}") from None
