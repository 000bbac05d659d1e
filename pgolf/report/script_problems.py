"""Problems of the numbers that a user's script printed."""

from collections.abc import Iterator

from pgolf.findings import Finding
from pgolf.records.row_problems import not_finite_finding
from pgolf.rulesets.limits import STEP_SECONDS, is_over_time
from pgolf.run_files import Artifact, Result
from trainer.dialects.logged import NotFinite


def script_problems(result: Result, allowed_seconds: float | None) -> Iterator[Finding]:
    """Yield where log, files and rules of a script's run disagree, and which numbers are missing.

    Args:
        allowed_seconds: The contest's training limit; None on other hardware than the contest's.
    """
    artifact, headline = result["artifact"], result["headline"]
    if (ended := result.get("ended")) is not None:
        yield Finding("warn", "ended", f"how the script ended: {ended}; its result counts")
    if (steps := result.get("not_finite")) is not None:
        yield not_finite_finding(NotFinite(**steps))
    trained = result["clock"]["train_seconds"]
    if allowed_seconds is not None and trained is not None and is_over_time(trained, allowed_seconds, STEP_SECONDS):
        yield Finding("fail", "over_time", f"it trained for {trained:.1f} s; the rules allow {allowed_seconds:.0f} s")
    if headline["stage"] == "prequant":
        message = f"line {headline['line']} scores the model before quantization, and no later score was printed"
        yield Finding("warn", "not_packed", message)
    if headline["stage"] == "unknown":
        message = f"line {headline['line']} ({headline['label']!r}) does not say whether it scores the quantized model"
        yield Finding("warn", "stage_unknown", message)
    logged_seed = result.get("logged_seed")
    if logged_seed is not None and logged_seed != result["seed"]:
        message = f"its log names seed {logged_seed}, but it was given {result['seed']}"
        yield Finding("fail", "seed_ignored", message)
    yield from artifact_problems(artifact)


def artifact_problems(artifact: Artifact) -> Iterator[Finding]:
    """Yield where the bytes of log and files disagree, and which of them are missing."""
    if artifact["total_bytes"] is None:
        message = "it left no file that matches program.artifact, and printed no size"
        yield Finding("warn", "size_unknown", message, "program.artifact: a pattern of the packed model")
    elif artifact["basis"] == "log":
        message = "the model's size is taken from the log, because no file matches program.artifact"
        yield Finding("warn", "size_unchecked", message)
    elif len(artifact["files"]) > 1:
        message = f"{', '.join(artifact['files'])} are counted together; name one in program.artifact"
        yield Finding("warn", "several_artifacts", message)
    logged = artifact["logged_total_bytes"]
    if logged is not None and artifact["basis"] == "files" and logged != artifact["total_bytes"]:
        message = f"its log prints {logged:,} bytes in total, but its files and code have {artifact['total_bytes']:,}"
        yield Finding("warn", "bytes_differ", message)
