"""Results that logs print as JSON objects, one a line, as lines that the dialects read."""

import json
import re

OBJECT = re.compile(r"^([\w .:=-]{0,40}?)\s*(\{[^{}]{1,1900}\})\s*$")
# Objects with one of these fields are progress, several runs, or the claims of an author.
NO_RESULT_FIELDS = frozenset(
    ("step", "epoch", "iter", "iteration", "chunk", "author", "github_id", "name", "seeds", "mean", "std", "target")
)
NAME_FIELDS = ("label", "stage", "eval", "event", "split", "type", "phase", "method")
NUMBER = re.compile(r"\d{1,3}(?:\.\d{1,18})?(?:[eE][-+]?\d{1,3})?")


def spell_results(lines: list[str]) -> list[str]:
    """Return the lines of a log with each JSON result spelled as a line: `final val_loss:1.9000 val_bpb:1.0812`."""
    return [(spelled_result(line) if "val_bpb" in line and "{" in line else None) or line for line in lines]


def spelled_result(line: str) -> str | None:
    """Return the result in a JSON object as a line; None if the line is no such object."""
    found = OBJECT.match(line)
    if found is None:
        return None
    try:
        document = json.loads(found[2], parse_float=str, parse_int=str)
    except ValueError:
        return None
    fields = {key: value for key, value in document.items() if isinstance(value, str)}
    if NO_RESULT_FIELDS & document.keys() or not NUMBER.fullmatch(fields.get("val_bpb", "")):
        return None
    label = " ".join([found[1].strip(" :="), *(fields[name] for name in NAME_FIELDS if name in fields)]).strip()
    seed = f"seed={fields['seed']} " if fields.get("seed", "").isdigit() else ""
    loss = f"val_loss:{fields['val_loss']} " if NUMBER.fullmatch(fields.get("val_loss", "")) else ""
    return f"{label or 'result'} {seed}{loss}val_bpb:{fields['val_bpb']}"
