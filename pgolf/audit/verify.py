"""Verification of a submission folder: its claims against its files, and its score against a new one.

The claims of any folder are checked without running its code. The new score comes from the folder's own train_gpt.py,
which runs only if this installation builds the same bytes from the recipe in its claims, or with --run-code. It runs
confined (pgolf.confinement): it reads copies of the validation text, no training shard, and writes its scores.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from math import isclose
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any

from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pgolf.alike import RunNumbers, alike_findings, decimals_of
from pgolf.audit.isolation import FOR_OWN_CODE, run_python
from pgolf.bundle.build import PROGRAM, Bundle, embedded_json
from pgolf.bundle.modules import trainer_code
from pgolf.bundle.submission import SUBMISSION, sha256_of
from pgolf.confinement.answers import answer_file, temporary_folder
from pgolf.confinement.run import Confinement, Level
from pgolf.data.manifests import Manifest, read_manifest
from pgolf.errors import DataError, UsageError
from pgolf.findings import Finding, counted
from pgolf.records.folder import is_inside
from pgolf.rulesets.limits import bytes_over
from pgolf.rulesets.ruleset import Ruleset
from trainer.recipe.decode import RecipeRefused, decode_recipe
from trainer.recipe.files import DataFiles, RunFiles
from trainer.recipe.local import local_codes
from trainer.recipe.reading import read_bytes, read_json

# Kernels of two machines round differently. Public claims are rounded; pgolf's own are not.
SCORE_TOLERANCE, ROUNDED, EXACT = 1e-6, 5e-5, 1e-12
SCORING_HOURS = 6
# A larger model is none that anybody submits; its hash would take long.
MOST_MODEL_BYTES = 1 << 30
Number = Annotated[float, Field(ge=-1e12, le=1e12)]
Bytes = Annotated[int, Field(ge=0, le=1 << 50)]
Seed = Annotated[str, Field(pattern=r"^\d{1,19}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, defer_build=True)


class SeedClaim(Lenient):
    """The claims about one seed."""

    val_bpb: Number
    val_loss: Number | None = None
    artifact_bytes: Bytes | None = None
    model_bytes: Bytes | None = None
    model_sha256: Sha256 | None = None


class OwnFacts(Lenient):
    """The claims that pgolf adds to its own submissions."""

    data_sha256: Sha256
    train_gpt_sha256: Sha256
    metric: dict[str, Any]
    embedded: dict[str, Any]


class NewScore(BaseModel):
    """The headline that a program computed anew, with the definition of its metric."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False, defer_build=True)

    val_bpb: Number
    val_loss: Number


class Claims(Lenient):
    """The parts of submission.json that are checked."""

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
    """Return the claims of a folder, or None with the findings that say what is wrong with them.

    Raises:
        UsageError: submission.json is missing or is not a JSON object.
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
    """Return the findings on a folder's claims that need no code of it to run."""
    return [*check_means(claims), *check_sizes(folder, claims, ruleset.artifact_limit_bytes), *check_seeds(claims)]


def check_means(claims: Claims) -> Iterator[Finding]:
    """Compare the headline with the scores of the seeds."""
    results = claims.seed_results.values()
    if not results:
        yield Finding(
            "fail" if claims.pgolf else "warn",
            "mean",
            "submission.json has no scores by seed to compare the headline with",
        )
        return
    scores, losses = [entry.val_bpb for entry in results], [entry.val_loss for entry in results]
    yield compare_numbers("mean", "val_bpb", claims.val_bpb, fmean(scores), "the seeds' mean", claims.tolerance)
    known = [loss for loss in losses if loss is not None]
    if claims.val_loss is not None and len(known) == len(losses):
        yield compare_numbers("mean", "val_loss", claims.val_loss, fmean(known), "the seeds' mean", claims.tolerance)
    if len(scores) > 1 and claims.val_bpb_std is not None:
        what = "the sample standard deviation"
        yield compare_numbers("std", "val_bpb_std", claims.val_bpb_std, stdev(scores), what, claims.tolerance)


