"""Steps by sensitivity for the weights of a finished run: the trainer searches, in a process of its own."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pgolf.bundle.build import bundle_of
from pgolf.errors import RunFailed, UsageError
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.rundir import RunDirectory
from pgolf.specs.experiment import Experiment, recipe_json
from trainer.recipe.quantizer import DeviationClip, FisherSteps, Gptq, Rtn
from trainer.recipe.strict import RecipeConflict

Tried = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class FoundSteps:
    """Exponents that lose least on training text, at a number of bytes."""

    run_id: str
    total_bytes: int
    best: dict[str, Any]
    """Exponents by name, the bytes of the model, and the divergence in nats a token."""
    tensors: list[dict[str, Any]]
    """Name, weights, mean step, bits a weight and predicted loss in nats a token of each tensor."""

    @property
    def exponents(self) -> dict[str, float]:
        return {name: self.best[name] for name in ("tensor", "row", "column")}

    def overlay(self) -> str:
        """Return the steps as an overlay. A JSON mapping is also YAML."""
        quantizer = {"steps": {"kind": "fisher"} | self.exponents, "fill_bytes": self.total_bytes}
        return f"recipe: {{quantizer: {json.dumps(quantizer)}}}\n"

    def as_json(self) -> dict[str, Any]:
        """Return the answer of `pgolf fit --by sensitivity --json`."""
        return {"run_id": self.run_id, "bytes": self.total_bytes, "best": self.best, "tensors": self.tensors}


def search_steps(run: RunDirectory, spec: Experiment, total_bytes: int | None, tried: Tried) -> FoundSteps:
    """Search the exponents for the float weights of a run, and call `tried` with each attempt.

    The bytes are those of code and model together; None takes those of the run's own artifact.

    Raises:
        UsageError: the run has no float weights, or the quantizer's clips cannot be scaled to a number of bytes.
        RunFailed: the search failed; quotes the last line of its output.
    """
    if not run.files.prequant.exists():
        raise UsageError(f"{run.run_id} has no weights from before quantization; it has not finished training")
    wanted = int(run.read_result()["artifact"]["total_bytes"]) if total_bytes is None else total_bytes
    spec = spec.with_recipe(replace(spec.recipe, quantizer=with_steps(spec, wanted)))
    code = len(bundle_of(spec, load_ruleset(spec.ruleset)).packed)
    if code >= wanted:
        raise UsageError(f"train_gpt.py alone takes {code:,} of {wanted:,} bytes, which leaves no room for a model")
    recipe = recipe_json(spec.recipe)
    request = {"quantizer": recipe["quantizer"], "codec": recipe["codec"], "model_bytes": wanted - code}
    with tempfile.TemporaryDirectory(prefix="pgolf-fit-") as folder:
        path = Path(folder) / "request.json"
        path.write_text(json.dumps(request), encoding="utf-8")
        answer = ask([sys.executable, "-P", "-m", "trainer.step_search", str(run.root), str(path)], tried)
    return FoundSteps(run.run_id, wanted, answer["best"], answer["tensors"])


def with_steps(spec: Experiment, total_bytes: int) -> Rtn | Gptq:
    """Return the quantizer of a spec with steps by sensitivity, at a number of bytes.

    Raises:
        UsageError: it cannot have them; says why.
    """
    quantizer = spec.recipe.quantizer
    if not isinstance(quantizer, Rtn | Gptq) or not isinstance(quantizer.clip, DeviationClip):
        raise UsageError(
            "recipe.quantizer has no clips in standard deviations, which --by sensitivity scales to the bytes; give an "
            "overlay with `clip: {kind: deviations, k: {...}}`"
        )
    try:
        steps = quantizer.steps or FisherSteps(kind="fisher")
        return replace(quantizer, steps=steps, fit_bytes=0, fill_bytes=total_bytes)
    except RecipeConflict as conflict:
        raise UsageError(f"recipe.quantizer: {conflict}") from conflict


def ask(command: list[str], tried: Tried) -> dict[str, Any]:
    """Return the answer of the trainer's search.

    Raises:
        RunFailed: it failed.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        answer: dict[str, Any] = {}
        for line in process.stdout:
            answer = json.loads(line)
            if "tried" in answer:
                tried(answer["tried"])
        errors = process.stderr.read().strip().splitlines()
    if process.returncode or "best" not in answer:
        last = errors[-1] if errors else f"the trainer ended with code {process.returncode}"
        raise RunFailed(f"--by sensitivity: {last}")
    return answer
