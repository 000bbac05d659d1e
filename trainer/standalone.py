"""The program of a bundle: one recipe, started as the challenge starts a training script.

`python train_gpt.py` or `torchrun --standalone --nproc_per_node=8 train_gpt.py` trains, packs and scores, and prints
the log of a submission. It keeps no checkpoints: a run that is stopped begins again.
"""

import argparse
import fcntl
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

import torch
import torch.distributed as dist
from torch import Tensor

from trainer.codec.container import decode_known_artifact
from trainer.data.manifest import read_split
from trainer.data.shards import TokenStream
from trainer.dialects.contest import header_lines, score_line, size_lines, step_line, unpacked_score_line
from trainer.evaluation.validation import read_validation
from trainer.export import Exporter, make_card
from trainer.recipe.files import DataFiles, RunFiles
from trainer.recipe.program import Program
from trainer.recipe.recipe import Recipe
from trainer.recipe.writing import write_json
from trainer.runtime.clock import PhaseClock
from trainer.runtime.device import choose_device
from trainer.runtime.failure import MachineRefused, ResumeRefused, RunFailure, Stopped
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import SilentJournal
from trainer.runtime.world import World
from trainer.score import score_artifact
from trainer.step_log import LogSchedule
from trainer.train import choose_weights
from trainer.training import Training, check_processes

# Variable, name among the arguments, least value and default.
TORCHRUN_VARIABLES = (
    ("RANK", "rank", 0), ("LOCAL_RANK", "local_rank", 0), ("WORLD_SIZE", "size", 1), ("OMP_NUM_THREADS", "threads", 0),
)  # fmt: skip
# Longer than quantization, during which the other ranks wait for rank 0.
LONGEST_WAIT = timedelta(hours=3)


class RankZeroFailed(Exception):
    """Raised on the other ranks where rank 0 fails, which prints the reason."""


