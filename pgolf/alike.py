"""Runs that are one run, copied or with an ignored seed: their numbers agree in more digits than chance gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgolf.findings import Finding

# The rules of these findings. Scores that are equal to few digits may be so by chance.
SEEDS_ALIKE, SCORES_EQUAL = "seeds_alike", "scores_equal"
# By chance, fewer than one pair of runs in 100,000 agrees in so many digits.
CERTAIN_DIGITS = 5
# Seeds of one experiment agree to three decimals in bits per byte and in loss; only later ones distinguish them.
SHARED_DECIMALS = 3
# Digits of the last training time, in milliseconds, that distinguish runs which stop at the same limit.
MOST_TIME_DIGITS = 2
# Digits of an artifact's size. Compressed models differ by thousands of bytes; uncompressed ones may not differ at all.
BYTES_DIGITS = 2
# Losses besides the first from which a training is recognized.
FEWEST_LOSSES = 2
# Other hardware changes the score of a model by less, another protocol by more. Units: bits per byte.
SAME_PROTOCOL = 1e-5


@dataclass(frozen=True, kw_only=True, slots=True)
class RunNumbers:
    """The numbers of a run by which it is told from another."""

    name: str
    val_bpb: float
    decimals: int
    """Decimals of val_bpb as it was printed or stored."""
    seed: int | None = None
    total_bytes: int | None = None
    train_seconds: float | None = None
    losses: Mapping[int, float] | None = None
    """Training losses by step."""

    @property
    def known_losses(self) -> Mapping[int, float]:
        """The losses but the first: before training, it is the same for every seed."""
        return dict(list((self.losses or {}).items())[1:])


def numbers_of_result(name: str, result: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> RunNumbers:
    """Return the numbers of a finished run from its result.json and metrics.jsonl."""
    val_bpb = float(result["headline"]["val_bpb"])
    return RunNumbers(
        name=name,
        val_bpb=val_bpb,
        decimals=decimals_of(val_bpb),
        seed=result["seed"],
        total_bytes=result["artifact"]["total_bytes"],
        train_seconds=result["clock"]["train_seconds"],
        losses={row["step"]: row["train_loss"] for row in metrics if "train_loss" in row},
    )


def decimals_of(number: float) -> int:
    """Return the decimals of a number that is not stored as text."""
    digits, _, exponent = repr(number).partition("e")
    return max(0, len(digits.partition(".")[2]) - int(exponent or 0))


def are_alike(one: RunNumbers, other: RunNumbers) -> bool:
    """Return whether two runs are one run: their training is one, or their scores are equal to enough digits.

    One training that was scored twice has one seed, and may be scored by two protocols. Scores of one protocol then
    differ by rounding only, and seeds that differ, or are not known, have no training in common.
    """
    decimals = min(one.decimals, other.decimals)
    apart = abs(one.val_bpb - other.val_bpb)
    pairs = common_losses(one, other)
    trained = digits_of_training(one, other, pairs)
    if len(pairs) >= FEWEST_LOSSES and trained >= CERTAIN_DIGITS:
        return one.seed is None or one.seed != other.seed or apart < SAME_PROTOCOL
    if apart > 0.5000001 * 10.0**-decimals:
        return False
    return decimals - SHARED_DECIMALS + trained >= CERTAIN_DIGITS


def common_losses(one: RunNumbers, other: RunNumbers) -> list[tuple[float, float]]:
    """Return the losses of two runs at the steps that both logged."""
    theirs = other.known_losses
    return [(loss, theirs[step]) for step, loss in one.known_losses.items() if step in theirs]


def digits_of_training(one: RunNumbers, other: RunNumbers, losses: Sequence[tuple[float, float]]) -> int:
    """Return the number of digits besides the scores in which two runs agree; 0 if their losses differ."""
    if any(loss != again for loss, again in losses):
        return 0
    digits = sum(max(0, decimals_of(loss) - SHARED_DECIMALS) for loss, _ in set(losses))
    if one.total_bytes is not None and one.total_bytes == other.total_bytes:
        digits += BYTES_DIGITS
    if one.train_seconds is not None and one.train_seconds == other.train_seconds:
        digits += min(MOST_TIME_DIGITS, max(0, decimals_of(one.train_seconds) - 1))
    return digits


def alike_sets(runs: Sequence[RunNumbers]) -> list[list[RunNumbers]]:
    """Return the runs that are one run, as sets of at least two."""
    sets: list[list[RunNumbers]] = []
    for run in runs:
        found = next((each for each in sets if are_alike(each[0], run)), None)
        if found is None:
            sets.append([run])
        else:
            found.append(run)
    return [each for each in sets if len(each) > 1]


def alike_findings(runs: Sequence[RunNumbers], cause: str = "") -> list[Finding]:
    """Return a failure for each set of runs that are one, else a warning if all scores are equal.

    Args:
        cause: What probably made them so, if that is known.
    """
    found = alike_sets(runs)
    if not found and has_one_score(runs):
        message = f"all {len(runs)} scores are {runs[0].val_bpb}, so that no deviation and no test can be computed"
        return [Finding("warn", SCORES_EQUAL, message + cause)]
    return [Finding("fail", SEEDS_ALIKE, describe_alike(each) + cause) for each in found]


def has_one_score(runs: Sequence[RunNumbers]) -> bool:
    """Return whether several runs have one score, so that their standard deviation would be zero."""
    return len(runs) > 1 and len({run.val_bpb for run in runs}) == 1


def are_independent(runs: Sequence[RunNumbers]) -> bool:
    """Return whether a standard deviation, an interval and a test may be computed from the scores of these runs."""
    return not has_one_score(runs) and not alike_sets(runs)


def describe_alike(runs: Sequence[RunNumbers]) -> str:
    """Return which runs are one, and by which numbers."""
    first = runs[0]
    facts = [f"val_bpb {first.val_bpb}"] if len({run.val_bpb for run in runs}) == 1 else ["their training losses"]
    if first.total_bytes is not None and len({run.total_bytes for run in runs}) == 1:
        facts.append(f"{first.total_bytes:,} bytes")
    if first.train_seconds is not None and len({run.train_seconds for run in runs}) == 1:
        facts.append(f"{first.train_seconds} s of training")
    names = ", ".join(run.name for run in runs[:-1])
    return (
        f"{names} and {runs[-1].name} are one run, equal in {', '.join(facts)}: no deviation, interval or test is "
        "computed from them"
    )
