"""The program of a bundle: one recipe, started as the challenge starts a training script.

`python train_gpt.py` or `torchrun --standalone --nproc_per_node=8 train_gpt.py` trains, packs and scores, and prints
the log of a submission. It keeps no checkpoints: a run that is stopped begins again.
"""

import argparse
import os
import shutil
import sys
import uuid
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from trainer.codec.container import decode_known_artifact
from trainer.dialects.contest import score_line, size_lines, step_line, unpacked_score_line
from trainer.evaluation.validation import read_validation
from trainer.export import Exporter, make_card
from trainer.recipe.files import DataFiles, RunFiles, write_json
from trainer.recipe.program import Program
from trainer.runtime.clock import PhaseClock
from trainer.runtime.device import choose_device
from trainer.runtime.failure import MachineRefused, ResumeRefused, RunFailure
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import SilentJournal
from trainer.runtime.world import World
from trainer.score import score_artifact
from trainer.step_log import LogSchedule
from trainer.train import choose_weights
from trainer.training import Training, check_processes

# Longer than quantization, during which the other ranks wait for rank 0.
LONGEST_WAIT = timedelta(hours=3)


def standalone_main(program: Program) -> int:
    """Run the program as its arguments and the challenge's variables ask for, and return the exit code."""
    arguments = parse_arguments(program, os.environ)
    rank, size, local_rank = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    size = max(1, size)
    threads = os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(int(threads) if threads else max(1, len(os.sched_getaffinity(0)) // size))
    code = 0
    try:
        world = World(choose_device(arguments.device, local_rank, local_rank + 1), rank, size)
        if size > 1:
            dist.init_process_group("nccl" if arguments.device == "cuda" else "gloo", timeout=LONGEST_WAIT)
        run_program(program, arguments, world)
    except (RunFailure, OSError) as error:
        print(f"train_gpt.py: {error}", file=sys.stderr, flush=True)
        code = error.exit_code if isinstance(error, RunFailure) else MachineRefused.exit_code
    if size > 1:
        sys.stdout.flush()
        os._exit(code)  # skip the interpreter's shutdown: with gloo's threads it has aborted
    return code


def parse_arguments(program: Program, variables: Mapping[str, str]) -> argparse.Namespace:
    """Return the arguments; their defaults are the challenge's variables, else its paths."""
    pieces = program.recipe.vocabulary_size
    data = variables.get("DATA_PATH", f"./data/datasets/fineweb10B_sp{pieces}")
    tokenizer = variables.get("TOKENIZER_PATH")
    out = f"logs/{variables.get('RUN_ID', uuid.uuid4())}"
    seed = variables.get("SEED", program.seed)
    parser = argparse.ArgumentParser(
        description=f"Train, pack and score {program.name}.", epilog="torchrun starts one process a GPU."
    )
    parser.add_argument("--data", type=Path, default=data, help="folder of shards, or DATA_PATH [%(default)s]")
    parser.add_argument("--tokenizer", type=Path, default=tokenizer, help="or TOKENIZER_PATH [in --data or ./data]")
    parser.add_argument("--seed", type=int, default=seed, help="random seed, or SEED [%(default)s]")
    parser.add_argument("--out", type=Path, default=out, help="new folder for results [logs/RUN_ID]")
    parser.add_argument("--model", type=Path, help="only score this artifact")
    parser.add_argument("--device", choices=("cpu", "cuda"), default=program.device, help="[%(default)s]")
    arguments = parser.parse_args()
    if arguments.tokenizer is None and not DataFiles(arguments.data).tokenizer.exists():
        arguments.tokenizer = Path(f"./data/tokenizers/fineweb_{pieces}_bpe.model")
    return arguments


class PrintingJournal(SilentJournal):
    """The journal of a submission: rank 0 prints the challenge's lines, and keeps them in train.log."""

    def __init__(self, files: RunFiles, world: World) -> None:
        self.file = files.log.open("w", encoding="utf-8") if world.is_rank_zero else None
        self.steps, self.train_seconds = 0, 0.0

    def log(self, line: str) -> None:
        """Print a line, at once even into a pipe."""
        if self.file:
            for stream in (sys.stdout, self.file):
                print(line, file=stream, flush=True)

    def score(self, metric: dict[str, Any]) -> None:
        """Print a score."""
        is_packed = metric["stage"] != "prequant"
        self.log(score_line(metric) if is_packed else unpacked_score_line(metric, self.steps, self.train_seconds))


class PrintedTraining(Training):
    """Training that logs steps, and nothing else."""

    def run(self) -> None:
        """Train until the budget is spent."""
        self.compile()
        self.schedule = LogSchedule(self.recipe.planned_steps)
        super().run()

    def after_step(self, loss: Tensor, multiplier: float) -> None:
        """Log the step if it is due. Where seconds limit training, the number of all steps is an estimate."""
        if self.schedule.is_due(self.step, self.progress):
            total = self.recipe.planned_steps or round(self.step / self.progress)
            self.journal.log(step_line(self.step, total, loss.item(), self.clock.seconds("train")))


def run_program(program: Program, arguments: argparse.Namespace, world: World) -> None:
    """Train and pack, unless an artifact is given, and score.

    Raises:
        RunFailure: it failed; gives the reason.
        OSError: a file cannot be read or written.
    """
    recipe = program.recipe
    files = RunFiles(arguments.out.resolve())
    data = DataFiles(arguments.data.resolve(), arguments.tokenizer and arguments.tokenizer.resolve(), False)
    text = read_validation(data, recipe.vocabulary_size)  # bad data ends the run before it trains
    check_processes(recipe, world.size)
    if world.is_rank_zero:
        make_folder(files, program.local, arguments.model)
    world.broadcast_number(0)  # wait for rank 0
    journal = PrintingJournal(files, world)
    journal.log(f"seed:{arguments.seed}")
    journal.log(f"world_size:{world.size} device:{device_name(world.device)}")
    tokens = len(text.scored_by(recipe.evaluation).tokens) - 1
    journal.log(f"val_loader:shards pattern={data.root}/fineweb_val_*.bin tokens:{tokens}")
    result: dict[str, Any] = {"name": program.name, "seed": arguments.seed}
    if arguments.model is None:
        run = {"limit_bytes": program.limit_bytes, "code_bytes": Path(__file__).stat().st_size, "code_basis": __file__}
        os.chdir(files.root)  # paths of the user's own code are relative to it
        job = TrainingJob(files=files, recipe=recipe, data=data, seed=arguments.seed, run=run)
        result |= train_and_pack(job, world, journal)
        world.broadcast_number(0)
    card = make_card(recipe, recipe.quantizer)
    scores = score_artifact(
        lambda path: decode_known_artifact(path, card, recipe.codec), files, data, world, journal, lambda: None
    )
    if world.is_rank_zero:
        found = {"metrics": scores.metrics, "headline": scores.headline}
        write_json(files.scores, found)
        write_json(files.result, result | found)


def make_folder(files: RunFiles, local: Mapping[str, str], model: Path | None) -> None:
    """Make the folder of a run, with the user's own files and the artifact to score.

    Raises:
        ResumeRefused: the folder holds a finished run.
    """
    if files.result.exists():
        raise ResumeRefused(f"{files.root} holds a finished run; give another --out or RUN_ID")
    files.artifact.mkdir(parents=True, exist_ok=True)
    for path, text in local.items():
        (files.root / path).parent.mkdir(exist_ok=True)
        (files.root / path).write_text(text, encoding="utf-8")
    if model:
        shutil.copyfile(model, files.model)


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def train_and_pack(job: TrainingJob, world: World, journal: PrintingJournal) -> dict[str, Any]:
    """Train, quantize and encode, and return the numbers of the result; only rank 0 has any."""
    recipe, clock = job.recipe, PhaseClock()
    if recipe.compute.attention == "measured":
        from trainer.autotune import with_fastest_attention

        job = with_fastest_attention(job, world, journal)
    training = PrintedTraining(job, world, journal, clock)
    parameters = sum(parameter.numel() for parameter in training.parameters.values())
    journal.log(f"model_params:{parameters} train_batch_tokens:{recipe.schedule.batch_tokens}")
    training.run()
    if not world.is_rank_zero:
        return {}
    training.model.follow_progress(1.0)
    choose_weights(training, job)
    artifact = Exporter(job, training.model, training.data, clock, journal, lambda: None).export()
    for line in size_lines(artifact, recipe.codec.kind):
        journal.log(line)
    journal.steps, journal.train_seconds = training.step, clock.finished["train"]
    return {"parameters": parameters, "steps": training.step, "artifact": artifact, "clock": clock.finished}
