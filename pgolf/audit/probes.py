"""Executed tests of a scoring protocol: does it look ahead, does it look at the target, does it sum to one?

The protocol is asked to score streams in which something was changed. What a score may depend on decides which of them
must stay the same, bit for bit. The unchanged stream is scored twice: where that differs, nothing can be said.
Source: openai/parameter-golf #1017 (C1 to C4), #1240 (target flip).
"""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgolf.audit.isolation import last_error_line, run_isolated
from pgolf.audit.verdicts import Verdict, make_verdict
from pgolf.data.shards import read_shard
from pgolf.data.tokenizers import load_tokenizer_file
from pgolf.data.verify import check_files
from pgolf.errors import UsageError
from trainer.recipe.files import ANSWERS, QUESTIONS, DataFiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Tokens = NDArray[np.uint16]

STREAM_TOKENS = 512
MOST_SECONDS = 1_800
RANDOM_PLACES = 8
SUM_TOLERANCE = 1e-4
# A score in float32 beside its log probability in float64.
SAME_SCORE = 2e-3
RULES = ("C1-CAUSAL", "C1-SELF", "C2-NORMALISED", "C3-SCORE-FIRST", "C4-SINGLE-PASS")
Ask = Callable[[Path], list[str]]
"""The arguments of the Python program that answers the questions in a folder."""
Judge = Callable[[Any], list[Verdict]]
"""Further verdicts on the scores of all streams."""


@dataclass(frozen=True, slots=True)
class Questions:
    """Streams to score, and positions whose whole distribution is wanted."""

    streams: Any
    """(S, T): the base twice, then one stream a cut, then one a flip."""
    cuts: list[int]
    flips: list[int]
    begin: int
    seed: int
    """Of the places."""

    @property
    def asked(self) -> list[tuple[int, int]]:
        """Stream and position of every distribution: the base at every token, then each flipped stream at its own."""
        of_base = [(0, place) for place in range(1, self.streams.shape[1])]
        return of_base + [(2 + len(self.cuts) + number, place) for number, place in enumerate(self.flips)]


