"""What is damaged, and what is called with it. Each subject is a folder of good files, made once."""

import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.mutations import damage, damage_bytes

Call = tuple[str, ...] | Callable[[Path], object]
"""Words of a command, run beside the folder, or a function."""


@dataclass(frozen=True)
class Subject:
    """A kind of folder."""

    name: str
    """Of the folder, as the calls know it."""
    folder: Path
    """The good one."""
    files: tuple[str, ...]
    """Patterns of the files that may be damaged."""
    calls: Sequence[Call]
    harm: Callable[[Path, list[Path], random.Random], str]
    survivor: str = ""
    """What the answer of a report must still contain: another run."""

    def damage(self, copy: Path, chance: random.Random) -> str:
        """Damage a copy of the folder, and return how."""
        files = [path for pattern in self.files for path in sorted(copy.glob(pattern))]
        return self.harm(copy, files, chance)


def harm_some(_: Path, files: list[Path], chance: random.Random) -> str:
    """Damage one or two files."""
    chosen = chance.sample(files, min(len(files), chance.choice([1, 1, 2])))
    return ", ".join(f"{path.name} ({damage(path, chance)})" for path in chosen)


def harm_tokenizer(copy: Path, files: list[Path], chance: random.Random) -> str:
    """Damage the tokenizer, and give the manifest its hash, so that it is loaded."""
    import hashlib

    (model,) = files
    damage_bytes(model, chance)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["tokenizer"]["sha256"] = hashlib.sha256(model.read_bytes()).hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return "tokenizer.model (bytes)"


def make_subjects(run: Path, place: Path) -> dict[str, Subject]:
    """Return every subject, its good files below `place`, from a finished run of quickstart."""
    place.mkdir(parents=True)
    data = Path(json.loads((run / "run.json").read_text())["data_folder"])
    runs = make_runs(run, place / "runs")
    damaged = f"runs/{run.parent.name}/{run.name}"
    scripts = make_script_runs(runs, place / "scripts")
    shutil.copytree(data, place / "data")
    (place / "specs").mkdir()
    (place / "specs" / "spec.yaml").write_text(SPEC)
    shutil.copyfile(SHIPPED, place / "specs" / "whole.yaml")
    record = make_record(run, place / "record")
    (place / "search").mkdir()
    (place / "search" / "search.yaml").write_text(SEARCH)
    formats: list[Call] = [("report", "runs", "--format", each) for each in FORMATS]
    of_runs: list[Call] = [
        *formats, ("status", "--runs-dir", "runs", "--json"), ("status", "--runs-dir", "runs"),
        ("compare", damaged, "runs/other-12345678", "--curves"), ("submission", damaged, "--out", "out"),
        ("audit", damaged, "--metadata-only"), ("logs", damaged), ("attach", damaged),
        ("report", damaged, "--json"), read_run_job,
    ]  # fmt: skip
    seeds = f"{run.parent.name}/{run.name}/"
    kept = ("*.json", "*.jsonl", "*.npz", "artifact/*", "train.log")
    of_data: list[Call] = [("data", "verify", "data"), ("preflight", "specs/spec.yaml", "--json"), read_trainer_data]
    return {
        "runs": Subject("runs", runs, tuple(seeds + each for each in kept), of_runs, harm_some, "other"),
        "scripts": Subject("runs", scripts, ("*/seed-1/*.json", "*/seed-1/*.jsonl"), [
            *formats, ("status", "--runs-dir", "runs", "--json"), ("audit", "script-", "--metadata-only"),
        ], harm_some, "other"),
        "data": Subject("data", place / "data", ("*.json", "*.bin", "tokenizer.model"), of_data, harm_some),
        "tokenizers": Subject("data", place / "data", ("tokenizer.model",), of_data, harm_tokenizer),
        "specs": Subject("specs", place / "specs", ("*.yaml",), [
            ("spec", "show", "specs/spec.yaml"), ("spec", "show", "specs/whole.yaml"), ("preflight", "specs/spec.yaml"),
        ], harm_some),
        "records": Subject("record", record, ("*",), [
            ("report", "record", "--format", "html"), ("report", "record"), ("audit", "record", "--metadata-only"),
            ("report", "--leaderboard", "."), ("verify", "record"),
        ], harm_some),
        "searches": Subject("search", place / "search", ("*.yaml",), [read_search], harm_some),
    }  # fmt: skip


SHIPPED = Path(__file__).parents[2] / "experiments" / "quickstart.yaml"
SPEC = """\
extends: quickstart
name: fuzzed
recipe:
  data: {kind: shards, folder: ../data}
  model: {width: 32, topology: {layers: 2}, attention: {heads: 2, kv_heads: 1, rope: {dims: 8}}}
  schedule: {batch_tokens: 256, sequence_tokens: 64}
  budget: {train: 12}
"""
# Percent of the inputs that are of a subject.
SHARES = {"runs": 40, "scripts": 15, "data": 10, "tokenizers": 10, "specs": 10, "records": 10, "searches": 5}
FORMATS = ("json", "table", "html", "csv", "markdown")
SEARCH = """\
- {what: begun, spec: quickstart, spec_sha256: abc}
- {what: proposed, point: {recipe.optimizer.matrix_lr: 0.03}, by: me}
- {what: started, number: 1, rung: 0, seed: 1, run: x-12345678/seed-1}
- {what: tried, number: 1, rung: 0, seed: 1, run: x-12345678/seed-1, val_bpb: 1.2, seconds: 3.5}
- {what: kept, number: 1, rung: 0, why: best}
"""


