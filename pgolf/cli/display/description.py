"""`pgolf preflight --describe FILE`: artifact bytes from a description of somebody's run."""

from pathlib import Path

from pgolf.cli.display.console import answer_console, print_json
from pgolf.preflight.public_runs import estimate_described_file
from pgolf.rulesets.ruleset import load_ruleset

RULESET = "parameter_golf"


def print_described(path: Path, is_json: bool) -> None:
    """Print the bytes of a run whose hyperparameters, formats and compressor a file describes.

    Raises:
        UsageError: there is no such file.
        SpecError: it is not a JSON object, or says too little.
    """
    estimate = estimate_described_file(path)
    artifact = {
        "basis": estimate.basis,
        "model_bytes": estimate.as_json(),
        "code_bytes": None,
        "total_bytes": None,
        "limit_bytes": load_ruleset(RULESET).limits.bytes,
    }
    if is_json:
        print_json({"artifact": artifact})
        return
    console = answer_console()
    console.print(f"model {estimate.estimate:,} bytes ({estimate.low:,} to {estimate.high:,}), without code")
    console.print(estimate.basis, style="dim", markup=False)
