"""The file names of a run: the whole contract between the trainer and whoever started it."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Where a run keeps its copies of the user's own code, so that it can be moved.
LOCAL_FOLDER = "local"
# What stands for the folder of the data in a script's variables, on whatever machine it runs.
DATA_PLACE = "{data}"
# What a probe is asked, and what it says.
QUESTIONS, ANSWERS = "questions.npz", "answers.npz"


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Where everything is inside a run directory."""

    root: Path

    @property
    def spec(self) -> Path:
        """Every resolved value and where it came from."""
        return self.root / "spec.json"

    @property
    def run(self) -> Path:
        """Run id, hashes, launcher, data folder, environment."""
        return self.root / "run.json"

    @property
    def local(self) -> Path:
        """The user's own code that the recipe names."""
        return self.root / LOCAL_FOLDER

    @property
    def state(self) -> Path:
        """Phase, step, pid, heartbeat; replaced whole."""
        return self.root / "state.json"

    def worker_word(self, rank: int) -> Path:
        """The last word of a process of the run other than rank 0."""
        return self.root / f"rank-{rank}.json"

    @property
    def lock(self) -> Path:
        """Held by the trainer, and only by it, while it works."""
        return self.root / "run.lock"

    @property
    def metrics(self) -> Path:
        """One JSON object a logged step."""
        return self.root / "metrics.jsonl"

    @property
    def log(self) -> Path:
        """The same for people."""
        return self.root / "train.log"

    @property
    def attempts(self) -> Path:
        """On rented machines: one JSON object an attempt, with the seconds that it lasted."""
        return self.root / "attempts.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The newest two, and the weights as they were before quantization."""
        return self.root / "checkpoints"

    @property
    def prequant(self) -> Path:
        """The candidate that was exported, in float."""
        return self.checkpoints / "prequant.ckpt"

    @property
    def artifact(self) -> Path:
        return self.root / "artifact"

    @property
    def model(self) -> Path:
        """The compressed model: with the tokenizer, all that a score depends on."""
        return self.artifact / "model.bin"

    @property
    def program(self) -> Path:
        """The trainer and the recipe in one file; with the model, what counts against the limit."""
        return self.artifact / "train_gpt.py"

    @property
    def bytes(self) -> Path:
        """What the artifact's bytes are made of."""
        return self.artifact / "bytes.json"

    @property
    def references(self) -> Path:
        """Artifacts of other quantizers, for comparison; no part of what is handed in."""
        return self.root / "references"

    @property
    def scores(self) -> Path:
        """What the scoring process found; the trainer copies it into the result."""
        return self.root / "scores.json"

    @property
    def ledger(self) -> Path:
        """Nats and bytes of each target behind the headline."""
        return self.root / "ledger.npz"

    @property
    def result(self) -> Path:
        """Written once, last; present means finished."""
        return self.root / "result.json"


@dataclass(frozen=True, slots=True)
class DataFiles:
    """Where everything is inside a folder of shards."""

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def tokenizer(self) -> Path:
        return self.root / "tokenizer.model"

    def shard(self, name: str) -> Path:
        return self.root / name


def write_whole(path: Path, content: bytes) -> None:
    """Nothing; `path` holds either what it held before or all of `content`, whatever kills the writer.

    Raises: OSError when the disk is full or the folder not writable; the temporary file is gone then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error  # a failed write does not say of what
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_once(path: Path, document: object) -> None:
    """Nothing; `path` holds the document, or what another process put there first."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    write_json(draft, document)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def write_json(path: Path, document: object) -> None:
    """Nothing; `path` holds the document, readable by people. NaN is refused: it is not JSON."""
    write_whole(path, (json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises: ValueError when it is not one, OSError when it cannot be read.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds {type(document).__name__}, not a JSON object")
    return document
