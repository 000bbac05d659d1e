"""Writes a submission folder for the contest; every number in it comes from result.json.

submission.json uses the keys of most accepted submissions (per-seed results in `seed_results`) and the older keys as
well; pgolf's own facts are under `pgolf`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pgolf.alike import RunNumbers, alike_findings, numbers_of_result
from pgolf.bundle.build import PROGRAM, Bundle, bundle_of
from pgolf.bundle.whole_folder import write_folder
from pgolf.errors import CheckFailed, MachineError, UsageError
from pgolf.findings import failures
from pgolf.rulesets.limits import bytes_over
from pgolf.rulesets.ruleset import Ruleset
from pgolf.run_files import CountedMetric, Environment, RecipeResult, TrainingRow
from pgolf.run_reading import damaged, naming_damage, read_recipe_result, read_rows_if_any
from pgolf.rundir import RunDirectory
from pgolf.specs.experiment import Experiment
from trainer.dialects.contest import PACKED_LABELS, header_lines, score_line, size_lines, step_line, unpacked_score_line
from trainer.recipe.reading import open_regular, read_bytes, read_json
from trainer.recipe.writing import json_bytes

SUBMISSION, README, REQUIREMENTS = "submission.json", "README.md", "requirements.txt"
# Far more than a contest allows.
MOST_BYTES_OF_FILE = 1 << 30
# Keys that must be equal in the results of all seeds of a submission.
SHARED_KEYS = ("spec_sha256", "code_sha256", "data_sha256", "ruleset")


@dataclass(frozen=True, kw_only=True, slots=True)
class Author:
    """The facts of a submission that are in no result."""

    author: str
    github_id: str
    name: str
    blurb: str
    track: str
    day: date


@dataclass(frozen=True, slots=True)
class SeedResult:
    """A finished run."""

    run: RunDirectory
    result: RecipeResult
    steps: list[TrainingRow]
    """What metrics.jsonl says about each logged step."""

    @property
    def seed(self) -> int:
        return self.result["seed"]

    @property
    def model_name(self) -> str:
        return f"model_seed{self.seed}.bin"

    @property
    def numbers(self) -> RunNumbers:
        """The numbers by which the run is told from another."""
        return numbers_of_result(self.run.run_id, self.result, self.steps)

    def metric(self, stage: str) -> CountedMetric | None:
        """Return the metric of a stage, or None if it was not scored."""
        return next((m for m in self.result["metrics"] if m["stage"] == stage), None)

    def as_json(self) -> dict[str, Any]:
        """Return the seed's entry in seed_results."""
        headline, artifact, clock = self.result["headline"], self.result["artifact"], self.result["clock"]
        return {
            "val_bpb": headline["val_bpb"],
            "val_loss": headline["val_loss"],
            "artifact_bytes": artifact["total_bytes"],
            "model_bytes": artifact["model_bytes"],
            "model_sha256": sha256_of(self.run.files.model),
            "steps": self.result["steps"],
            "train_time_s": clock["train_seconds"],
            "eval_time_s": clock["evaluate_seconds"],
        }


def collect_seeds(runs: list[RunDirectory]) -> list[SeedResult]:
    """Return the results of one experiment's finished runs, ordered by seed.

    Raises:
        RunDamaged: a file of a run is missing or damaged.
        UsageError: a run is unfinished, they belong to different experiments, or a seed occurs twice.
        CheckFailed: an artifact is over the limit, or runs are copies of one run.
    """
    rows = [read_seed(run) for run in runs]
    for key in SHARED_KEYS:
        found = {str(row.result.get(key)) for row in rows}
        if len(found) > 1:
            raise UsageError(
                f"the runs differ in {key}: {', '.join(sorted(found))}; give runs of one experiment that differ only "
                "in their seeds"
            )
    seeds = [row.seed for row in rows]
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"found seeds {sorted(seeds)}, expected each once; leave out one of the repeated runs")
    for row in rows:
        total, limit = row.result["artifact"]["total_bytes"], row.result["artifact"]["limit_bytes"]
        if over := bytes_over(total, limit):
            raise CheckFailed(
                f"{row.run.run_id}: the artifact has {total:,} bytes, {over:,} over the limit of {limit:,}; a "
                "submission must be within it"
            )
    for problem in failures(alike_findings([row.numbers for row in rows])):
        raise CheckFailed(f"{problem.message}; a submission needs runs that differ")
    return sorted(rows, key=lambda row: row.seed)


