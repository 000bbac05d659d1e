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
from trainer.recipe.files import ANSWER
from trainer.recipe.filling import largest_code_bytes
from trainer.recipe.inventory import inventory
from trainer.recipe.quantizer import DeviationClip, FisherSteps, Gptq, Rtn
from trainer.recipe.recipe import Recipe
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
        """Exponents by name; that of columns only where they have steps."""
        return {name: self.best[name] for name in ("tensor", "row", "column") if name in self.best}

    def overlay(self) -> str:
        """Return the steps as an overlay. A JSON mapping is also YAML."""
        steps = {"kind": "fisher"} | self.exponents
        quantizer = {"steps": steps, "fit_bytes": 0, "fill_bytes": self.total_bytes}
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
    check_bytes(spec.recipe, code, wanted)
    recipe = recipe_json(spec.recipe)
    request = {"quantizer": recipe["quantizer"], "codec": recipe["codec"], "model_bytes": wanted - code}
    with tempfile.TemporaryDirectory(prefix="pgolf-fit-") as folder:
        path = Path(folder) / "request.json"
        path.write_text(json.dumps(request), encoding="utf-8")
        answer = ask([sys.executable, "-P", "-m", "trainer.step_search", str(run.root), str(path)], tried)
    return FoundSteps(run.run_id, wanted, answer["best"], answer["tensors"])


def check_bytes(recipe: Recipe, code: int, wanted: int) -> None:
    """Check that some clips give code and model the bytes that are wanted.

    Raises:
        UsageError: none do.
    """
    most = largest_code_bytes(recipe.quantizer, inventory(recipe.model, recipe.vocabulary_size))
    if not most:
        largest = recipe.quantizer.float_up_to
        raise UsageError(f"no matrix has more than {largest:,} weights; set recipe.quantizer.float_up_to to 0")
    if code >= wanted:
        raise UsageError(f"train_gpt.py alone takes {code:,} of {wanted:,} bytes, which leaves no room for a model")
    if wanted >= code + most:
        raise UsageError(f"--bytes {wanted:,}: code and model have at most {code + most:,.0f} bytes; give fewer")


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
    """Return the answer of the trainer's search; other lines that it prints, as a class of your own may, are ignored.

    Raises:
        RunFailed: it failed.
    """
    answer: dict[str, Any] = {}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith(ANSWER):
                    answer = json.loads(line.removeprefix(ANSWER))
                    if "tried" in answer:
                        tried(answer["tried"])
        finally:
            if process.poll() is None and "best" not in answer:
                process.terminate()
        code = process.wait()
        errors.seek(0)
        said = errors.read().strip().splitlines()
    if code or "best" not in answer:
        raise RunFailed(f"--by sensitivity: {said[-1] if said else f'the trainer ended with code {code}'}")
    return answer
