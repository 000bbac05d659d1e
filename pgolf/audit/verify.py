"""A submission folder, checked: its claims against its files, and its score against a new one.

What a folder of anybody allows is checked without running anything of it. The score is taken by the folder's own
train_gpt.py, which is run only if this installation builds the very same bytes from the recipe beside it, or if the
user says so.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from math import isclose
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pgolf.bundle.build import PROGRAM, Bundle, embedded_json
from pgolf.bundle.modules import trainer_code
from pgolf.bundle.submission import SUBMISSION
from pgolf.data.manifests import Manifest, read_manifest
from pgolf.errors import DataError, UsageError
from pgolf.findings import Finding
from trainer.recipe.decode import RecipeRefused, decode_recipe
from trainer.recipe.files import DataFiles, RunFiles, read_json

# Scores of one artifact on two machines differ by the rounding of their kernels.
SCORE_TOLERANCE = 1e-6
# In the process that scores, opening a connection is an error.
OFFLINE = """
import socket
def refused(*_, **__):
    raise OSError("verify scores without a network")
socket.socket.connect = socket.socket.connect_ex = refused
"""
Claims = dict[str, Any]


def read_claims(folder: Path) -> Claims:
    """submission.json of a folder.

    Raises: UsageError when it is not there or no JSON object.
    """
    path = folder / SUBMISSION
    try:
        return read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not readable: {error}") from None


def check_claims(folder: Path, claims: Claims) -> list[Finding]:
    """What the folder's own files say of its claims. Runs nothing."""
    return [*check_mean(claims), *check_sizes(folder, claims), *check_seeds(claims)]


def check_mean(claims: Claims) -> Iterator[Finding]:
    """The headline against the seeds' scores."""
    results = claims.get("seed_results")
    scores = [entry.get("val_bpb") for entry in results.values()] if isinstance(results, dict) else []
    headline = claims.get("val_bpb")
    if not scores or not isinstance(headline, int | float) or not all(isinstance(s, int | float) for s in scores):
        yield Finding("warn", "mean", "there are no scores by seed to compare with the headline")
        return
    mean = fmean(scores)
    is_mean = isclose(mean, headline, abs_tol=5e-5 if "pgolf" not in claims else 1e-12)
    yield Finding("pass" if is_mean else "fail", "mean", f"val_bpb {headline} claimed, {mean:.8f} is the seeds' mean")
    spread = claims.get("val_bpb_std")
    if len(scores) > 1 and isinstance(spread, int | float):
        sample = stdev(scores)
        is_sample = isclose(sample, spread, abs_tol=1e-12 if "pgolf" in claims else 5e-5)
        message = f"val_bpb_std {spread} claimed, {sample:.8f} is the sample standard deviation"
        yield Finding("pass" if is_sample else "fail", "std", message)


def check_seeds(claims: Claims) -> Iterator[Finding]:
    results = claims.get("seed_results")
    count = len(results) if isinstance(results, dict) else 0
    yield Finding("pass" if count >= 3 else "warn", "seeds", f"{count} seeds; a record wants three")


def check_sizes(folder: Path, claims: Claims) -> Iterator[Finding]:
    """Bytes as shipped against bytes as claimed and the limit."""
    limit = claims.get("pgolf", {}).get("limit_bytes", 16_000_000)
    program = folder / PROGRAM
    if not program.is_file():
        yield Finding("warn", "code_bytes", f"no {PROGRAM} in the folder, its bytes cannot be counted")
        return
    code = program.stat().st_size
    claimed = claims.get("bytes_code")
    if isinstance(claimed, int):
        message = f"{PROGRAM} has {code:,} bytes, {claimed:,} are claimed"
        yield Finding("pass" if claimed == code else "fail", "code_bytes", message)
    totals = []
    for seed, entry in (claims.get("seed_results") or {}).items():
        model = folder / f"model_seed{seed}.bin"
        if not model.is_file():
            yield Finding("warn", "artifact_bytes", f"no {model.name} in the folder; its bytes cannot be counted")
            continue
        totals.append(code + model.stat().st_size)
        is_same = totals[-1] == entry.get("artifact_bytes")
        message = f"seed {seed}: {totals[-1]:,} bytes as shipped, {entry.get('artifact_bytes'):,} claimed"
        yield Finding("pass" if is_same else "fail", "artifact_bytes", message)
    total = max(totals, default=claims.get("bytes_total"))
    if isinstance(total, int):
        over = total - limit
        message = f"{total:,} bytes, {abs(over):,} {'over' if over > 0 else 'below'} the limit of {limit:,}"
        yield Finding("fail" if over > 0 else "pass", "limit", message)


