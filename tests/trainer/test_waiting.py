"""Between two logged steps no step reads a number from the device: on a GPU that synchronizes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pgolf.rundir import RunDirectory
from tests.trainer.small import small_recipe
from trainer.data.documents import segments_of
from trainer.optimizer.coverage import STEPS_TO_MOVE
from trainer.recipe.files import DataFiles, RunFiles
from trainer.resumable import ResumableTraining
from trainer.runtime.clock import PhaseClock
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import SilentJournal
from trainer.runtime.world import SINGLE_PROCESS

# Operations that return a Python number, or a shape that depends on values.
WAITING = {"aten._local_scalar_dense", "aten.is_nonzero", "aten.equal", "aten.nonzero", "aten.masked_select"}
# Methods that copy from a device. On a CPU they are not operations.
COPYING = ("cpu", "numpy", "tolist")
RECIPES: dict[str, dict[str, object]] = {
    "quickstart": {},
    "clipped, averaged, in parts": {
        "optimizer__clip_norm": 1.0,
        "averaging": "{kind: ema, decay: 0.9}",
        "schedule__micro_batch_tokens": 64,
    },
    "rounded, recurrent, SWA": {
        "model__topology__recurrence": "{first: 1, last: 2, loops: 2, from_progress: 0.5}",
        "quantizer__training": "{kind: straight_through, below_lr: 1.0}",
        "averaging": "{kind: swa, every_steps: 1, below_lr: 1.0}",
    },
    "plain paths": {"compute__loss": "plain", "compute__attention": "library"},
    "by documents": {"schedule__loader": "{kind: document_packing}"},
}


class Listener(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the names of operations that synchronize."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.heard: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(function.overloadpacket)
        if name in WAITING or (name == "aten.index" and any(x is not None and x.dtype == torch.bool for x in args[1])):
            self.heard.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_waits_for_nothing(
    micro_run: RunDirectory, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = micro_run.read_run() | {"environment": None}
    recipe, data = small_recipe(**RECIPES[name]), DataFiles(Path(run["data_folder"]))
    job = TrainingJob(files=RunFiles(tmp_path), recipe=recipe, data=data, seed=5, run=run)
    training = ResumableTraining(job, SINGLE_PROCESS, SilentJournal(), PhaseClock())
    for _ in range(STEPS_TO_MOVE + 1):  # the first ones prove that every tensor moves, and look
        training.train_step(1.0)
    with Listener() as listener:
        for method in COPYING:
            monkeypatch.setattr(torch.Tensor, method, heard_by(listener, method))
        for _ in range(2):
            training.train_step(1.0)
        monkeypatch.undo()
        steps, listener.heard = listener.heard, []
        monkeypatch.setattr(torch.Tensor, "tolist", heard_by(listener, "tolist"))
        if "documents" in name:  # which are found in the memory of the host, before the batch is on its device
            for _ in range(2):
                segments_of(torch.zeros(2, 64, dtype=torch.int64), 1, None, torch.device("cpu"))
    monkeypatch.undo()
    training.data.batches.close()
    assert steps == listener.heard


def heard_by(listener: Listener, name: str) -> Callable[..., Any]:
    """Return a method of tensors that a listener hears."""
    method = getattr(torch.Tensor, name)

    def hear(*arguments: Any, **options: Any) -> Any:
        listener.heard.append(name)
        return method(*arguments, **options)

    return hear


def test_the_listener_hears() -> None:
    with Listener() as listener:
        torch.ones(2).sum().item()
        torch.ones(2)[torch.tensor([True, False])]
        bool(torch.ones(1) > 0)
    assert listener.heard == ["aten._local_scalar_dense", "aten.index", "aten._local_scalar_dense"]
