"""Verification of a submission folder: its claims against each other and against its files.

The claims are those that `pgolf.records` reads; a folder that pgolf wrote also states hashes and its recipe. No code of
the folder is run here: `rescoring` computes its score anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pgolf.alike import RunNumbers, alike_findings
from pgolf.bundle.build import PROGRAM
from pgolf.bundle.submission import SUBMISSION
from pgolf.errors import UsageError
from pgolf.findings import Finding, Severity, counted
from pgolf.records.claim_reading import read_claims
from pgolf.records.claims import Claims
from pgolf.records.deviation import judge_deviation
from pgolf.records.folder import is_inside
from pgolf.records.printed import Printed, Problem, agree, coarser_decimals, mean_of, problem
from pgolf.rulesets.limits import bytes_over
from pgolf.rulesets.ruleset import Ruleset
from trainer.recipe.reading import read_json

# Of the claims' headlines and deviations, the one that is checked here.
SUBMISSION_JSON = "submission_json"
Bytes = Annotated[int, Field(ge=0, le=1 << 50)]
Seed = Annotated[str, Field(pattern=r"^\d{1,19}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, defer_build=True)


class OwnSeed(Lenient):
    """What pgolf adds to the claims about a seed."""

    model_bytes: Bytes
    model_sha256: Sha256


class OwnFacts(Lenient):
    """What pgolf adds to the claims of a submission."""

    data_sha256: Sha256
    train_gpt_sha256: Sha256
    limit_bytes: Bytes | None = None
    metric: dict[str, Any]
    embedded: dict[str, Any]


class OwnSubmission(Lenient):
    """The parts of submission.json that only pgolf writes."""

    seed_results: dict[Seed, OwnSeed] = Field(min_length=1)
    pgolf: OwnFacts


@dataclass(frozen=True, slots=True)
class Submission:
    """What a folder claims."""

    claims: Claims
    own: OwnSubmission | None
    """None for a folder that pgolf did not write."""

    @property
    def seeds(self) -> list[int]:
        """The seeds with a claimed score."""
        return list(self.claims.bpb_by_seed)

    def own_seed(self, seed: int) -> OwnSeed | None:
        return None if self.own is None else self.own.seed_results.get(str(seed))


def read_submission(folder: Path) -> tuple[Submission | None, list[Finding]]:
    """Return what a folder claims, or None with the findings that say what is wrong with submission.json.

    Raises:
        UsageError: submission.json is missing or is not a JSON object.
    """
    path = folder / SUBMISSION
    try:
        document = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not readable: {error}") from None
    claims = read_claims(folder)
    if claims.submission_error is not None:
        raise UsageError(f"{folder}: {claims.submission_error}")
    if SUBMISSION_JSON not in claims.headlines:
        message = "found no val_bpb that is a number, expected the mean of the seeds"
        return None, [Finding("fail", "submission_json", message)]
    if "pgolf" not in document:
        return Submission(claims, None), []
    try:
        return Submission(claims, OwnSubmission.model_validate(document)), []
    except ValidationError as error:
        return None, [
            Finding("fail", "submission_json", f"{'.'.join(map(repr, wrong['loc']))}: {wrong['msg']}")
            for wrong in error.errors()[:10]
        ]


def check_claims(folder: Path, submission: Submission, ruleset: Ruleset) -> list[Finding]:
    """Return the findings on a folder's claims that need no code of it to run."""
    return [
        *check_means(submission),
        *check_sizes(folder, submission, ruleset.limits.bytes),
        *check_seeds(submission),
    ]


def check_means(submission: Submission) -> Iterator[Finding]:
    """Compare the headline with the scores of the seeds."""
    claims = submission.claims
    scores, losses = list(claims.bpb_by_seed.values()), list(claims.loss_by_seed.values())
    if not scores:
        yield Finding("warn", "mean", "submission.json has no scores by seed to compare the headline with")
        return
    yield compare_numbers(
        "mean", "val_bpb", claims.headlines[SUBMISSION_JSON], mean_of(scores, "the seeds' mean"), scores
    )
    if claims.loss is not None and len(losses) == len(scores):
        yield compare_numbers("mean", "val_loss", claims.loss, mean_of(losses, "the seeds' mean"), losses)
    claimed = claims.stds.get(SUBMISSION_JSON)
    if claimed is not None and (wrong := judge_deviation([claimed], scores)) is not None:
        # pgolf writes the sample's; authors often write the population's.
        yield replace(wrong, rule="std", severity="warn" if submission.own is None else "fail")
    elif claimed is not None and len(scores) > 1:
        yield problem("pass", "std", f"{claimed.value} is the sample standard deviation of the seeds", claimed)