def compare_numbers(rule: str, key: str, claimed: float, found: float, what: str, tolerance: float) -> Finding:
    """Return whether a claimed number is the number that was found."""
    is_same = isclose(claimed, found, rel_tol=0.0, abs_tol=tolerance)
    return Finding("pass" if is_same else "fail", rule, f"{key} {claimed} is claimed; {what} is {found:.8f}")


def check_seeds(claims: Claims) -> Iterator[Finding]:
    count = len(claims.seed_results)
    yield Finding("pass" if count >= 3 else "warn", "seeds", f"{counted(count, 'seed')}; a record needs three")
    yield from alike_findings(
        [
            RunNumbers(
                name=f"seed {seed}",
                val_bpb=entry.val_bpb,
                decimals=decimals_of(entry.val_bpb),
                seed=int(seed),
                total_bytes=entry.artifact_bytes,
            )
            for seed, entry in claims.seed_results.items()
        ]
    )
    if claims.seeds is not None and claims.seed_results:
        listed, scored = sorted(claims.seeds), sorted(map(int, claims.seed_results))
        if listed != scored:
            yield Finding("fail", "seeds", f"seeds {listed} are listed; seeds {scored} have results")


def check_sizes(folder: Path, claims: Claims, limit: int) -> Iterator[Finding]:
    """Compare the bytes of the files with the claims and with the limit."""
    program, totals = folder / PROGRAM, list[int]()
    if not is_inside(program, folder):
        yield Finding("warn", "code_bytes", f"there is no {PROGRAM} in the folder; its bytes cannot be counted")
    else:
        code = program.stat().st_size
        if claims.bytes_code is not None:
            yield compare_bytes("code_bytes", PROGRAM, code, claims.bytes_code)
        for seed, entry in claims.seed_results.items():
            model = folder / f"model_seed{seed}.bin"
            if not is_inside(model, folder):
                yield Finding(
                    "warn", "artifact_bytes", f"there is no {model.name} in the folder; its bytes cannot be counted"
                )
                continue
            size = model.stat().st_size
            totals.append(code + size)
            if entry.model_bytes is not None:
                yield compare_bytes("artifact_bytes", model.name, size, entry.model_bytes)
            if entry.artifact_bytes is not None:
                yield compare_bytes("artifact_bytes", f"seed {seed}", totals[-1], entry.artifact_bytes)
    yield from check_totals(totals, claims, limit)


def check_totals(totals: list[int], claims: Claims, limit: int) -> Iterator[Finding]:
    """Compare the counted bytes of whole artifacts with the claimed total, and the largest of both with the limit."""
    count = f"{len(totals)} of {counted(len(claims.seed_results), 'artifact')} could be counted"
    is_whole = 0 < len(totals) == len(claims.seed_results)
    if claims.bytes_total is not None:
        largest = max(totals, default=0)
        if is_whole or largest > claims.bytes_total:
            yield compare_bytes("bytes_total", "the largest artifact", largest, claims.bytes_total)
        else:
            yield Finding("unknown", "bytes_total", f"{claims.bytes_total:,} bytes are claimed; {count}")
    claimed = [claims.bytes_total, *(entry.artifact_bytes for entry in claims.seed_results.values())]
    total = max([*totals, *(size for size in claimed if size is not None)], default=None)
    if total is None:
        return
    over = bytes_over(total, limit)
    message = f"{total:,} bytes, {over or limit - total:,} {'over' if over else 'below'} the limit of {limit:,}"
    if over or is_whole:
        yield Finding("fail" if over else "pass", "limit", message)
    else:
        yield Finding("unknown", "limit", f"{message}; {count}")


def compare_bytes(rule: str, what: str, found: int, claimed: int) -> Finding:
    """Return whether the claimed bytes are the bytes that were counted."""
    return Finding("pass" if found == claimed else "fail", rule, f"{what} has {found:,} bytes; {claimed:,} are claimed")


