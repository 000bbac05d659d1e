"""Verdicts from a folder's source code: hypotheses with the line to read, never proof."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pgolf.audit.catalogue import load_catalogue
from pgolf.audit.code.reading import SIGNATURE_RULES
from pgolf.audit.isolation import read_code_isolated
from pgolf.audit.verdicts import Verdict, make_verdict
from pgolf.records.folder import walk_files


def code_verdicts(folder: Path, logged: Mapping[str, str]) -> list[Verdict]:
    """Return a verdict for every rule that has a signature; none if the folder has no Python file."""
    if not any(path.suffix == ".py" for path in walk_files(folder)):
        return []
    found = read_code_isolated(folder, logged)
    if isinstance(found, str):
        return [make_verdict(rule, "unknown", found, "code") for rule in SIGNATURE_RULES]
    verdicts = [*unread_files(found), *suspected_rules(found)]
    return [*verdicts, *clean_rules(found, {verdict.rule for verdict in verdicts})]


def unread_files(found: Mapping[str, Any]) -> Iterator[Verdict]:
    """Yield a verdict for each file that does not compile, is too large, or runs code that cannot be unpacked."""
    for name, error in found["broken"].items():
        message = f"{name} does not compile here ({error}); a record must compile on Python 3.10 to 3.12"
        yield make_verdict("RUNS-IN-FOLDER", "warn", message, "code", name)
    for name, problem in found["too_large"].items():
        message = f"{name} was not read or not unpacked: {problem}"
        yield make_verdict("SELF-CONTAINED", "unknown", message, "code", name)
    for name in found["opaque"]:
        message = f"{name} runs code that cannot be unpacked without executing it; what that does is unknown"
        yield make_verdict("SELF-CONTAINED", "unknown", message, "code", name)


def suspected_rules(found: Mapping[str, Any]) -> Iterator[Verdict]:
    """Yield one verdict for each suspected rule, from the code that a run reaches, else from what it does not reach."""
    by_rule: dict[str, list[Mapping[str, Any]]] = {}
    for each in found["suspicions"]:
        by_rule.setdefault(each["rule"], []).append(each)
    for rule, suspicions in by_rule.items():
        for state in ("on", "off", "dead"):
            if of_state := [each for each in suspicions if each["state"] == state]:
                yield suspicion_verdict(rule, of_state)
                break


def suspicion_verdict(rule: str, found: list[Mapping[str, Any]]) -> Verdict:
    """Return the verdict of a rule from suspicions with one state of reachability."""
    places = tuple(each["place"] for each in found)
    message = found[0]["message"] + (f", and {len(found) - 1} more" if len(found) > 1 else "")
    if all(each["mild"] for each in found):
        message += "; reviewers disagree about it"
    match found[0]["state"]:
        case "on":
            return make_verdict(rule, "warn", f"{message} ({places[0]})", "code", *places)
        case "off":
            message = f"{message} ({places[0]}), but only if `{found[0]['why']}`, which is false by default"
            return make_verdict(rule, "unknown", message, "code", *places)
        case _:
            return make_verdict(rule, "pass", f"{message} ({places[0]}), but nothing calls it", "code", *places)


def clean_rules(found: Mapping[str, Any], named: set[str]) -> Iterator[Verdict]:
    """Yield a pass for each rule without a verdict, if all code was read; it proves nothing, and says so."""
    if not found["files"] or found["broken"] or found["too_large"] or found["opaque"]:
        return
    for rule in load_catalogue():
        if rule in SIGNATURE_RULES and rule not in named:
            yield make_verdict(rule, "pass", "no known signature in the code, which proves nothing", "code")
