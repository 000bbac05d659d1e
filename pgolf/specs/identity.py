"""Spec hashes, which decide whether two runs are the same experiment."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pgolf.specs.experiment import recipe_json
from pgolf.specs.script import Script
from trainer.recipe.recipe import Recipe

# Keys that later releases added, by the component that has them, with the value at which a recipe is that of an earlier
# release. Such a key is not counted, so that runs and searches of earlier releases keep their hashes.
LATER_KEYS: dict[tuple[str, ...], dict[str, Any]] = {
    ("quantizer",): {"steps": None, "fill_bytes": 0, "gates": False},
    ("evaluation", "references", "*", "quantizer"): {"steps": None, "fill_bytes": 0, "gates": False},
    ("evaluation",): {"batch_documents": 1, "order": "stream", "pairs": "matrix", "keep_first": False, "phases": None},
    ("model", "attention", "gate"): {"gain": 1.0},
    ("model",): {"published_unused_softcaps": False},
    ("model", "topology"): {"skips_into_first_lane": False, "published_unused_lanes": False},
    ("optimizer",): {"weight_decay_taper": None, "clip_each_pass": False},
}
ABSENT = object()


def without_later_keys(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's JSON without keys that earlier releases did not have, where they change nothing."""
    for path, later in LATER_KEYS.items():
        recipe = without(later, recipe, path)
    return recipe


def without(later: dict[str, Any], document: Any, path: tuple[str, ...]) -> Any:
    """Return a document without some keys of the component at a path, where they have these values; `*` is any key."""
    if not isinstance(document, dict):
        return document
    if not path:
        return {key: value for key, value in document.items() if later.get(key, ABSENT) != value}
    first, *rest = path
    return {
        key: without(later, value, tuple(rest)) if first in (key, "*") else value for key, value in document.items()
    }


def with_content_hashes(value: Any) -> Any:
    """Return a recipe's JSON with the paths of the user's own files replaced by hashes of their contents."""
    if not isinstance(value, dict):
        return value
    content = {"file": hashlib.sha256(Path(value["file"]).read_bytes()).hexdigest()} if "class_name" in value else {}
    return {key: with_content_hashes(member) for key, member in value.items()} | content


def spec_sha256(recipe: Recipe, ruleset: str, data_sha256: str) -> str:
    """Return the SHA-256 of the canonical JSON of recipe, ruleset version and data.

    The data slot is represented by its manifest hash, because a folder does not identify data. Name, comments, seeds,
    launch and spend are not included.
    """
    document = without_later_keys(recipe_json(recipe)) | {"data": data_sha256}
    return sha256_of({"recipe": with_content_hashes(document), "ruleset": ruleset})


def script_spec_sha256(
    script: Script, processes: int, program_sha256: str, ruleset: str, data_sha256: str | None
) -> str:
    """Return the SHA-256 of the canonical JSON of a script's content, variables, processes, ruleset version and data.

    Unlike a recipe's, a script's run on a different number of processes is a different experiment. Paths and the time
    limit are not included, because they do not change the result of a finished run.
    """
    program = script.model_dump(mode="json", exclude={"path", "files", "data", "seconds", "unchecked", "nproc"})
    program |= {"processes": processes, "is_told_ranks": script.nproc is not None or processes > 1}
    return sha256_of({"program": program | {"sha256": program_sha256, "data": data_sha256}, "ruleset": ruleset})


def sha256_of(document: dict[str, Any]) -> str:
    """Return the SHA-256 of a document's canonical JSON."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
