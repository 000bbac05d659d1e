"""A submission's score, computed anew by its own train_gpt.py.

The program runs only if this installation builds the same bytes from the recipe in its claims, or with --run-code. It
runs confined (pgolf.confinement): it reads copies of the validation text, no training shard, and writes its scores.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field

from pgolf.audit.isolation import FOR_OWN_CODE, run_python
from pgolf.audit.verify import OwnFacts, OwnSeed, OwnSubmission, Submission
from pgolf.bundle.build import PROGRAM, Bundle, embedded_json
from pgolf.bundle.modules import trainer_code
from pgolf.bundle.submission import sha256_of
from pgolf.confinement.answers import answer_file, temporary_folder
from pgolf.confinement.run import Confinement, Level
from pgolf.data.manifests import Manifest, read_manifest
from pgolf.errors import DataError
from pgolf.findings import Finding
from pgolf.records.claims import Claims
from pgolf.records.folder import is_inside
from trainer.recipe.decode import RecipeRefused, decode_recipe
from trainer.recipe.files import DataFiles, RunFiles
from trainer.recipe.local import local_codes
from trainer.recipe.reading import read_bytes, read_json

# Kernels of two machines round differently.
SCORE_TOLERANCE = 1e-6
SCORING_HOURS = 6
# A larger model is none that anybody submits; its hash would take long.
MOST_MODEL_BYTES = 1 << 30
UNCLAIMED = ("seconds",)
Number = Annotated[float, Field(ge=-1e12, le=1e12)]


class NewScore(BaseModel):
    """The headline that a program computed anew, with the definition of its metric."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False, defer_build=True)

    val_bpb: Number
    val_loss: Number


def recompute_scores(
    folder: Path,
    submission: Submission,
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
    if submission.own is None:
        return [Finding("warn", "score", "the score was not recomputed: pgolf did not write this folder")], None
    try:
        program = read_program(folder)
    except (OSError, ValueError) as error:
        return [Finding("fail", "score", f"the score was not recomputed: {error}")], None
    facts = submission.own.pgolf
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
    return check_scores(folder, program, submission.claims, submission.own, found, FOR_OWN_CODE if is_own else levels)


def check_scores(
    folder: Path, program: bytes, claims: Claims, own: OwnSubmission, data: Path, levels: tuple[Level, ...]
) -> tuple[list[Finding], Confinement | None]:
    """Score each seed's artifact with the program and compare the score with its claim.

    Raises:
        DataError: the data is not that of the claims.
        MachineError: this machine has none of the levels.
    """
    facts, manifest = own.pgolf, read_manifest(data)
    check_validation(data, manifest)
    if manifest.sha256 != facts.data_sha256:
        raise DataError(f"{data} has manifest {manifest.sha256[:12]}; the claims are for {facts.data_sha256[:12]}")
    findings, confinement = [], None
    with temporary_folder("pgolf-verify-") as work:
        (work / PROGRAM).write_bytes(program)
        copy_validation(data, [entry.file for entry in manifest.validation.files], work / "data")
        for seed, artifact in own.seed_results.items():
            model = folder / f"model_seed{seed}.bin"
            finding, used = rescore(model, int(seed), artifact, claims, facts, work, levels)
            findings.append(finding)
            confinement = used or confinement
    return findings, confinement


def rescore(
    model: Path,
    seed: int,
    artifact: OwnSeed,
    claims: Claims,
    facts: OwnFacts,
    work: Path,
    levels: tuple[Level, ...],
) -> tuple[Finding, Confinement | None]:
    """Score an artifact in a confined process that has only the validation text, and compare it with its claim.

    Raises:
        MachineError: this machine has none of the levels.
    """
    if not is_artifact(model, artifact):
        message = f"seed {seed}: {model.name} is missing or is not the artifact of the claims"
        return Finding("fail", "score", message), None
    program, texts, out = work / PROGRAM, work / "data", work / f"seed-{seed}"
    out.mkdir()
    arguments = ["--data", str(texts), "--out", str(out), "--model", str(model.resolve()), "--seed", str(seed)]
    ended = run_python(
        [str(program), *arguments, "--device", "cpu"],
        out,
        SCORING_HOURS * 3600,
        reads=[program, texts, model.resolve()],
        levels=levels,
    )
    if ended.failure is not None:
        return Finding("fail", "score", f"seed {seed}: scoring {ended.failure}"), ended.confinement
    return compare_score(out, seed, claims, facts), ended.confinement


def is_artifact(model: Path, artifact: OwnSeed) -> bool:
    """Return whether a file in the folder is the artifact of the claims."""
    try:
        is_small = is_inside(model, model.parent) and model.stat().st_size <= MOST_MODEL_BYTES
        return is_small and sha256_of(model) == artifact.model_sha256
    except (OSError, ValueError):
        return False


def compare_score(out: Path, seed: int, claims: Claims, facts: OwnFacts) -> Finding:
    """Compare the scores that a program has left in a folder with the claim."""
    try:
        scores = answer_file(out, RunFiles(out).scores.relative_to(out).as_posix())
        headline = NewScore.model_validate(read_json(scores)["headline"])
    except (OSError, ValueError, KeyError, RecursionError) as error:
        message = str(error).splitlines()[0]
        return Finding("fail", "score", f"seed {seed}: the new scores cannot be read: {message}")
    claim, loss = claims.bpb_by_seed.get(seed), claims.loss_by_seed.get(seed)
    if claim is None:
        return Finding("fail", "score", f"seed {seed}: the score is {headline.val_bpb:.8f} bpb; none is claimed")
    message = f"seed {seed}: the score is {headline.val_bpb:.8f} bpb; {claim.value:.8f} is claimed"
    definition = {key: value for key, value in (headline.model_extra or {}).items() if key not in UNCLAIMED}
    unlike = [key for key, value in definition.items() if facts.metric.get(key) != value]
    if unlike:
        return Finding("fail", "score", f"{message}; the claimed metric differs in {', '.join(unlike)}")
    losses = 0.0 if loss is None else abs(headline.val_loss - loss.value)
    is_same = max(abs(headline.val_bpb - claim.value), losses) <= SCORE_TOLERANCE
    return Finding("pass" if is_same else "fail", "score", message)


def check_validation(data: Path, manifest: Manifest) -> None:
    """Check that the tokenizer and the validation shards have the manifest's hashes.

    Raises:
        DataError: a hash differs; names the file.
    """
    files = DataFiles(data)
    expected = {files.tokenizer: manifest.tokenizer.sha256}
    expected |= {files.shard(entry.file): entry.sha256 for entry in manifest.validation.files}
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