def standalone_main(program: Program) -> int:
    """Run the program as its arguments and the challenge's variables ask for, and return the exit code."""
    arguments = parse_arguments(program, os.environ)
    torch.set_num_threads(arguments.threads or max(1, len(os.sched_getaffinity(0)) // arguments.size))
    code = 0
    try:
        run_program(program, arguments, join_torchrun(arguments))
    except (RunFailure, OSError) as error:
        print(f"train_gpt.py: {error}", file=sys.stderr, flush=True)
        code = error.exit_code if isinstance(error, RunFailure) else MachineRefused.exit_code
    except RankZeroFailed:
        code = RunFailure.exit_code
    except KeyboardInterrupt:
        code = Stopped.exit_code
    if arguments.size > 1:
        sys.stdout.flush()
        os._exit(code)  # skip the interpreter's shutdown: with gloo's threads it has aborted
    return code


def parse_arguments(program: Program, variables: Mapping[str, str]) -> argparse.Namespace:
    """Return the arguments; their defaults are the challenge's variables, else the paths of its script.

    The variables of torchrun become `rank`, `size`, `local_rank` and `threads`.
    """
    pieces = program.recipe.vocabulary_size
    data = variables.get("DATA_PATH", f"./data/datasets/fineweb10B_sp{pieces}")
    device = "cuda" if torch.cuda.is_available() else program.device
    parser = argparse.ArgumentParser(description=f"Train, pack and score {program.name}, also under torchrun.")
    add = parser.add_argument
    add("--data", type=Path, default=data, help="folder of the shards, or DATA_PATH [%(default)s]")
    add("--tokenizer", type=Path, help="SentencePiece model, or TOKENIZER_PATH [in --data, else in ./data/tokenizers]")
    add("--seed", type=int, default=variables.get("SEED", program.seed), help="random seed, or SEED [%(default)s]")
    add("--out", type=Path, help="folder for the results [logs/RUN_ID, or one with a name of its own in logs]")
    add("--model", type=Path, help="artifact to score, instead of training")
    add("--device", choices=("cpu", "cuda"), default=device, help="where to compute [%(default)s]")
    arguments = parser.parse_args()
    if not 0 <= arguments.seed < 1 << 32:
        parser.error(f"the seed is {arguments.seed}, expected 0 to {(1 << 32) - 1}")
    for name, key, least in TORCHRUN_VARIABLES:
        text = variables.get(name, str(least)).partition(",")[0]  # OMP_NUM_THREADS may be a list
        if not text.isdecimal() or int(text) < least:
            parser.error(f"{name} is {text!r}, expected a whole number from {least} on")
        setattr(arguments, key, int(text))
    if arguments.rank >= arguments.size:
        parser.error(f"RANK is {arguments.rank}, expected less than WORLD_SIZE, which is {arguments.size}")
    if (run_id := variables.get("RUN_ID")) is not None and arguments.out is None:
        if not run_id or Path(run_id).name != run_id:
            parser.error(f"RUN_ID is {run_id!r}, expected the name of a folder")
        arguments.out = Path("logs", run_id)
    if arguments.tokenizer is None:
        within = DataFiles(arguments.data).tokenizer
        usual = within if within.exists() else f"./data/tokenizers/fineweb_{pieces}_bpe.model"
        arguments.tokenizer = Path(variables.get("TOKENIZER_PATH", usual))
    return arguments


def join_torchrun(arguments: argparse.Namespace) -> World:
    """Return this process as one of those that torchrun started, or alone.

    Raises:
        MachineRefused: there are too few GPUs, or the others cannot be found.
    """
    device = choose_device(arguments.device, arguments.local_rank, arguments.local_rank + 1)
    if arguments.size > 1:
        try:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
        except ValueError as error:
            raise MachineRefused(f"{error}; start several processes with torchrun") from error
    return World(device, arguments.rank, arguments.size)


class PrintingJournal(SilentJournal):
    """The journal of a submission: rank 0 prints the challenge's lines, and keeps them in train.log."""

    def __init__(self, file: TextIO | None) -> None:
        self.file = file
        self.trained = 0, 0.0
        self.sizes: list[str] = []
        """Lines to print before the first score of the packed model, as the baseline does."""

    def log(self, line: str) -> None:
        """Print a line, at once even into a pipe."""
        if self.file:
            for stream in (sys.stdout, self.file):
                print(line, file=stream, flush=True)

    def score(self, metric: dict[str, Any]) -> None:
        """Print a score."""
        if metric["stage"] == "prequant":
            self.log(unpacked_score_line(metric, *self.trained))
            return
        for line in (*self.sizes, score_line(metric)):
            self.log(line)
        self.sizes = []


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
            total = self.recipe.planned_steps or max(self.step, round(self.step / self.progress))
            self.journal.log(step_line(self.step, total, loss.item(), self.clock.seconds("train")))


def run_program(program: Program, arguments: argparse.Namespace, world: World) -> None:
    """Train and pack, unless an artifact is given, and score.

    Raises:
        RunFailure: it failed; gives the reason.
        OSError: a file cannot be read or written.
    """
    folder, tokenizer = arguments.data.absolute(), arguments.tokenizer.absolute()
    data = DataFiles(folder, tokenizer, needs_manifest=False, transform=program.recipe.data.transform or None)
    out = arguments.out or Path("logs", f"{world.broadcast_number(secrets.randbits(60)):015x}")
    files = RunFiles(out.absolute())
    code_bytes = Path(__file__).stat().st_size
    file, problem = None, None
    if world.is_rank_zero:
        try:
            check_inputs(program.recipe, arguments, data, world.size)
            file = open_folder(files, program.local, arguments.model)
        except (RunFailure, OSError) as error:
            problem = error
    if world.broadcast_number(problem is not None):
        raise problem or RankZeroFailed
    os.chdir(files.root)  # paths of the user's own code are relative to it
    journal = PrintingJournal(file)
    recipe = program.recipe
    result: dict[str, Any] = {}
    if arguments.model is None:
        run = {"limit_bytes": program.limit_bytes, "code_bytes": code_bytes, "code_basis": "train_gpt.py"}
        job = TrainingJob(files=files, recipe=recipe, data=data, seed=arguments.seed, run=run)
        recipe, result = train_and_pack(job, world, journal)
        world.broadcast_number(0)  # wait for rank 0
    card = make_card(recipe, recipe.quantizer)
    scores = score_artifact(
        lambda path: decode_known_artifact(path, card, recipe.codec), files, data, world, journal, lambda: None
    )
    if world.is_rank_zero:
        found = {"metrics": scores.metrics, "headline": scores.headline}
        write_json(files.scores, found)
        write_json(files.result, {"name": program.name} | result | found)


def check_inputs(recipe: Recipe, arguments: argparse.Namespace, data: DataFiles, processes: int) -> None:
    """Check before anything is written that the data is there and that the processes can share a step.

    Raises:
        RunFailure: not so.
    """
    read_validation(data, recipe.vocabulary_size)
    if arguments.model is None:
        check_processes(recipe, processes)
        TokenStream(read_split(data, "train", recipe.vocabulary_size).shards)


def open_folder(files: RunFiles, local: Mapping[str, str], model: Path | None) -> TextIO:
    """Make the folder of a run, with the user's own files and the artifact to score, and return its log.

    The log is locked as long as this process lives, where the file system has flock. A run that was stopped is begun
    again.

    Raises:
        ResumeRefused: the folder holds a finished run, or another process works in it.
    """
    if files.result.exists():
        raise ResumeRefused(f"{files.root} holds a finished run; give another --out or RUN_ID")
    files.artifact.mkdir(parents=True, exist_ok=True)
    log = files.log.open("a", encoding="utf-8")
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ResumeRefused(f"another process works in {files.root}; give another --out or RUN_ID") from None
    except OSError as error:
        print(f"{files.root} has no lock: {error}", file=sys.stderr)
    log.truncate(0)
    files.prequant.unlink(missing_ok=True)
    for path, text in local.items():
        (files.root / path).parent.mkdir(exist_ok=True)
        (files.root / path).write_text(text, encoding="utf-8")
    if model:
        shutil.copyfile(model, files.model)
    return log


def train_and_pack(job: TrainingJob, world: World, journal: PrintingJournal) -> tuple[Recipe, dict[str, Any]]:
    """Train, quantize and encode. Return the recipe, with the attention kernel, and the numbers of the result."""
    clock = PhaseClock()
    if job.recipe.compute.attention == "measured":
        from trainer.autotune import with_fastest_attention

        job = with_fastest_attention(job, world, journal)
    training = PrintedTraining(job, world, journal, clock)
    parameters = sum(parameter.numel() for parameter in training.parameters.values())
    for line in header_lines(parameters, world.size, job.seed):
        journal.log(line)
    journal.log(f"device:{device_name(world.device)} train_batch_tokens:{job.recipe.schedule.batch_tokens}")
    training.run()
    if not world.is_rank_zero:
        return job.recipe, {}
    training.model.follow_progress(1.0)
    choose_weights(training, job)
    artifact = Exporter(job, training.model, training.data, clock, journal, lambda: None).export()
    journal.trained = training.step, clock.finished["train"]
    journal.sizes = [*size_lines(artifact, job.recipe.codec.kind)]
    numbers = {"seed": job.seed, "parameters": parameters, "steps": training.step, "artifact": artifact}
    return job.recipe, numbers | {"clock": clock.finished}


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
