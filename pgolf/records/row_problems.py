"""The problems of one run of a public record: its size, its clocks, and the text that it was scored on."""

from collections.abc import Iterator
from math import log
from pathlib import Path

from pgolf.alike import decimals_of
from pgolf.findings import Finding, failures
from pgolf.records.evidence import logged, logged_size, printed_score, printed_size
from pgolf.records.mentions import find_bytes_after
from pgolf.records.printed import Printed, Problem, fail, problem, warn
from pgolf.records.track import Track
from pgolf.rulesets.judging import judge_size
from pgolf.rulesets.limits import LATE_SECONDS, STEP_SECONDS, bytes_over, is_contest_machine, is_over_time
from pgolf.rulesets.ruleset import Ruleset
from trainer.dialects.logged import LoggedRun, NotFinite
from trainer.dialects.scores import Score

# A score of at least this share of the fewest validation tokens counts as one of the whole text: scoring in whole
# windows leaves some tokens out.
MIN_TOKEN_SHARE = 0.9
# Of 2,641 public logs 2,512 are within this share of the text's bytes; the others are known miscounts.
BYTES_TOLERANCE = 0.005
# The ratio of bytes that a loss in bits, printed where nats are expected, seems to imply.
BITS_FOR_NATS = 1 / log(2)
# A time printed in tenths of a minute is known to so many seconds.
MINUTE_DIGIT_SECONDS = 6.0


def row_problems(run: LoggedRun, score: Score, ruleset: Ruleset, track: Track, folder: Path) -> list[Finding]:
    """Return the problems of one run, whose log is in a folder."""
    found: list[Finding] = [
        *size_problems(run, ruleset, folder),
        *time_problems(run, score, ruleset, track),
        *byte_problems(run, score, ruleset),
        *failures(judge_size(ruleset, logged_size(run))),
    ]
    return found if run.not_finite is None else [*found, not_finite_finding(run.not_finite)]


def not_finite_finding(steps: NotFinite) -> Problem:
    """Return a failure if training ended with losses that are not numbers, a warning if it recovered."""
    return problem("fail" if steps.is_at_end else "warn", "loss_not_finite", steps.describe())


def size_problems(run: LoggedRun, ruleset: Ruleset, folder: Path) -> Iterator[Problem]:
    """Yield a size over the limit, and what its line leaves open.

    A log may print the size before pruning, and the final one in words that are not read: where a later line has a
    number of bytes within the limit, the size that was read is a warning.
    """
    size, limit = run.size, ruleset.limits.bytes
    if size is None:
        return
    printed = printed_size(run, size)
    if limit is not None and (over := bytes_over(size.least, limit)):
        message = f"{size.least:,} bytes, {over:,} over the limit ({run.file}:{size.line})"
        later = find_bytes_after(folder / run.file, size.line, limit)
        if later is None:
            yield fail("over_cap", message, printed)
        else:
            message += f"; {later.value:,.0f} in {run.file}:{later.line} may be the final size"
            yield warn("over_cap", message, printed, later)
    elif bytes_over(size.most, limit):
        message = f"{run.file}:{size.line} rounds the size, which has {size.least:,} to {size.most:,} bytes"
        yield warn("rounded_size", f"{message}; the limit is {limit:,}", printed)
    if any(each.is_mebi for each in run.sizes):
        message = f"{size.total:,} bytes are printed as MB of 2^20 bytes ({run.file}:{size.line})"
        yield warn("mib_called_mb", message, printed)
    if size.kind == "artifact":
        message = f"{run.file}:{size.line} does not say whether the {size.total:,} bytes include code"
        yield warn("total_without_code", message, printed)


