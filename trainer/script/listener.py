"""Reads a script's output while it runs: into metrics and state, and for its stop rule."""

import re
import time
from collections import deque
from typing import Any

from trainer.dialects.headline import headline_kind, headline_of
from trainer.dialects.lines import plain_lines
from trainer.dialects.logged import LoggedRun
from trainer.dialects.plain import TooLong
from trainer.dialects.recording import INFORMATIVE, record_line
from trainer.dialects.scores import NO_NUMBER, STEP, STEP_ANYWHERE, Score
from trainer.recipe.files import RunFiles
from trainer.runtime.guard import Guard
from trainer.runtime.journal import Journal, append_line

# How far an evaluation is, as in "chunk 12/80". Dates have two slashes.
FRACTION = re.compile(r"(?<![\d/])\d{1,12}/\d{1,12}(?![\d/])")
# Lines of progress that are compared with the next one: several processes may repeat a line each.
COMPARED_LINES = 32


class LogListener:
    """The output of one attempt at a script's run so far."""

    def __init__(self, files: RunFiles, journal: Journal, guard: Guard | None) -> None:
        self.files, self.journal, self.guard = files, journal, guard
        self.began = time.monotonic()
        self.position, self.number = 0, 0
        self.logged = LoggedRun(files.log.name, self.count_lines() + 1)
        self.total: int | None = None
        self.has_stepped = False
        self.furthest_step, self.furthest_line = -1, 0
        """The highest step logged, and the number of its line."""
        self.progress = deque[str](maxlen=COMPARED_LINES)
        self.nan_score_line = 0
        """Number of the last line whose score is not a number; 0 if there is none."""

    def follow_line(self, line: str) -> bool:
        """Append a line to the log, and its numbers to metrics and state; return whether it reports progress.

        Progress is a step, a score, a size or a fraction. A line that repeats an earlier one is none, and neither is
        the heartbeat of a process that waits.

        Raises:
            StoppedByRule: the stop rule ends the run.
        """
        append_line(self.files.log, line)
        reports = [self.follow_words(words) for words in plain_lines(line)]  # each line is recorded, so no short cut
        return any(reports)

    def follow_words(self, words: str) -> bool:
        """Record what a line says, without its prefixes; return whether it reports progress.

        Raises:
            StoppedByRule: the stop rule ends the run.
        """
        if INFORMATIVE.search(words) is None:
            return False
        known = self.count_records()
        trained, validated = len(self.logged.curve), len(self.logged.validations)
        was_finite = self.logged.not_finite is None
        try:
            record_line(self.logged, words, self.count_lines())
        except TooLong:  # with too many scores only the later half is kept
            del self.logged.scores[: len(self.logged.scores) // 2]
        while self.logged.scores and self.logged.scores[-1].val_loss is None:
            self.logged.scores.pop()  # result.json states a loss for every score
        if NO_NUMBER.search(words) and not STEP_ANYWHERE.search(words):
            self.nan_score_line = self.number
        if found := STEP.match(words):
            self.total = int(found[2]) or None
        if was_finite and self.logged.not_finite is not None:
            self.journal.log(f"the loss is not a number at step {self.logged.not_finite.first}")
        for step, loss in self.logged.curve[trained:]:
            self.record_step(step, loss)
        for step, loss, bpb in self.logged.validations[validated:]:
            self.record(step, {"val_loss": loss, "val_bpb": bpb})
        if words in self.progress or (self.count_records() == known and FRACTION.search(words) is None):
            return False
        self.progress.append(words)
        return True

    def count_records(self) -> int:
        """Return how many steps, validations, scores and sizes are known of the run."""
        logged = self.logged
        return len(logged.curve) + len(logged.validations) + len(logged.scores) + len(logged.sizes)

    @property
    def headline(self) -> Score | None:
        """The score that is the result so far."""
        return headline_of(self.logged, headline_kind([self.logged]))

    @property
    def ends_without_number(self) -> bool:
        """Return whether a score that is not a number was printed after the headline."""
        return self.nan_score_line > (0 if self.headline is None else self.headline.line)

    @property
    def has_packed_score(self) -> bool:
        """Return whether the result so far is, by its label, a score of the packed model, and training has ended."""
        score = self.headline
        if score is None or score.shown_stage not in ("roundtrip", "ttt"):
            return False
        return score.line > self.furthest_line and not self.ends_without_number

    def record_step(self, step: int, loss: float) -> None:
        """Record a logged training step, and check the stop rule."""
        rate = self.bpb_per_nat
        bpb = None if rate is None else loss * rate
        self.record(step, {"train_loss": loss} | ({} if bpb is None else {"train_bpb": bpb}))
        facts = {"train_loss": loss, "train_bpb": bpb, "step_seconds": self.elapsed / step if step else None}
        self.journal.pulse(phase="train", step=step, total=self.total, **facts)
        if self.guard is not None:
            self.guard.check_speed(step, self.elapsed)
            if bpb is not None and (tokens := self.tokens_at(step)) is not None:
                self.guard.check_curve(tokens, bpb)

    def record(self, step: int, facts: dict[str, float]) -> None:
        """Append a row to metrics.jsonl. The first one removes the rows of an earlier attempt from this step on."""
        if step > self.furthest_step:
            self.furthest_step, self.furthest_line = step, self.number
        if not self.has_stepped:
            self.journal.truncate_after(step - 1)
            self.has_stepped = True
        tokens = self.tokens_at(step)
        known: dict[str, Any] = {} if tokens is None else {"tokens": tokens}
        self.journal.record({"step": step, "elapsed_seconds": round(self.elapsed, 3), **known, **facts})

    @property
    def elapsed(self) -> float:
        """Seconds of training as the script logs them, else since it was started."""
        logged = self.logged.train_seconds
        return time.monotonic() - self.began if logged is None else logged

    def tokens_at(self, step: int) -> int | None:
        """Return the tokens seen up to a step, or None if the script does not log its batch size."""
        return None if self.logged.batch_tokens is None else step * self.logged.batch_tokens

    @property
    def bpb_per_nat(self) -> float | None:
        """Bits per byte for one nat per token, from the last line with both; None if there is none."""
        if self.logged.validations:
            _, loss, bpb = self.logged.validations[-1]
            return bpb / loss if loss else None
        return None

    def count_lines(self) -> int:
        """Return the number of lines of the log, to which others write as well."""
        if self.files.log.exists():
            with self.files.log.open("rb") as log:
                log.seek(self.position)
                new = log.read()
            self.position, self.number = self.position + len(new), self.number + new.count(b"\n")
        return self.number