def make_runs(run: Path, target: Path) -> Path:
    """Copy the run twice: as the one to damage, and under another name as the one that must survive."""
    ignored = shutil.ignore_patterns("checkpoints", "run.lock")
    shutil.copytree(run, target / run.parent.name / run.name, ignore=ignored)
    other = target / "other-12345678" / "seed-7"
    shutil.copytree(run, other, ignore=ignored)
    for name in ("run.json", "result.json"):
        change(other / name, name="other", seed=7, spec_sha256="1" * 64)
    return target


def make_script_runs(runs: Path, target: Path) -> Path:
    """Copy the surviving run, and write one beside it as a script's supervisor does."""
    shutil.copytree(runs / "other-12345678", target / "other-12345678")
    root = target / "script-12345678" / "seed-1"
    shutil.copytree(target / "other-12345678" / "seed-7", root)
    change(root / "spec.json", program={"path": "local/train.py", "files": [], "env": {}, "artifact": []})
    change(root / "run.json", name="script", script="train.py", withheld=[], code_files={"train.py": 9})
    result = json.loads((root / "result.json").read_text())
    sizes = {"basis": "files", "files": {"model.bin": 13584}, "logged_total_bytes": 20_000}
    change(
        root / "result.json", name="script", source="script", artifact=result["artifact"] | sizes,
        headline=result["headline"] | {"label": "final", "line": 3}, logged_seed=1, settings={"lr": 0.1},
        clock={"train_seconds": 9.0, "evaluate_seconds": None, "run_seconds": 12.5}, spec_sha256="2" * 64,
        hardware={"devices": [], "cores": 2},
    )  # fmt: skip
    return target


def make_record(run: Path, target: Path) -> Path:
    """Write a small submission folder."""
    target.mkdir()
    log = "seed:1\nstep:12/12 train_loss:4.6 train_time:300ms\nfinal_int8_roundtrip_exact val_loss:4.8 val_bpb:5.0\n"
    (target / "train_seed1.log").write_text(log)
    (target / "train_seed2.log").write_text(log.replace("seed:1", "seed:2").replace("5.0", "5.1"))
    claims = {"val_bpb": 5.05, "seeds": [1, 2], "bytes_total": 44837, "name": "x", "date": "2026-04-09", "track": "t"}
    results = {"1": {"val_bpb": 5.0, "eval_time_s": 3.5}, "2": {"val_bpb": 5.1, "artifact_bytes": 44837}}
    facts = {"data_sha256": "d" * 64, "train_gpt_sha256": "c" * 64, "metric": {}, "embedded": {}}
    (target / "submission.json").write_text(json.dumps(claims | {"seed_results": results, "pgolf": facts}))
    for seed in (1, 2):
        shutil.copyfile(run / "artifact" / "model.bin", target / f"model_seed{seed}.bin")
    (target / "README.md").write_text("# x: val_bpb 5.05\n\n| seed | val_bpb |\n|---|---|\n| 1 | 5.0000 |\n")
    shutil.copyfile(run / "artifact" / "train_gpt.py", target / "train_gpt.py")
    return target


def change(path: Path, **changes: Any) -> None:
    document = json.loads(path.read_text()) | changes
    if "program" in document:  # a script takes the place of a recipe
        del document["recipe"]
    path.write_text(json.dumps(document))


def read_search(place: Path) -> object:
    """Read a search's ledger, as every turn of a search does."""
    from pgolf.search.ledger import read_ledger

    ledger = read_ledger(place / "search" / "search.yaml")
    return ledger.candidates(), ledger.spent("runs"), ledger.spent("seconds")


def read_run_job(place: Path) -> object:
    """Read a run directory as the trainer does when it resumes."""
    from trainer.recipe.files import RunFiles
    from trainer.runtime.job import read_job
    from trainer.runtime.journal import RunJournal
    from trainer.script.job import is_script_run

    for root in sorted(place.glob("runs/*/seed-*")):
        if root.parent.name != "other-12345678":
            is_script_run([str(root)])
            RunJournal(RunFiles(root)).truncate_after(5)
            read_job(root)
    return None


def read_trainer_data(place: Path) -> object:
    """Read a folder of shards as the trainer does."""
    from trainer.data.manifest import read_split
    from trainer.data.shards import TokenStream
    from trainer.evaluation.validation import read_validation
    from trainer.recipe.files import DataFiles

    data = DataFiles(place / "data")
    vocabulary_size = 384
    stream = TokenStream(read_split(data, "train", vocabulary_size).shards)
    return stream.read(0, 100), read_validation(data, vocabulary_size)
