"""Probes of a scoring protocol: causality, independence of the target, probabilities that sum to one.

The protocol scores streams in which some tokens were changed. Scores that may not depend on these tokens must stay the
same, bit for bit. The unchanged stream is scored twice; if its scores differ, every verdict is unknown.
Source: openai/parameter-golf #1017 (C1 to C4), #1240 (target flip).
"""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgolf.audit.isolation import FOR_OWN_CODE, run_python
from pgolf.audit.verdicts import Verdict, make_verdict
from pgolf.confinement.answers import answer_file, temporary_folder
from pgolf.confinement.run import CONFINED, Confinement, Ended, Level
from pgolf.data.shards import read_shard
from pgolf.data.tokenizers import load_tokenizer_file
from pgolf.data.verify import check_files
from pgolf.errors import UsageError
from pgolf.npz import NpzLimits, read_npz
from trainer.recipe.files import ANSWERS, QUESTIONS, DataFiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Tokens = NDArray[np.uint16]

STREAM_TOKENS = 512
MAX_SECONDS = 1_800
RANDOM_CUTS = 8
ANSWER_LIMITS = NpzLimits(file_bytes=1 << 29, array_bytes=1 << 29)
SUM_TOLERANCE = 1e-4
# Between a score in float32 and its log probability in float64.
SCORE_TOLERANCE = 2e-3
RULES = ("C1-CAUSAL", "C1-SELF", "C2-NORMALISED", "C3-SCORE-FIRST", "C4-SINGLE-PASS")
NatsCheck = Callable[[Any], list[Verdict]]
"""Gives further verdicts from the scores of all streams."""


@dataclass(frozen=True, slots=True)
class Answerer:
    """A Python program that answers the questions in a folder."""

    arguments: tuple[str, ...]
    """Of the interpreter; the folder follows."""
    reads: tuple[Path, ...]
    """The files and folders that it may read."""
    levels: tuple[Level, ...]
    """The levels of confinement to try."""


@dataclass(frozen=True, slots=True)
class Questions:
    """Streams to score, and positions whose whole distribution is asked for."""

    streams: Any
    """Shape (S, T): the unchanged stream twice, then one stream for each cut, then one for each flip."""
    cuts: list[int]
    """Positions from which on all tokens are changed."""
    flips: list[int]
    """Positions at which a single token is changed."""
    begin: int
    """The token that begins a document."""
    seed: int
    """Of the random positions."""

    @property
    def asked(self) -> list[tuple[int, int]]:
        """Stream and position of each distribution: the unchanged stream at every token, a flipped one at its flip."""
        of_base = [(0, place) for place in range(1, self.streams.shape[1])]
        return of_base + [(2 + len(self.cuts) + number, place) for number, place in enumerate(self.flips)]


