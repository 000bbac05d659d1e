"""The documents with which a run directory begins."""

from importlib.metadata import version
from typing import Any

from pgolf.bundle.own_code import with_own_copies
from pgolf.preflight.cost import usd_an_hour
from pgolf.preflight.examine import Preflight
from pgolf.preflight.stopping import plan_json, stop_json
from pgolf.rundir import RunDirectory
from pgolf.specs.identity import recipe_json

CODE_BASIS = "train_gpt.py beside model.bin: the trainer with this recipe, in one file"


def run_documents(
    preflight: Preflight, run: RunDirectory, seed: int, origin: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """spec.json and run.json of one seed, from a preflight that found the data."""
    assert preflight.located is not None
    spec = preflight.spec
    recipe = with_own_copies(recipe_json(spec.recipe))
    resolved = spec.model_dump(mode="json") | {"recipe": recipe, "seed": seed} | origin
    document = {
        "run_id": run.run_id,
        "name": spec.name,
        "seed": seed,
        "spec_sha256": preflight.identity,
        "code_sha256": preflight.code.sha256,
        "data_sha256": preflight.located.manifest.sha256,
        "ruleset": preflight.ruleset.label,
        "launcher": spec.launch.on,
        "device": "cpu" if spec.launch.gpu is None else "cuda",
        "data_folder": str(preflight.located.folder),
        "code_bytes": len(preflight.bundle.packed),
        "code_basis": CODE_BASIS,
        "limit_bytes": preflight.ruleset.artifact_limit_bytes,
        "torch": version("torch"),
        "environment": None,
        "gpu": spec.launch.gpu,
        "usd_per_hour": usd_an_hour(spec.launch),
        "plan": plan_json(spec, preflight.duration),
        "stop": stop_json(spec.stop, run.root.parent.parent),
    }
    return resolved, document
