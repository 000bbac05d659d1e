"""`pgolf preflight --describe FILE`: artifact bytes from a description of somebody's run."""

import json
from pathlib import Path
from typing import Any

from pgolf.cli.display.console import answer_console, print_json
from pgolf.errors import SpecError, UsageError
from pgolf.preflight.public_runs import estimate_public_run
from pgolf.rulesets.ruleset import load_ruleset

RULESET = "parameter_golf"


def print_described(path: Path, is_json: bool) -> None:
    """Print the bytes of a run whose hyperparameters, formats and compressor a file describes.

    Raises:
        UsageError: there is no such file.
        SpecError: it is not a JSON object, or says too little.
    """
    description = read_object(path)
    try:
        estimate = estimate_public_run(description)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    artifact = {
        "basis": estimate.basis,
        "model_bytes": estimate.as_json(),
        "code_bytes": None,
        "total_bytes": None,
        "limit_bytes": load_ruleset(RULESET).artifact_limit_bytes,
    }
    if is_json:
        print_json({"artifact": artifact})
        return
    console = answer_console()
    console.print(f"model {estimate.estimate:,} bytes ({estimate.low:,} to {estimate.high:,}), without code")
    console.print(estimate.basis, style="dim", markup=False)


def read_object(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--describe {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{path} is not JSON: {error}; expected one object, such as a row of public runs") from None
    if not isinstance(found, dict):
        raise SpecError(f"{path} holds {type(found).__name__}, expected one JSON object")
    return found