def make_questions(tokens: "Tokens", begin: int, edges: list[int], seed: int | None = None) -> Questions:
    """Return the questions about a stream; `edges` are positions where the protocol changes windows or chunks.

    Without a seed the other positions are drawn anew each time, so that no protocol can know them in advance.
    Tokens that begin a document are never changed, and no other token becomes one.
    """
    import numpy as np

    seed = secrets.randbits(32) if seed is None else seed
    rng = np.random.default_rng(seed)
    length = len(tokens)
    inner = rng.choice(np.arange(2, length - 1), size=RANDOM_CUTS, replace=False)
    near = [edge + step for edge in edges for step in (-1, 0, 1)]
    cuts = sorted({int(place) for place in (*inner, length // 2, length - 1, *near) if 1 < place < length})
    flips = sorted({place for place in (*cuts[1::2], length // 3) if tokens[place] != begin})
    ordinary = np.unique(tokens[tokens != begin])
    others = rng.choice(ordinary, size=length).astype(np.uint16)
    others = np.where(others == tokens, np.roll(others, 1), others)
    others = np.where(tokens == begin, tokens, others)
    rows = [tokens, tokens]
    rows += [np.concatenate((tokens[:cut], others[cut:])) for cut in cuts]
    rows += [with_flip(tokens, place, ordinary) for place in flips]
    return Questions(np.stack(rows), cuts, flips, begin, seed)


def with_flip(tokens: "Tokens", place: int, ordinary: Any) -> "Tokens":
    """Return the stream with one token changed to another ordinary one."""
    changed = tokens.copy()
    at = int((ordinary == tokens[place]).argmax())
    changed[place] = ordinary[(at + len(ordinary) // 2) % len(ordinary)]
    return changed


@dataclass(frozen=True, slots=True)
class Probed:
    """The verdicts of probes, and what confined the program that answered."""

    verdicts: list[Verdict]
    confinement: Confinement


def run_probes(questions: Questions, answerer: Answerer, further: "NatsCheck | None" = None) -> Probed:
    """Have the questions answered in a confined process and return the verdicts, with those of a further check.

    Raises:
        MachineError: this machine cannot confine the program.
    """
    import numpy as np

    with temporary_folder("pgolf-audit-") as folder:
        np.savez(
            folder / QUESTIONS,
            streams=questions.streams,
            asked=np.array(questions.asked),
            begin=np.array(questions.begin),
        )
        ended = run_python(
            [*answerer.arguments, str(folder)], folder, MAX_SECONDS, reads=answerer.reads, levels=answerer.levels
        )
        return Probed(judge_end(questions, ended, folder, further), ended.confinement)


def judge_end(questions: Questions, ended: Ended, folder: Path, further: "NatsCheck | None") -> list[Verdict]:
    """Return the verdicts on a program that has ended and on the answers that it left."""
    import numpy as np

    failure = None if ended.failure is None else f"scoring {ended.failure}"
    if ended.stopped or not os.path.lexists(folder / ANSWERS):
        return unknown_verdicts(failure or "scoring ended without answers")
    try:
        answers = read_npz(answer_file(folder, ANSWERS), ANSWER_LIMITS)
    except (ValueError, OSError) as error:
        return unknown_verdicts(f"the answers cannot be read: {error}")
    if "refused" in answers:
        return refused_verdicts(str(answers["refused"])[:300])
    if failure is not None:
        return unknown_verdicts(failure)
    if unfit := unfit_answers(questions, answers):
        return unknown_verdicts(unfit)
    nats, rows = answers["nats"], answers["log_probabilities"]
    with np.errstate(all="ignore"):  # infinite and missing numbers are judged, not warned of
        return [*judge_answers(questions, nats, rows), *([] if further is None else further(nats))]


def unfit_answers(questions: Questions, answers: "Mapping[str, NDArray[Any]]") -> str | None:
    """Return why answers cannot be judged; None if they can."""
    if missing := [name for name in ("nats", "log_probabilities") if name not in answers]:
        return f"the answers have no {' and no '.join(missing)}"
    for name in ("nats", "log_probabilities"):
        if answers[name].dtype.kind != "f":
            return f"{name} holds {answers[name].dtype}, expected floating-point numbers"
    nats, rows, streams = answers["nats"], answers["log_probabilities"], questions.streams
    if nats.shape != (len(streams), streams.shape[1] - 1):
        return f"scores of shape {nats.shape} came back for tokens {streams.shape}"
    if rows.ndim != 2 or len(rows) != len(questions.asked) or rows.shape[1] <= int(streams.max()):
        asked = len(questions.asked)
        return f"distributions of shape {rows.shape} came back; expected {asked} of the whole vocabulary"
    return None


def unknown_verdicts(reason: str) -> list[Verdict]:
    """Return unknown for every rule that the probes check."""
    return [make_verdict(rule, "unknown", reason, "executed") for rule in RULES]


def refused_verdicts(reason: str) -> list[Verdict]:
    """Return the verdicts on a model that cannot be decoded."""
    message = f"model.bin cannot be decoded: {reason}"
    return [*unknown_verdicts(message), make_verdict("METRIC-STAGE", "fail", message, "executed", "artifact/model.bin")]


def judge_answers(questions: Questions, nats: Any, log_probabilities: Any) -> Iterator[Verdict]:
    """Yield what the answers show.

    Shapes: nats (S, T - 1); log_probabilities (D, V), a row for each distribution that was asked for.
    """
    import numpy as np

    if not np.array_equal(nats[0], nats[1], equal_nan=True):
        first = int((nats[0] != nats[1]).argmax()) + 1
        message = f"the same stream scored twice differs from token {first} on, so that no scores can be compared"
        yield from unknown_verdicts(message)
        return
    yield check_causality(questions, nats)
    yield check_target_independence(questions, nats, log_probabilities)
    yield check_normalisation(questions, nats, log_probabilities)
    yield from check_order(questions, nats, log_probabilities)


def check_causality(questions: Questions, nats: Any) -> Verdict:
    """Check that changing the tokens from a cut on leaves every score before it the same."""
    import numpy as np

    for number, cut in enumerate(questions.cuts, start=2):
        changed = nats[0][: cut - 1] != nats[number][: cut - 1]
        if changed.any():
            first = int(changed.argmax()) + 1
            gap = float(np.abs(nats[0][first - 1] - nats[number][first - 1]))
            message = f"other tokens from {cut} on change the score of token {first} by {gap:.3g} nats"
            return make_verdict("C1-CAUSAL", "fail", message, "executed", f"cut {cut}")
    message = f"every score before each of {len(questions.cuts)} cuts is the same, bit for bit"
    return make_verdict("C1-CAUSAL", "pass", message, "executed", f"cuts {questions.cuts}")


def check_target_independence(questions: Questions, nats: Any, log_probabilities: Any) -> Verdict:
    """Check that changing a token leaves its own distribution the same, and that its score comes from there."""
    import numpy as np

    of_flipped = log_probabilities[questions.streams.shape[1] - 1 :]
    for number, place in enumerate(questions.flips):
        stream = 2 + len(questions.cuts) + number
        changed, of_base = questions.streams[stream], log_probabilities[place - 1]
        if not np.array_equal(of_base, of_flipped[number]):
            gap = float(np.abs(of_base - of_flipped[number]).max())
            message = f"another token at {place} changes its own distribution by up to {gap:.3g} nats"
            return make_verdict("C1-SELF", "fail", message, "executed", f"token {place}")
        score = float(nats[stream][place - 1])
        if (mismatch := score_mismatch(place, score, -float(of_base[changed[place]]))) is not None:
            return make_verdict("C1-SELF", "fail", mismatch, "executed", f"token {place}")
    message = f"{len(questions.flips)} tokens changed: each distribution is the same, bit for bit, and gives the score"
    evidence = f"tokens {questions.flips}", f"seed {questions.seed}"
    return make_verdict("C1-SELF", "pass", message, "executed", *evidence)


def score_mismatch(place: int, score: float, expected: float) -> str | None:
    """Return how a score differs from its distribution; None if it does not."""
    if abs(score - expected) <= SCORE_TOLERANCE * max(1.0, abs(expected)):
        return None
    return f"token {place} is scored {score:.4f} nats; its distribution gives {expected:.4f}"


def check_normalisation(questions: Questions, nats: Any, log_probabilities: Any) -> Verdict:
    """Check at every token of the unchanged stream that the probabilities sum to one and give the score."""
    import numpy as np

    length = questions.streams.shape[1]
    for place in range(1, length):
        row = log_probabilities[place - 1]
        total = float(np.exp(row).sum())
        if not abs(total - 1) <= SUM_TOLERANCE:
            wrong: str | None = f"the probabilities at token {place} sum to {total:.6f}"
        else:
            wrong = score_mismatch(place, float(nats[0][place - 1]), -float(row[questions.streams[0][place]]))
        if wrong is not None:
            return make_verdict("C2-NORMALISED", "fail", wrong, "executed", f"token {place}")
    message = f"at all {length - 1} tokens the probabilities sum to one and give the score"
    return make_verdict("C2-NORMALISED", "pass", message, "executed")


def check_order(questions: Questions, nats: Any, log_probabilities: Any) -> Iterator[Verdict]:
    """Yield what the other checks imply about learning before scoring and about second passes."""
    import numpy as np

    checks = (check_causality(questions, nats), check_normalisation(questions, nats, log_probabilities))
    broken = [check for check in checks if check.severity == "fail"]
    if not np.isfinite(nats).all() or (nats < 0).any():
        yield make_verdict("C4-SINGLE-PASS", "fail", "some scores are negative or not finite", "executed")
        return
    sign = "a second pass, or learning before scoring, shows as scores that depend on the future or fit no distribution"
    for rule in ("C3-SCORE-FIRST", "C4-SINGLE-PASS"):
        if broken:
            yield make_verdict(rule, "warn", f"{sign}: {broken[0].message}", "executed", *broken[0].evidence)
        else:
            yield make_verdict(rule, "pass", f"{sign}; none did at {len(questions.cuts)} cuts", "executed")


def probe_tokens(folder: Path) -> "tuple[Tokens, int]":
    """Return the first tokens of a folder's validation text, and the token that begins a document.

    Raises:
        DataError: the folder does not match its manifest.
    """
    import numpy as np

    manifest, files = check_files(folder), DataFiles(folder)
    tokens = np.concatenate([read_shard(files.shard(shard.file)) for shard in manifest.validation.shards[:1]])
    return tokens[:STREAM_TOKENS], load_tokenizer_file(files.tokenizer).bos_id()


def adapter_answerer(path: Path, reads: Sequence[Path] = (), levels: tuple[Level, ...] = CONFINED) -> Answerer:
    """Return the program by which an adapter answers.

    Raises:
        UsageError: there is no such file.
    """
    if not path.is_file():
        raise UsageError(
            f"{path}: no such adapter; expected a Python file with score(tokens) and distributions(tokens, positions)"
        )
    child = Path(__file__).with_name("adapter_child.py")
    return Answerer((str(child), str(path.resolve())), (child, path.resolve(), *reads), levels)


def model_answerer(model: Path) -> Answerer:
    """Return the program by which the trainer answers for a packed model of pgolf's own."""
    return Answerer(("-m", "trainer.probe", str(model.resolve())), (model.resolve(),), FOR_OWN_CODE)
