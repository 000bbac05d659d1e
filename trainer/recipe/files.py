"""The files of a run directory, through which the trainer and its launcher communicate."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Folder of a run with copies of the user's code, so that the run can be moved.
LOCAL_FOLDER = "local"
# Placeholder for the data folder in the variables of a script.
DATA_PLACEHOLDER = "{data}"
# Input and output of a probe.
QUESTIONS, ANSWERS = "questions.npz", "answers.npz"


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Paths inside a run directory."""

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
        """Copies of the user's code that the recipe names."""
        return self.root / LOCAL_FOLDER

    @property
    def state(self) -> Path:
        """Phase, step, pid, heartbeat; replaced atomically."""
        return self.root / "state.json"

    def worker_state(self, rank: int) -> Path:
        """Return the path of the final state of a process other than rank 0."""
        return self.root / f"rank-{rank}.json"

    @property
    def lock(self) -> Path:
        """Lock that the trainer holds while it works."""
        return self.root / "run.lock"

    @property
    def metrics(self) -> Path:
        """One JSON object per logged step."""
        return self.root / "metrics.jsonl"

    @property
    def log(self) -> Path:
        """Log for people."""
        return self.root / "train.log"

    @property
    def attempts(self) -> Path:
        """On rented machines: one JSON object per attempt, with its duration in seconds."""
        return self.root / "attempts.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The two newest checkpoints, and the weights before quantization."""
        return self.root / "checkpoints"

    @property
    def prequant(self) -> Path:
        """The exported weights before quantization."""
        return self.checkpoints / "prequant.ckpt"

    @property
    def artifact(self) -> Path:
        return self.root / "artifact"

    @property
    def model(self) -> Path:
        """The compressed model."""
        return self.artifact / "model.bin"

    @property
    def program(self) -> Path:
        """Trainer and recipe in one file; its bytes and those of the model count against the limit."""
        return self.artifact / "train_gpt.py"

    @property
    def bytes(self) -> Path:
        """Breakdown of the bytes of the artifact."""
        return self.artifact / "bytes.json"

    @property
    def references(self) -> Path:
        """Artifacts of other quantizers, for comparison; not part of a submission."""
        return self.root / "references"

    @property
    def scores(self) -> Path:
        """Output of the scoring process; the trainer copies it into the result."""
        return self.root / "scores.json"

    @property
    def ledger(self) -> Path:
        """Nats and bytes of each target of the headline score."""
        return self.root / "ledger.npz"

    @property
    def result(self) -> Path:
        """The result, written last; a run that has it is finished."""
        return self.root / "result.json"


@dataclass(frozen=True, slots=True)
class DataFiles:
    """Paths inside a folder of shards."""

    root: Path
    other_tokenizer: Path | None = None
    """The tokenizer, if it is not in the folder."""
    needs_manifest: bool = True
    """Whether a folder without a manifest is refused, or all of its shards are read in the order of their names."""

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def tokenizer(self) -> Path:
        return self.other_tokenizer or self.root / "tokenizer.model"

    def shard(self, name: str) -> Path:
        return self.root / name


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically: if the writer is killed, `path` keeps its old content.

    Raises:
        OSError: the disk is full or the folder is not writable; the temporary file is removed.
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
        raise OSError(error.errno, error.strerror, str(path)) from error  # the error of write() has no file name
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_once(path: Path, document: object) -> None:
    """Write the document to `path` unless another process has written the file first."""
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
    """Write the document to `path` atomically, indented. NaN raises ValueError: it is not JSON."""
    write_whole(path, (json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`.

    Raises:
        ValueError: the file does not hold a JSON object.
        OSError: the file cannot be read.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds {type(document).__name__}, expected a JSON object")
    return document