def check_scores(folder: Path, claims: Claims, data: Path) -> Iterator[Finding]:
    """Each seed's artifact scored anew, beside its claim.

    Raises: DataError when the data are not those of the claims.
    """
    manifest = read_manifest(data)
    check_validation(data, manifest)
    if manifest.sha256 != claims["pgolf"]["data_sha256"]:
        raise DataError(
            f"{data} has manifest {manifest.sha256[:12]}, the claims are of {claims['pgolf']['data_sha256'][:12]}"
        )
    with tempfile.TemporaryDirectory(prefix="pgolf-verify-") as place:
        validation = validation_only(data, [shard.file for shard in manifest.validation.shards], Path(place) / "data")
        for seed, entry in claims["seed_results"].items():
            model = folder / f"model_seed{seed}.bin"
            if not model.is_file():
                yield Finding("fail", "score", f"seed {seed}: {model.name} is not in the folder")
                continue
            yield rescored(folder, validation, model, seed, entry, claims, Path(place) / f"seed-{seed}")


def check_validation(data: Path, manifest: Manifest) -> None:
    """Nothing, if tokenizer and validation shards are what the manifest says.

    Raises: DataError naming the file that is not.
    """
    files = DataFiles(data)
    expected = {files.tokenizer: manifest.tokenizer.sha256}
    expected |= {files.shard(shard.file): shard.sha256 for shard in manifest.validation.shards}
    for path, sha256 in expected.items():
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise DataError(f"{path} is missing, or is not what the manifest says")


def rescored(
    folder: Path, data: Path, model: Path, seed: str, entry: Claims, claims: Claims, out: Path
) -> Finding:  # fmt: skip
    """The finding of one artifact, scored in a process that sees validation text alone and no network."""
    if hashlib.sha256(model.read_bytes()).hexdigest() != entry.get("model_sha256"):
        return Finding("fail", "score", f"seed {seed}: {model.name} is not the artifact of the claims")
    blocker = out.parent / "offline"
    blocker.mkdir(exist_ok=True)
    (blocker / "sitecustomize.py").write_text(OFFLINE)
    command = [sys.executable, str(folder.resolve() / PROGRAM), "--data", str(data), "--out", str(out)]
    command += ["--model", str(model.resolve()), "--device", "cpu", "--seed", str(seed)]
    environment = os.environ | {"PYTHONPATH": str(blocker)}
    ended = subprocess.run(command, cwd=out.parent, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["nothing"])[-1]
        return Finding("fail", "score", f"seed {seed}: scoring ended with {ended.returncode}: {last}")
    headline = read_json(RunFiles(out).scores)["headline"]
    off = abs(headline["val_bpb"] - entry["val_bpb"])
    wanted = claims["pgolf"]["metric"]
    same = all(headline.get(key) == value for key, value in wanted.items())
    message = f"seed {seed}: {headline['val_bpb']:.8f} bpb scored, {entry['val_bpb']:.8f} claimed"
    if not same:
        return Finding("fail", "score", f"{message}; protocol or count of targets differ from the claim's")
    return Finding("pass" if off <= SCORE_TOLERANCE else "fail", "score", message)


def validation_only(data: Path, shards: list[str], into: Path) -> Path:
    """A folder with manifest, tokenizer and validation shards, and nothing to train on."""
    files = DataFiles(data)
    into.mkdir()
    for file in (files.manifest, files.tokenizer, *(files.shard(name) for name in shards)):
        (into / file.name).symlink_to(file.resolve())
    return into


def is_built_here(folder: Path, claims: Claims) -> bool:
    """Whether this installation makes the folder's program, byte for byte, from the recipe in its claims."""
    try:
        document = claims["pgolf"]["embedded"]
        recipe = decode_recipe(document["recipe"])
        built = Bundle(recipe, trainer_code(recipe), embedded_json(document))
    except (KeyError, TypeError, OSError, RecipeRefused):
        return False
    return built.packed == (folder / PROGRAM).read_bytes()


def find_data(sha256: str, places: Iterable[Path]) -> Path | None:
    """The folder, below one of some places, whose manifest has this hash."""
    for place in places:
        for path in sorted(place.glob("*/manifest.json")):
            try:
                if read_manifest(path.parent).sha256 == sha256:
                    return path.parent
            except DataError:
                continue
    return None