def recompute_scores(
    folder: Path,
    claims: Claims,
    data: Path | None,
    is_code_allowed: bool,
    levels: tuple[Level, ...],
    on_progress: Callable[[str], None],
) -> tuple[list[Finding], Confinement | None]:
    """Recompute the scores of the artifacts, or return why that is not possible; with what confined the program.

    Code that this installation does not build itself runs only with `is_code_allowed`, at one of `levels`. Data is
    found by its hash in ./data, the working folder or the cache, unless `data` names its folder.

    Raises:
        MachineError: this machine has none of the levels.
    """
    facts = claims.pgolf
    if facts is None:
        return [Finding("warn", "score", "the score was not recomputed: pgolf did not write this folder")], None
    try:
        program = read_program(folder)
    except (OSError, ValueError) as error:
        return [Finding("fail", "score", f"the score was not recomputed: {error}")], None
    is_own = is_built_here(program, facts)
    if not is_code_allowed and not is_own:
        fix = "read train_gpt.py, then allow it with --run-code"
        message = "train_gpt.py differs from what this installation builds, so it was not run"
        return [Finding("fail", "score", message, fix)], None
    found = data or find_data(facts.data_sha256, (Path("data"), Path(), user_cache_path("pgolf")))
    if found is None:
        message = f"no data with manifest {facts.data_sha256[:12]} was found"
        return [Finding("fail", "score", message, "give its folder with --data")], None
    on_progress(f"scoring on {found}")
    return check_scores(folder, program, claims, found, FOR_OWN_CODE if is_own else levels)


def check_scores(
    folder: Path, program: bytes, claims: Claims, data: Path, levels: tuple[Level, ...]
) -> tuple[list[Finding], Confinement | None]:
    """Score each seed's artifact with the program and compare the score with its claim.

    Raises:
        DataError: the data is not that of the claims.
        MachineError: this machine has none of the levels.
    """
    facts, manifest = claims.pgolf, read_manifest(data)
    assert facts is not None
    check_validation(data, manifest)
    if manifest.sha256 != facts.data_sha256:
        raise DataError(f"{data} has manifest {manifest.sha256[:12]}; the claims are for {facts.data_sha256[:12]}")
    findings, confinement = [], None
    with temporary_folder("pgolf-verify-") as work:
        (work / PROGRAM).write_bytes(program)
        copy_validation(data, [shard.file for shard in manifest.validation.shards], work / "data")
        for seed, entry in claims.seed_results.items():
            finding, used = rescore(folder / f"model_seed{seed}.bin", seed, entry, facts, work, levels)
            findings.append(finding)
            confinement = used or confinement
    return findings, confinement


def rescore(
    model: Path, seed: str, claim: SeedClaim, facts: OwnFacts, work: Path, levels: tuple[Level, ...]
) -> tuple[Finding, Confinement | None]:
    """Score an artifact in a confined process that has only the validation text, and compare it with its claim.

    Raises:
        MachineError: this machine has none of the levels.
    """
    if not is_artifact(model, claim):
        message = f"seed {seed}: {model.name} is missing or is not the artifact of the claims"
        return Finding("fail", "score", message), None
    program, texts, out = work / PROGRAM, work / "data", work / f"seed-{seed}"
    out.mkdir()
    arguments = ["--data", str(texts), "--out", str(out), "--model", str(model.resolve()), "--seed", seed]
    ended = run_python(
        [str(program), *arguments, "--device", "cpu"],
        out,
        SCORING_HOURS * 3600,
        reads=[program, texts, model.resolve()],
        levels=levels,
    )
    if ended.failure is not None:
        return Finding("fail", "score", f"seed {seed}: scoring {ended.failure}"), ended.confinement
    return compare_score(out, seed, claim, facts), ended.confinement


