"""The documents with which a run directory begins: spec.json and run.json."""

from importlib.metadata import version
from typing import Any

from pgolf.bundle.own_code import with_own_copies
from pgolf.preflight.cost import usd_per_hour
from pgolf.preflight.preflight import Preflight, ScriptFacts
from pgolf.preflight.stopping import plan_json, stop_json
from pgolf.rundir import RunDirectory
from pgolf.specs.experiment import Experiment
from trainer.recipe.files import LOCAL_FOLDER


def run_documents(
    preflight: Preflight, run: RunDirectory, seed: int, sources: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return spec.json and run.json of one seed, from a preflight whose identity is known."""
    spec, located = preflight.spec, preflight.located
    resolved = resolved_spec(spec, preflight) | {"seed": seed} | sources
    document = {
        "run_id": run.run_id,
        "name": spec.name,
        "seed": seed,
        "spec_sha256": preflight.identity,
        "code_sha256": preflight.code_sha256,
        "data_sha256": None if located is None else located.manifest.sha256,
        "ruleset": preflight.ruleset.label,
        "launcher": spec.launch.on,
        "device": "cpu" if spec.launch.gpu is None else "cuda",
        "data": None if located is None else located.manifest.name,
        "train_tokens": None if located is None else located.manifest.train.tokens,
        "rules": preflight.ruleset.model_dump(mode="json"),
        "data_folder": None if located is None else str(located.folder),
        "code_bytes": preflight.code_bytes,
        "code_basis": preflight.code_basis,
        "limit_bytes": preflight.ruleset.limits.bytes,
        "torch": version("torch"),
        "environment": None,
        "gpu": spec.launch.gpu,
        "threads": spec.launch.threads,
        "usd_per_hour": usd_per_hour(spec.launch),
        "plan": plan_json(preflight),
        "stop": stop_json(spec.stop, run.root.parent.parent),
        **({} if preflight.script is None else script_document(preflight.script)),
    }
    return resolved, document


def resolved_spec(spec: Experiment, preflight: Preflight) -> dict[str, Any]:
    """Return every value of a spec, the user's own code under the names of its copies in the run directory."""
    document = spec.as_json()
    if not spec.is_script:
        return document | {"recipe": with_own_copies(document["recipe"])}
    script, *others = [f"{LOCAL_FOLDER}/{name}" for name in preflight.own_files]
    return document | {"program": document["program"] | {"path": script, "files": others}}


def script_document(script: ScriptFacts) -> dict[str, Any]:
    """Return what run.json says about a script."""
    return {
        "script": script.name,
        "withheld": sorted({*(variable.name for variable in script.unset), *script.ambient}),
        "train_seconds_allowed": script.train_seconds_allowed,
        "code_files": script.code_files,
    }
