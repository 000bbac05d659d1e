"""What a folder's code looks like, as verdicts: hypotheses with the line to read, never proof."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pgolf.audit.catalogue import load_catalogue
from pgolf.audit.code.reading import CHECKED
from pgolf.audit.isolation import read_code_isolated
from pgolf.audit.verdicts import Verdict, make_verdict
from pgolf.records.folder import walk_files


def code_verdicts(folder: Path, logged: Mapping[str, str]) -> list[Verdict]:
    """A verdict for every rule that has a signature; where there is no code, none."""
    if not any(path.suffix == ".py" for path in walk_files(folder)):
        return []
    found = read_code_isolated(folder, logged)
    if isinstance(found, str):
        return [make_verdict(rule, "unknown", found, "code") for rule in CHECKED]
    verdicts = [*broken_files(found), *suspicious(found)]
    verdicts += clean(found, {verdict.rule for verdict in verdicts})
    return verdicts


def broken_files(found: Mapping[str, Any]) -> Iterator[Verdict]:
    """Files that are no Python, or hide too much."""
    for name, error in found["broken"].items():
        words = f"{name} does not compile here ({error}); a record must compile on Python 3.10 to 3.12"
        yield make_verdict("RUNS-IN-FOLDER", "warn", words, "code", name)
    for name in found["too_large"]:
        words = f"{name} was not read: it has, or unpacks to, more bytes than any program has"
        yield make_verdict("SELF-CONTAINED", "unknown", words, "code", name)
    for name in found["opaque"]:
        words = f"{name} runs what could not be unpacked without running it; what it does is not known"
        yield make_verdict("SELF-CONTAINED", "unknown", words, "code", name)


def suspicious(found: Mapping[str, Any]) -> Iterator[Verdict]:
    """One verdict a rule: what a run comes by first, then what it does not by default."""
    by_rule: dict[str, list[Mapping[str, Any]]] = {}
    for each in found["suspicions"]:
        by_rule.setdefault(each["rule"], []).append(each)
    for rule, all_of in by_rule.items():
        for state in ("on", "off", "dead"):
            if of_state := [each for each in all_of if each["state"] == state]:
                yield suspected(rule, of_state)
                break


def suspected(rule: str, found: list[Mapping[str, Any]]) -> Verdict:
    """The verdict of a rule from places of one reach."""
    places = tuple(each["place"] for each in found)
    words = found[0]["message"] + (f", and {len(found) - 1} more" if len(found) > 1 else "")
    if all(each["mild"] for each in found):
        words += "; reviewers are of two minds about it"
    match found[0]["state"]:
        case "on":
            return make_verdict(rule, "warn", f"{words} ({places[0]})", "code", *places)
        case "off":
            words = f"{words} ({places[0]}), but only if `{found[0]['why']}`, which is false by default"
            return make_verdict(rule, "unknown", words, "code", *places)
        case _:
            return make_verdict(rule, "pass", f"{words} ({places[0]}), but nothing calls it", "code", *places)


def clean(found: Mapping[str, Any], named: set[str]) -> Iterator[Verdict]:
    """What no signature matched. That is no proof of innocence, and is not called one."""
    if not found["files"] or found["broken"] or found["too_large"] or found["opaque"]:
        return
    for rule in load_catalogue():
        if rule in CHECKED and rule not in named:
            yield make_verdict(rule, "pass", "no known signature in the code, which proves nothing", "code")