def read_seed(run: RunDirectory) -> SeedResult:
    """Return the result of a finished run.

    Raises:
        RunDamaged: a file of it is missing or damaged.
        UsageError: it is unfinished.
    """
    if not run.is_finished:
        raise UsageError(f"{run.run_id} has no result; finish it with `pgolf run`")
    run.check_documents()
    result = read_recipe_result(run.files.result)
    sizes = {run.files.model: result["artifact"]["model_bytes"], run.files.program: result["artifact"]["code_bytes"]}
    for file, expected in sizes.items():
        if not file.is_file():
            raise damaged(f"{file} is missing")
        if (found := file.stat().st_size) != expected:
            raise damaged(f"{file}: found {found:,} bytes, expected {expected:,} by result.json")
    return SeedResult(run, result, read_rows_if_any(run.files.metrics, TrainingRow))


def write_submission(rows: list[SeedResult], spec: Experiment, ruleset: Ruleset, author: Author, out: Path) -> bool:
    """Write a submission to a new or an empty folder, or finish one whose writing was interrupted.

    Returns:
        Whether a file was missing: False if the folder already holds this submission.

    Raises:
        UsageError: the folder holds other files, or the runs' code is not the installed one.
        MachineError: it cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is not a folder; choose a new folder for the submission")
    bundle = bundle_of(spec, ruleset)
    with naming_damage():
        program = read_bytes(rows[0].run.files.program)
    if program != bundle.packed:
        raise UsageError(
            f"{rows[0].run.run_id}: its train_gpt.py differs from the one that the installed code gives; install the "
            "run's version of the code, or run again"
        )
    try:
        files = submission_files(rows, spec, bundle, replace(author, day=day_of(out) or author.day))
        missing = missing_files(out, files)
        if missing:
            write_folder(out, {name: files[name] for name in missing}, last=SUBMISSION)
    except OSError as error:
        raise MachineError.from_os_error(error, out) from error
    return bool(missing)


def submission_files(rows: list[SeedResult], spec: Experiment, bundle: Bundle, author: Author) -> dict[str, bytes]:
    """Return the content of every file of a submission by name."""
    document = submission_json(rows, bundle, author)
    files = {PROGRAM: bundle.packed, REQUIREMENTS: bundle.requirements.encode()}
    for row in rows:
        with naming_damage():
            files[row.model_name] = read_bytes(row.run.files.model, row.result["artifact"]["model_bytes"])
        files[f"train_seed{row.seed}.log"] = "\n".join(log_lines(row, spec.recipe.codec.kind)).encode() + b"\n"
    files[README] = readme(rows, spec, author, document).encode()
    return files | {SUBMISSION: json_bytes(document)}


def missing_files(out: Path, files: Mapping[str, bytes]) -> list[str]:
    """Return which files of a submission a folder lacks; those that an interrupted copy has cut short are missing too.

    Raises:
        UsageError: the folder holds a file that is not part of the submission, or differs from it.
    """
    held = {path.name: path for path in out.iterdir()} if out.exists() else {}
    drafts = tuple(f".{name}." for name in files)
    foreign = [name for name in held if name not in files and not name.startswith(drafts)]
    missing = [name for name in files if name not in held]
    different: list[str] = []
    for name in [name for name in files if name in held]:
        content = read_submitted(held[name])
        if content != files[name]:
            is_cut = SUBMISSION not in held and files[name].startswith(content)
            (missing if is_cut else different).append(name)
    if foreign:
        raise UsageError(
            f"{out} is not empty: {', '.join(sorted(foreign))} is not part of this submission; choose a new folder"
        )
    if different:
        raise UsageError(
            f"{out} holds another submission: {', '.join(sorted(different))} differs; choose a new folder, or delete it"
        )
    return missing


def read_submitted(path: Path) -> bytes:
    """Return the content of a file in the folder of a submission.

    Raises:
        UsageError: it is not a file that pgolf has written.
    """
    try:
        return read_bytes(path, MOST_BYTES_OF_FILE)
    except ValueError as error:
        raise UsageError(f"{error}; choose a new folder, or delete it") from None


def day_of(out: Path) -> date | None:
    """Return the date of the submission that a folder holds, or None."""
    with suppress(OSError, ValueError, TypeError):
        return date.fromisoformat(read_json(out / SUBMISSION)["date"])
    return None


def submission_json(rows: list[SeedResult], bundle: Bundle, author: Author) -> dict[str, Any]:
    """Return the content of submission.json."""
    scores = [row.result["headline"]["val_bpb"] for row in rows]
    losses = [row.result["headline"]["val_loss"] for row in rows]
    first = rows[0].result
    shared = {key: value for key, value in first.items() if key in SHARED_KEYS}
    headline: Mapping[str, Any] = rows[0].metric(first["headline"]["stage"]) or {}
    prequant = [found["val_bpb"] for row in rows if (found := row.metric("prequant"))]
    return {
        "author": author.author,
        "github_id": author.github_id,
        "name": author.name,
        "blurb": author.blurb,
        "date": author.day.isoformat(),
        "track": author.track,
        "val_bpb": fmean(scores),
        "val_bpb_std": stdev(scores) if len(scores) > 1 else None,
        "val_bpb_std_ddof": 1,
        "val_loss": fmean(losses),
        "pre_quant_val_bpb": fmean(prequant) if len(prequant) == len(rows) else None,
        "seeds": [row.seed for row in rows],
        "seed_results": {str(row.seed): row.as_json() for row in rows},
        "bytes_total": max(row.result["artifact"]["total_bytes"] for row in rows),
        "bytes_code": first["artifact"]["code_bytes"],
        "hardware": hardware(first["environment"]),
        "pytorch_version": first["environment"]["torch"],
        "pgolf": {
            "format": 1,
            "experiment": first["name"],
            **shared,
            "train_gpt_sha256": sha256_of(rows[0].run.files.program),
            "limit_bytes": first["artifact"]["limit_bytes"],
            "deterministic": first["deterministic"],
            "metric": {key: value for key, value in headline.items() if key not in ("val_loss", "val_bpb", "seconds")},
            "embedded": json.loads(bundle.embedded),
        },
    }


def hardware(environment: Environment) -> str:
    """Return number and name of the devices, such as `8x NVIDIA H100 80GB HBM3`."""
    name = environment.get("gpu") or environment.get("processor") or environment["device"]
    return f"{environment.get('processes', 1)}x {name}"


def log_lines(row: SeedResult, codec: str) -> Iterator[str]:
    """Yield a run's log in the format of the challenge's baseline."""
    result, artifact, clock = row.result, row.result["artifact"], row.result["clock"]
    steps = result["steps"]
    yield from header_lines(result["parameters"], result["environment"].get("processes", 1), row.seed)
    for logged in row.steps:
        yield step_line(logged["step"], steps, logged["train_loss"], logged["elapsed_seconds"])
    if (prequant := row.metric("prequant")) is not None:
        yield unpacked_score_line(prequant, steps, clock["train_seconds"])
    yield from size_lines(artifact, codec)
    yield from (score_line(metric) for metric in result["metrics"] if metric["stage"] in PACKED_LABELS)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def readme(rows: list[SeedResult], spec: Experiment, author: Author, document: dict[str, Any]) -> str:
    """Return the content of README.md."""
    spread = document["val_bpb_std"]
    deviation = "one seed" if spread is None else f"{len(rows)} seeds, sample std {spread:.6f}"
    metric, processes = document["pgolf"]["metric"], rows[0].result["environment"].get("processes", 1)
    lines = [
        f"# {author.name}: val_bpb {document['val_bpb']:.6f}",
        "",
        f"**val_bpb {document['val_bpb']:.6f} ({deviation}), largest artifact {document['bytes_total']:,} bytes, "
        f"{document['hardware']}**",
        "",
        author.blurb or (spec.question or ""),
        "",
        "## Results",
        "",
        "| seed | steps | train s | val_bpb | val_loss | eval s | artifact bytes |",
        "|---|---|---|---|---|---|---|",
    ]
    for seed, entry in document["seed_results"].items():
        lines.append(
            f"| {seed} | {entry['steps']:,} | {entry['train_time_s']:.1f} | {entry['val_bpb']:.8f} | "
            f"{entry['val_loss']:.8f} | {entry['eval_time_s']:.1f} | {entry['artifact_bytes']:,} |"
        )
    lines += [
        "",
        f"Scored from the packed artifact: stage {metric.get('stage')}, protocol {metric.get('protocol')}, "
        f"{metric.get('tokens'):,} targets of {metric.get('bytes'):,} bytes, each scored once.",
        "",
        "## Reproduction",
        "",
        "```",
        f"pip install -r {REQUIREMENTS}",
        f"export DATA_PATH=FOLDER SEED={rows[0].seed}",
        f"torchrun --standalone --nproc_per_node={processes} {PROGRAM}     # trains and scores",
        f"python {PROGRAM} --out check --model {rows[0].model_name}  # only scores",
        "```",
        "",
        "FOLDER contains the shards and the tokenizer (or TOKENIZER_PATH names it); its manifest has SHA-256 "
        f"{document['pgolf']['data_sha256']}. `pgolf verify` scores the artifact of every seed and compares the "
        "scores.",
        "",
        "## Recipe",
        "",
        "```json",
        json.dumps(document["pgolf"]["embedded"]["recipe"], indent=1),
        "```",
    ]
    return "\n".join(lines) + "\n"
