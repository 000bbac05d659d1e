"""A submission folder, checked: its claims against its files, and its score against a new one.

What a folder of anybody allows is checked without running anything of it. The score is taken by the folder's own
train_gpt.py, which is run only if this installation builds the very same bytes from the recipe in its claims, or if the
user says so. It runs alone in a folder of its own, sees copies of the validation text and no training shard, no
environment variable but PATH, and a Python whose sockets refuse to connect. That is no sandbox: code that the user
chose to run with --run-code can do what the user can.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from math import isclose
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pgolf.audit.isolation import run_isolated
from pgolf.bundle.build import PROGRAM, Bundle, embedded_json
from pgolf.bundle.modules import trainer_code
from pgolf.bundle.submission import SUBMISSION
from pgolf.data.manifests import Manifest, read_manifest
from pgolf.errors import DataError, UsageError
from pgolf.findings import Finding
from pgolf.rulesets.ruleset import Ruleset
from trainer.recipe.decode import RecipeRefused, decode_recipe
from trainer.recipe.files import DataFiles, RunFiles, read_json
from trainer.recipe.local import local_codes

# Scores of one artifact on two machines differ by the rounding of their kernels; public claims are rounded.
SCORE_TOLERANCE, ROUNDED, EXACT = 1e-6, 5e-5, 1e-12
SCORING_HOURS = 6
Number = Annotated[float, Field(ge=-1e12, le=1e12)]
Bytes = Annotated[int, Field(ge=0, le=1 << 50)]
Seed = Annotated[str, Field(pattern=r"^\d{1,19}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class SeedClaim(Lenient):
    """What is claimed of one seed."""

    val_bpb: Number
    val_loss: Number | None = None
    artifact_bytes: Bytes | None = None
    model_bytes: Bytes | None = None
    model_sha256: Sha256 | None = None


class OwnFacts(Lenient):
    """What pgolf wrote of itself."""

    data_sha256: Sha256
    train_gpt_sha256: Sha256
    metric: dict[str, Any]
    embedded: dict[str, Any]


class Claims(Lenient):
    """submission.json, as far as it is checked."""

    val_bpb: Number
    val_loss: Number | None = None
    val_bpb_std: Number | None = None
    bytes_total: Bytes | None = None
    bytes_code: Bytes | None = None
    seeds: list[int] | None = None
    seed_results: dict[Seed, SeedClaim] = {}
    pgolf: OwnFacts | None = None

    @property
    def tolerance(self) -> float:
        return ROUNDED if self.pgolf is None else EXACT


def read_claims(folder: Path) -> tuple[Claims | None, list[Finding]]:
    """The claims of a folder, or what keeps them from being read.

    Raises: UsageError when there is no submission.json, or no JSON object in it.
    """
    path = folder / SUBMISSION
    try:
        document = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not readable: {error}") from None
    try:
        return Claims.model_validate(document), []
    except ValidationError as error:
        return None, [
            Finding("fail", "submission_json", f"{'.'.join(map(repr, wrong['loc']))}: {wrong['msg']}")
            for wrong in error.errors()[:10]
        ]


def check_claims(folder: Path, claims: Claims, ruleset: Ruleset) -> list[Finding]:
    """What the folder's own files say of its claims. Runs nothing."""
    return [*check_means(claims), *check_sizes(folder, claims, ruleset.artifact_limit_bytes), *check_seeds(claims)]


def check_means(claims: Claims) -> Iterator[Finding]:
    """The headline against the seeds' scores."""
    results = claims.seed_results.values()
    if not results:
        yield Finding("fail" if claims.pgolf else "warn", "mean", "no scores by seed to compare the headline with")
        return
    scores, losses = [entry.val_bpb for entry in results], [entry.val_loss for entry in results]
    yield compared("mean", "val_bpb", claims.val_bpb, fmean(scores), "is the seeds' mean", claims.tolerance)
    known = [loss for loss in losses if loss is not None]
    if claims.val_loss is not None and len(known) == len(losses):
        yield compared("mean", "val_loss", claims.val_loss, fmean(known), "is the seeds' mean", claims.tolerance)
    if len(scores) > 1 and claims.val_bpb_std is not None:
        words = "is the sample standard deviation"
        yield compared("std", "val_bpb_std", claims.val_bpb_std, stdev(scores), words, claims.tolerance)


def compared(rule: str, key: str, claimed: float, found: float, words: str, tolerance: float) -> Finding:
    """A claimed number beside the one that was found."""
    is_same = isclose(claimed, found, rel_tol=0.0, abs_tol=tolerance)
    return Finding("pass" if is_same else "fail", rule, f"{key} {claimed} claimed, {found:.8f} {words}")


def check_seeds(claims: Claims) -> Iterator[Finding]:
    count = len(claims.seed_results)
    yield Finding("pass" if count >= 3 else "warn", "seeds", f"{count} seeds; a record wants three")
    if claims.seeds is not None and claims.seed_results:
        listed, scored = sorted(claims.seeds), sorted(map(int, claims.seed_results))
        if listed != scored:
            yield Finding("fail", "seeds", f"seeds {listed} are listed, {scored} have results")


