"""The files of a run directory, through which the trainer and its launcher communicate."""

from dataclasses import dataclass
from pathlib import Path

from trainer.recipe.data import Transform

# Folder of a run with copies of the user's code, so that the run can be moved.
LOCAL_FOLDER = "local"
# Placeholder for the data folder in the variables of a script.
DATA_PLACEHOLDER = "{data}"
# Input and output of a probe.
QUESTIONS, ANSWERS = "questions.npz", "answers.npz"
# Prefix of the lines in which the search for steps answers. Classes of the user's own may print other lines.
ANSWER = "answer: "


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
    transform: Transform | None = None
    """How the recipe says that the text was rewritten before it was tokenized."""

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def tokenizer(self) -> Path:
        return self.other_tokenizer or self.root / "tokenizer.model"

    def shard(self, name: str) -> Path:
        return self.root / name