def time_problems(run: LoggedRun, score: Score, ruleset: Ruleset, track: Track) -> Iterator[Problem]:
    """Yield the clock limits that the run broke. They hold on the contest's hardware and on the 10-minute track."""
    if is_other_hardware(run) or not track.has_limits:
        return
    limits = ruleset.limits
    if run.train_seconds is not None and is_over_time(run.train_seconds, limits.train_seconds, late_seconds(run)):
        message = f"{run.file}: trained for {run.train_seconds:.1f} s; the limit is {limits.train_seconds:g} s"
        is_late = is_over_time(run.train_seconds, limits.train_seconds, STEP_SECONDS)
        if not is_late:
            message += f"; up to {STEP_SECONDS:.0f} s more may be the step in which the time ran out"
        yield problem(
            track.severity if is_late else "warn", "over_time", message, *logged(run, "train_seconds", "train_time")
        )
    spent = run.total_eval_seconds or score.seconds
    if spent is not None and is_over_time(spent, limits.evaluate_seconds):
        message = f"{run.file}: evaluated for {spent:.1f} s; the limit is {limits.evaluate_seconds:g} s"
        own = Printed(spent, decimals_of(spent), score.file or run.file, score.line, "eval_time")
        timed = logged(run, "total_eval_seconds", "total_eval_time") if run.total_eval_seconds else [own]
        yield problem(track.severity, "eval_over_time", message, *timed)


def late_seconds(run: LoggedRun) -> float:
    """Return by how many seconds a printed training time may be over the limit without showing a violation."""
    return MINUTE_DIGIT_SECONDS if run.has_minutes and run.stopped is None else LATE_SECONDS


def is_other_hardware(run: LoggedRun) -> bool:
    """Return whether the log shows a machine other than one with eight H100 GPUs."""
    return is_contest_machine(run.gpus, run.world_size) is False


def byte_problems(run: LoggedRun, score: Score, ruleset: Ruleset) -> Iterator[Problem]:
    """Yield a problem if tokens, loss and bits per byte do not imply the bytes of the validation text.

    They imply another number, too, where the score mixes predictions of tokens and of bytes. It is a miscount only if
    every score of the log has it.
    """
    tokens, text = run.validation_tokens, ruleset.validation_bytes
    ratio = bytes_per_token(score)
    if tokens is None or text is None or score.val_loss is None or ratio is None:
        return
    counted_tokens = logged(run, "validation_tokens", "validation tokens")
    if abs(tokens * ratio / text - 1) <= BYTES_TOLERANCE:
        return
    if tokens < MIN_TOKEN_SHARE * ruleset.fewest_validation_tokens:
        yield fail("validation_subset", f"{run.file}: only {tokens:,} validation tokens were scored", *counted_tokens)
        return
    others = [other for each in run.scores if (other := bytes_per_token(each)) is not None]
    is_mix = any(abs(tokens * other / text - 1) <= BYTES_TOLERANCE for other in others)
    message = f"{run.file}: {tokens:,} tokens at {ratio:.3f} bytes per token are {tokens * ratio / 1e6:.2f} MB of text"
    message += f"; the validation text has {text / 1e6:.2f} MB"
    doubt = doubt_of_miscount(tokens * ratio / text, tokens, ruleset)
    if is_mix:
        doubt = "other scores of the log imply that text, so this one may mix tokens and bytes"
    if doubt is not None:
        message += f"; {doubt}"
    loss = Printed(score.val_loss, decimals_of(score.val_loss), score.file or run.file, score.line, "val_loss")
    evidence = (*counted_tokens, loss, printed_score(run, score))
    yield problem("fail" if doubt is None else "warn", "bytes_per_token_implausible", message, *evidence)


def doubt_of_miscount(share: float, tokens: int, ruleset: Ruleset) -> str | None:
    """Return what explains a wrong number of bytes without a miscount in the author's favor, else None.

    Args:
        share: The bytes that a score implies, over those of the validation text.
        tokens: Scored tokens.
        ruleset: The contest's, with the bytes of its validation text.
    """
    if share < 1:
        return "too few bytes make a score worse"
    if abs(share / BITS_FOR_NATS - 1) <= BYTES_TOLERANCE:
        return "val_loss may be in bits"
    for export in ruleset.refused_exports:
        part = (export.validation_bytes or 0) / (ruleset.validation_bytes or 1)
        if part and export.has_tokens(tokens) and abs(share / part - 1) <= BYTES_TOLERANCE:
            return f"that is the text of {export.name}"
    return None


def bytes_per_token(score: Score) -> float | None:
    """Return the bytes of a token that loss and bits per byte imply; None where the line lacks one of them."""
    return score.val_loss / log(2) / score.val_bpb if score.val_bpb and score.val_loss else None