def compare_numbers(rule: str, name: str, claimed: Printed, found: Printed, scores: list[Printed]) -> Problem:
    """Return whether a claimed number is the one that was computed from the scores."""
    message = f"{name} {claimed.value} is claimed; {found.key} is {found.value:.8f}"
    decimals = coarser_decimals(claimed, found)
    status: Severity = "pass" if agree(claimed, found) else "fail"
    return problem(status, rule, message, claimed, found, *scores, decimals=decimals)


def check_seeds(submission: Submission) -> Iterator[Finding]:
    """Compare the seeds with the number that a record needs, with each other, and with those that are listed."""
    claims = submission.claims
    scored = sorted(claims.bpb_by_seed)
    yield Finding(
        "pass" if len(scored) >= 3 else "warn", "seeds", f"{counted(len(scored), 'seed')}; a record needs three"
    )
    alike = alike_findings(
        [
            RunNumbers(
                name=f"seed {seed}",
                val_bpb=score.value,
                decimals=score.decimals,
                seed=seed,
                total_bytes=whole(claims.bytes_by_seed.get(seed)),
            )
            for seed, score in claims.bpb_by_seed.items()
        ]
    )
    # Rounded claims of other authors may be equal by chance.
    yield from (each if submission.own else replace(each, severity="warn") for each in alike)
    listed = sorted(claims.listed_seeds)
    if listed and scored and listed != scored:
        yield Finding("fail", "seeds", f"seeds {listed} are listed; seeds {scored} have results")


def whole(number: Printed | None) -> int | None:
    """Return the value of a claimed number of bytes."""
    return None if number is None else int(number.value)


def check_sizes(folder: Path, submission: Submission, limit: int | None) -> Iterator[Finding]:
    """Compare the bytes of the files with the claims and with the limit."""
    program, totals, claims = folder / PROGRAM, list[int](), submission.claims
    if not is_inside(program, folder):
        yield Finding("warn", "code_bytes", f"there is no {PROGRAM} in the folder; its bytes cannot be counted")
    else:
        code = program.stat().st_size
        if claims.bytes_code is not None:
            yield compare_bytes("code_bytes", PROGRAM, code, claims.bytes_code)
        for seed in submission.seeds:
            model, own = folder / f"model_seed{seed}.bin", submission.own_seed(seed)
            if not is_inside(model, folder):
                yield Finding(
                    "warn", "artifact_bytes", f"there is no {model.name} in the folder; its bytes cannot be counted"
                )
                continue
            size = model.stat().st_size
            totals.append(code + size)
            if own is not None:
                yield compare_bytes("artifact_bytes", model.name, size, Printed(own.model_bytes, 0, SUBMISSION))
            if (claimed := claims.bytes_by_seed.get(seed)) is not None:
                yield compare_bytes("artifact_bytes", f"seed {seed}", totals[-1], claimed)
    yield from check_totals(totals, claims, limit)


def check_totals(totals: list[int], claims: Claims, limit: int | None) -> Iterator[Finding]:
    """Compare the counted bytes of whole artifacts with the claimed total, and the largest of both with the limit."""
    count = f"{len(totals)} of {counted(len(claims.bpb_by_seed), 'artifact')} could be counted"
    is_whole = 0 < len(totals) == len(claims.bpb_by_seed)
    if claims.bytes_total is not None:
        largest = max(totals, default=0)
        if is_whole or largest > claims.bytes_total.value:
            yield compare_bytes("bytes_total", "the largest artifact", largest, claims.bytes_total)
        else:
            message = f"{claims.bytes_total.value:,} bytes are claimed; {count}"
            yield problem("unknown", "bytes_total", message, claims.bytes_total)
    stated = [each for each in (claims.bytes_total, *claims.bytes_by_seed.values()) if each is not None]
    total = max([*totals, *(int(each.value) for each in stated)], default=None)
    if total is None:
        yield Finding("unknown", "limit", f"no size is claimed in bytes; {count}")
        return
    if limit is None:
        yield Finding("unknown", "limit", "submission.json states no limit of bytes; --ruleset names that of a contest")
        return
    over = bytes_over(total, limit)
    message = f"{total:,} bytes, {over or limit - total:,} {'over' if over else 'below'} the limit of {limit:,}"
    if over or is_whole:
        yield problem("fail" if over else "pass", "limit", message, *stated)
    else:
        yield problem("unknown", "limit", f"{message}; {count}", *stated)


def compare_bytes(rule: str, what: str, found: int, claimed: Printed) -> Problem:
    """Return whether the claimed bytes are the bytes that were counted."""
    message = f"{what} has {found:,} bytes; {int(claimed.value):,} are claimed"
    return problem("pass" if found == claimed.value else "fail", rule, message, claimed)