def questions_about(tokens: "Tokens", begin: int, edges: list[int], seed: int | None = None) -> Questions:
    """Questions about a stream. `edges` are places where the protocol changes windows or chunks, if they are known.

    Places are drawn anew each time, so that no protocol can know them, unless a seed says which.
    Tokens that begin a document stay what and where they are, and no other token becomes one.
    """
    import numpy as np

    seed = secrets.randbits(32) if seed is None else seed
    rng = np.random.default_rng(seed)
    length = len(tokens)
    inner = rng.choice(np.arange(2, length - 1), size=RANDOM_PLACES, replace=False)
    near = [edge + step for edge in edges for step in (-1, 0, 1)]
    cuts = sorted({int(place) for place in (*inner, length // 2, length - 1, *near) if 1 < place < length})
    flips = sorted({place for place in (*cuts[1::2], length // 3) if tokens[place] != begin})
    ordinary = np.unique(tokens[tokens != begin])
    others = rng.choice(ordinary, size=length).astype(np.uint16)
    others = np.where(others == tokens, np.roll(others, 1), others)
    others = np.where(tokens == begin, tokens, others)
    rows = [tokens, tokens]
    rows += [np.concatenate((tokens[:cut], others[cut:])) for cut in cuts]
    rows += [flipped(tokens, place, ordinary) for place in flips]
    return Questions(np.stack(rows), cuts, flips, begin, seed)


def flipped(tokens: "Tokens", place: int, ordinary: Any) -> "Tokens":
    """The stream with one token changed to another ordinary one."""
    changed = tokens.copy()
    at = int((ordinary == tokens[place]).argmax())
    changed[place] = ordinary[(at + len(ordinary) // 2) % len(ordinary)]
    return changed


def probed(questions: Questions, ask: Ask, judge: "Judge | None" = None) -> list[Verdict]:
    """The verdicts of all executed tests, and of a further judge of the answers."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="pgolf-audit-") as place:
        folder = Path(place)
        np.savez(
            folder / QUESTIONS,
            streams=questions.streams,
            asked=np.array(questions.asked),
            begin=np.array(questions.begin),
        )
        ended = run_isolated(ask(folder), folder, MOST_SECONDS)
        if ended is None:
            return unanswered(f"scoring took longer than {MOST_SECONDS} s")
        if not (folder / ANSWERS).is_file():
            return unanswered(f"scoring ended with exit code {ended.returncode}: {last_error_line(ended)}")
        try:
            with np.load(folder / ANSWERS, allow_pickle=False) as answers:
                if "refused" in answers:
                    return refused(str(answers["refused"]))
                if ended.returncode:
                    return unanswered(f"scoring ended with exit code {ended.returncode}: {last_error_line(ended)}")
                nats, rows = answers["nats"], answers["log_probabilities"]
                return [*judged(questions, nats, rows), *([] if judge is None else judge(nats))]
        except (KeyError, ValueError, OSError) as error:
            return unanswered(f"the answers cannot be read: {error}")


def unanswered(why: str) -> list[Verdict]:
    """No test could be made."""
    return [make_verdict(rule, "unknown", why, "executed") for rule in RULES]


def refused(reason: str) -> list[Verdict]:
    """Return the verdicts on a model that cannot be decoded."""
    words = f"model.bin cannot be decoded: {reason}"
    return [*unanswered(words), make_verdict("METRIC-STAGE", "fail", words, "executed", "artifact/model.bin")]


def judged(questions: Questions, nats: Any, log_probabilities: Any) -> Iterator[Verdict]:
    """What the answers show."""
    import numpy as np

    if nats.shape != (len(questions.streams), questions.streams.shape[1] - 1):
        yield from unanswered(f"{nats.shape} scores came back for {questions.streams.shape} tokens")
        return
    if not np.array_equal(nats[0], nats[1], equal_nan=True):
        where = int((nats[0] != nats[1]).argmax()) + 1
        yield from unanswered(f"the same stream scored twice differs from token {where} on; nothing can be compared")
        return
    yield future(questions, nats)
    yield target(questions, nats, log_probabilities)
    yield normalised(questions, nats, log_probabilities)
    yield from single_pass(questions, nats, log_probabilities)


def future(questions: Questions, nats: Any) -> Verdict:
    """Whether scores before a cut stay the same when the tokens from it on are others."""
    import numpy as np

    for number, cut in enumerate(questions.cuts, start=2):
        before = nats[0][: cut - 1] != nats[number][: cut - 1]
        if before.any():
            first = int(before.argmax()) + 1
            gap = float(np.abs(nats[0][first - 1] - nats[number][first - 1]))
            words = f"other tokens from {cut} on change the score of token {first} by {gap:.3g} nats"
            return make_verdict("C1-CAUSAL", "fail", words, "executed", f"cut {cut}")
    words = f"{len(questions.cuts)} cuts: every score before them is the same, bit for bit"
    return make_verdict("C1-CAUSAL", "pass", words, "executed", f"cuts {questions.cuts}")


def target(questions: Questions, nats: Any, log_probabilities: Any) -> Verdict:
    """Whether the distribution that scores a token stays the same when the token is another."""
    import numpy as np

    of_flipped = log_probabilities[questions.streams.shape[1] - 1 :]
    for number, place in enumerate(questions.flips):
        changed, of_base = questions.streams[2 + len(questions.cuts) + number], log_probabilities[place - 1]
        if not np.array_equal(of_base, of_flipped[number]):
            gap = float(np.abs(of_base - of_flipped[number]).max())
            words = f"another token at {place} changes its own distribution by up to {gap:.3g} nats"
            return make_verdict("C1-SELF", "fail", words, "executed", f"token {place}")
        score = float(nats[2 + len(questions.cuts) + number][place - 1])
        if (wrong := misread(place, score, -float(of_base[changed[place]]))) is not None:
            return make_verdict("C1-SELF", "fail", wrong, "executed", f"token {place}")
    words = f"{len(questions.flips)} tokens changed: each distribution is the same, bit for bit, and is what scores"
    return make_verdict("C1-SELF", "pass", words, "executed", f"tokens {questions.flips}", f"seed {questions.seed}")


def misread(place: int, score: float, read: float) -> str | None:
    """Why a score is not what the distribution says; None where it is."""
    if abs(score - read) <= SAME_SCORE * max(1.0, abs(read)):
        return None
    return f"token {place} is scored {score:.4f} nats where its distribution says {read:.4f}"


def normalised(questions: Questions, nats: Any, log_probabilities: Any) -> Verdict:
    """Whether what scores each token of the base sums to one over the vocabulary, and is what scores it."""
    import numpy as np

    length = questions.streams.shape[1]
    for place in range(1, length):
        row = log_probabilities[place - 1]
        total = float(np.exp(row).sum())
        if not abs(total - 1) <= SUM_TOLERANCE:
            wrong: str | None = f"the probabilities at token {place} sum to {total:.6f}"
        else:
            wrong = misread(place, float(nats[0][place - 1]), -float(row[questions.streams[0][place]]))
        if wrong is not None:
            return make_verdict("C2-NORMALISED", "fail", wrong, "executed", f"token {place}")
    words = f"at all {length - 1} tokens the probabilities sum to one and are what scores"
    return make_verdict("C2-NORMALISED", "pass", words, "executed")


def single_pass(questions: Questions, nats: Any, log_probabilities: Any) -> Iterator[Verdict]:
    """What the other tests say of order and passes."""
    import numpy as np

    tests = (future(questions, nats), normalised(questions, nats, log_probabilities))
    broken = [test for test in tests if test.severity == "fail"]
    words = "a second pass, or learning before scoring, shows as scores that know the future or are of no distribution"
    if not np.isfinite(nats).all() or (nats < 0).any():
        yield make_verdict("C4-SINGLE-PASS", "fail", "some scores are negative or no numbers", "executed")
        return
    for rule in ("C3-SCORE-FIRST", "C4-SINGLE-PASS"):
        if broken:
            yield make_verdict(rule, "warn", f"{words}: {broken[0].message}", "executed", *broken[0].evidence)
        else:
            yield make_verdict(rule, "pass", f"{words}; none does at {len(questions.cuts)} cuts", "executed")


def probe_tokens(folder: Path) -> "tuple[Tokens, int]":
    """The beginning of a folder's validation text, and the token that begins a document.

    Raises: DataError when the folder is not what its manifest says.
    """
    import numpy as np

    manifest, files = check_files(folder), DataFiles(folder)
    tokens = np.concatenate([read_shard(files.shard(shard.file)) for shard in manifest.validation.shards[:1]])
    return tokens[:STREAM_TOKENS], load_tokenizer_file(files.tokenizer).bos_id()


def adapter_of(path: Path) -> Ask:
    """How a stranger's adapter is asked.

    Raises: UsageError when there is no such file.
    """
    if not path.is_file():
        raise UsageError(
            f"{path}: no such adapter; expected a Python file with score(tokens) and distributions(tokens, positions)"
        )
    child = Path(__file__).with_name("adapter_child.py")
    return lambda folder: [str(child), str(path.resolve()), str(folder)]


def trainer_of(model: Path) -> Ask:
    """How a packed model of pgolf's own is asked, by the trainer that scores it."""
    return lambda folder: ["-m", "trainer.probe", str(model.resolve()), str(folder)]
