"""The documents with which a run directory begins."""

from importlib.metadata import version
from typing import Any

from pgolf.preflight.cost import usd_an_hour
from pgolf.preflight.examined import Examined
from pgolf.preflight.stopping import plan_json, stop_json
from pgolf.rundir import RunDirectory


def run_documents(
    preflight: Examined, run: RunDirectory, seed: int, origin: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """spec.json and run.json of one seed, from a preflight that knows its identity."""
    spec, located = preflight.spec, preflight.located
    resolved = preflight.resolved() | {"seed": seed} | origin
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
        "data_folder": None if located is None else str(located.folder),
        "code_bytes": preflight.code_bytes,
        "code_basis": preflight.code_basis,
        "limit_bytes": preflight.ruleset.artifact_limit_bytes,
        "torch": version("torch"),
        "environment": None,
        "gpu": spec.launch.gpu,
        "usd_per_hour": usd_an_hour(spec.launch),
        "plan": plan_json(preflight),
        "stop": stop_json(spec.stop, run.root.parent.parent),
        **preflight.of_program(),
    }
    return resolved, document