def is_artifact(model: Path, claim: SeedClaim) -> bool:
    """Return whether a file in the folder is the artifact of the claims."""
    try:
        is_small = is_inside(model, model.parent) and model.stat().st_size <= MOST_MODEL_BYTES
        return is_small and sha256_of(model) == claim.model_sha256
    except (OSError, ValueError):
        return False


def compare_score(out: Path, seed: str, claim: SeedClaim, facts: OwnFacts) -> Finding:
    """Compare the scores that a program has left in a folder with the claim."""
    try:
        scores = answer_file(out, RunFiles(out).scores.relative_to(out).as_posix())
        headline = NewScore.model_validate(read_json(scores)["headline"])
    except (OSError, ValueError, KeyError, RecursionError) as error:
        message = str(error).splitlines()[0]
        return Finding("fail", "score", f"seed {seed}: the new scores cannot be read: {message}")
    message = f"seed {seed}: the score is {headline.val_bpb:.8f} bpb; {claim.val_bpb:.8f} is claimed"
    definition = {key: value for key, value in (headline.model_extra or {}).items() if key not in UNCLAIMED}
    unlike = [key for key, value in definition.items() if facts.metric.get(key) != value]
    if unlike:
        return Finding("fail", "score", f"{message}; the claimed metric differs in {', '.join(unlike)}")
    losses = abs(headline.val_loss - claim.val_loss) if claim.val_loss is not None else 0.0
    is_same = max(abs(headline.val_bpb - claim.val_bpb), losses) <= SCORE_TOLERANCE
    return Finding("pass" if is_same else "fail", "score", message)


UNCLAIMED = ("seconds",)


def check_validation(data: Path, manifest: Manifest) -> None:
    """Check that the tokenizer and the validation shards have the manifest's hashes.

    Raises:
        DataError: a hash differs; names the file.
    """
    files = DataFiles(data)
    expected = {files.tokenizer: manifest.tokenizer.sha256}
    expected |= {files.shard(shard.file): shard.sha256 for shard in manifest.validation.shards}
    for path, sha256 in expected.items():
        if not path.is_file() or sha256_of(path) != sha256:
            raise DataError(f"{path} is missing or does not have the hash in the manifest")


def copy_validation(data: Path, shards: list[str], into: Path) -> None:
    """Copy manifest, tokenizer and validation shards into a new folder, without the training shards."""
    files = DataFiles(data)
    into.mkdir()
    for file in (files.manifest, files.tokenizer, *(files.shard(name) for name in shards)):
        shutil.copyfile(file, into / file.name)


def read_program(folder: Path) -> bytes:
    """Return the folder's program: the bytes that are judged are those that run.

    Raises:
        ValueError: it is missing, no regular file, a link that leads out of the folder, or too large.
        OSError: it cannot be read.
    """
    path = folder / PROGRAM
    if not is_inside(path, folder):
        raise ValueError(f"{path} is missing, or is not a regular file inside the folder")
    return read_bytes(path)


def is_built_here(program: bytes, facts: OwnFacts) -> bool:
    """Return whether this installation builds a folder's program, byte for byte, from the recipe in its claims.

    A program with code of a user's own never counts as built here.
    """
    try:
        recipe = decode_recipe(facts.embedded["recipe"])
        if local_codes(recipe) or facts.embedded["local"]:
            return False
        built = Bundle(recipe, trainer_code(recipe), embedded_json(facts.embedded)).packed
    except (KeyError, TypeError, ValueError, OSError, RecipeRefused, ArithmeticError):
        return False
    return built == program and hashlib.sha256(program).hexdigest() == facts.train_gpt_sha256


def find_data(sha256: str, places: Iterable[Path]) -> Path | None:
    """Return the data folder below one of some places whose manifest has this hash."""
    for place in places:
        for path in sorted(place.glob("*/manifest.json")):
            try:
                if read_manifest(path.parent).sha256 == sha256:
                    return path.parent
            except DataError:
                continue
    return None