def check_sizes(folder: Path, claims: Claims, limit: int) -> Iterator[Finding]:
    """Bytes as shipped against bytes as claimed and the limit of the rules."""
    program, totals = folder / PROGRAM, []
    if not program.is_file():
        yield Finding("warn", "code_bytes", f"no {PROGRAM} in the folder, its bytes cannot be counted")
    else:
        code = program.stat().st_size
        if claims.bytes_code is not None:
            yield counted("code_bytes", PROGRAM, code, claims.bytes_code)
        for seed, entry in claims.seed_results.items():
            model = folder / f"model_seed{seed}.bin"
            if not model.is_file():
                yield Finding("warn", "artifact_bytes", f"no {model.name} in the folder; its bytes cannot be counted")
                continue
            size = model.stat().st_size
            totals.append(code + size)
            if entry.model_bytes is not None:
                yield counted("artifact_bytes", model.name, size, entry.model_bytes)
            if entry.artifact_bytes is not None:
                yield counted("artifact_bytes", f"seed {seed}", totals[-1], entry.artifact_bytes)
    if totals and claims.bytes_total is not None:
        yield counted("bytes_total", "the largest artifact", max(totals), claims.bytes_total)
    total = max(totals, default=claims.bytes_total)
    if total is not None:
        over = total - limit
        message = f"{total:,} bytes, {abs(over):,} {'over' if over > 0 else 'below'} the limit of {limit:,}"
        yield Finding("fail" if over > 0 else "pass", "limit", message)


def counted(rule: str, what: str, found: int, claimed: int) -> Finding:
    """Bytes that were counted beside those that are claimed."""
    return Finding("pass" if found == claimed else "fail", rule, f"{what} has {found:,} bytes, {claimed:,} are claimed")


def check_scores(folder: Path, claims: Claims, data: Path) -> Iterator[Finding]:
    """Each seed's artifact scored anew, beside its claim.

    Raises: DataError when the data are not those of the claims.
    """
    facts, manifest = claims.pgolf, read_manifest(data)
    assert facts is not None
    check_validation(data, manifest)
    if manifest.sha256 != facts.data_sha256:
        raise DataError(f"{data} has manifest {manifest.sha256[:12]}, the claims are of {facts.data_sha256[:12]}")
    with tempfile.TemporaryDirectory(prefix="pgolf-verify-") as place:
        alone = Path(place)
        shutil.copyfile(folder / PROGRAM, alone / PROGRAM)
        validation_only(data, [shard.file for shard in manifest.validation.shards], alone / "data")
        for seed, entry in claims.seed_results.items():
            yield rescored(folder / f"model_seed{seed}.bin", seed, entry, facts, alone)


def rescored(model: Path, seed: str, claim: SeedClaim, facts: OwnFacts, alone: Path) -> Finding:
    """The finding of one artifact, scored in a process that sees validation text alone."""
    if not model.is_file() or hashlib.sha256(model.read_bytes()).hexdigest() != claim.model_sha256:
        return Finding("fail", "score", f"seed {seed}: {model.name} is not the artifact of the claims")
    out = alone / f"seed-{seed}"
    arguments = ["--data", "data", "--out", out.name, "--model", str(model.resolve()), "--seed", seed]
    ended = run_isolated([PROGRAM, *arguments, "--device", "cpu"], alone, SCORING_HOURS * 3600)
    if ended is None:
        return Finding("fail", "score", f"seed {seed}: not scored within {SCORING_HOURS} hours")
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["nothing"])[-1]
        return Finding("fail", "score", f"seed {seed}: scoring ended with {ended.returncode}: {last}")
    headline = read_json(RunFiles(out).scores)["headline"]
    message = f"seed {seed}: {headline['val_bpb']:.8f} bpb scored, {claim.val_bpb:.8f} claimed"
    unlike = [key for key in headline if key not in UNCLAIMED and facts.metric.get(key) != headline[key]]
    if unlike:
        return Finding("fail", "score", f"{message}; the claim's metric differs in {', '.join(unlike)}")
    losses = abs(headline["val_loss"] - claim.val_loss) if claim.val_loss is not None else 0.0
    is_same = max(abs(headline["val_bpb"] - claim.val_bpb), losses) <= SCORE_TOLERANCE
    return Finding("pass" if is_same else "fail", "score", message)


UNCLAIMED = ("val_bpb", "val_loss", "seconds")


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


def validation_only(data: Path, shards: list[str], into: Path) -> None:
    """Nothing; a folder holds copies of manifest, tokenizer and validation shards, and nothing to train on."""
    files = DataFiles(data)
    into.mkdir()
    for file in (files.manifest, files.tokenizer, *(files.shard(name) for name in shards)):
        shutil.copyfile(file, into / file.name)


def is_built_here(folder: Path, facts: OwnFacts) -> bool:
    """Whether this installation makes the folder's program, byte for byte, from the recipe in its claims, and nobody
    else's code is in it.
    """
    try:
        recipe = decode_recipe(facts.embedded["recipe"])
        if local_codes(recipe) or facts.embedded["local"]:
            return False
        built = Bundle(recipe, trainer_code(recipe), embedded_json(facts.embedded)).packed
        program = (folder / PROGRAM).read_bytes()
    except (KeyError, TypeError, ValueError, OSError, RecipeRefused, ArithmeticError):
        return False
    return built == program and hashlib.sha256(program).hexdigest() == facts.train_gpt_sha256


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
