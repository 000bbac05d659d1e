"""What a reader must know of a run that a script of the user's own printed."""

from collections.abc import Iterator
from typing import Any

from pgolf.findings import Finding

# A step may end a little after the clock says stop.
CLOCK_GRAIN_SECONDS = 1.0


def script_problems(result: dict[str, Any], allowed_seconds: float | None) -> Iterator[Finding]:
    """What the log and the files of a script's run say against each other and against the rules, and what neither says.
    The rules' seconds are those of one kind of machine; None is any other.
    """
    artifact, headline = result["artifact"], result["headline"]
    trained = result["clock"]["train_seconds"]
    if allowed_seconds is not None and trained is not None and trained > allowed_seconds + CLOCK_GRAIN_SECONDS:
        yield Finding("fail", "over_time", f"it trained {trained:.1f} s, the rules give {allowed_seconds:.0f} s")
    if headline["stage"] == "prequant":
        message = f"line {headline['line']} is a score of the model before it was packed, and there is no later one"
        yield Finding("warn", "not_packed", message)
    if headline["stage"] == "unknown":
        message = f"line {headline['line']} ({headline['label']!r}) does not say whether the packed model was scored"
        yield Finding("warn", "stage_unknown", message)
    logged_seed = result.get("logged_seed")
    if logged_seed is not None and logged_seed != result["seed"]:
        message = f"its log names seed {logged_seed}, it was given {result['seed']}, and took no notice"
        yield Finding("fail", "seed_ignored", message)
    if artifact["total_bytes"] is None:
        message = "it left no file that program.artifact matches, and printed no size"
        yield Finding("warn", "size_unknown", message, "program.artifact: a pattern of the packed model")
    elif artifact["basis"] == "log":
        message = "the model's bytes are as the log prints them; no file that program.artifact matches was left"
        yield Finding("warn", "size_unchecked", message)
    elif len(artifact["files"]) > 1:
        message = f"{', '.join(artifact['files'])} are counted together; program.artifact may name one"
        yield Finding("warn", "several_artifacts", message)
    logged = artifact["logged_total_bytes"]
    if logged is not None and artifact["basis"] == "files" and logged != artifact["total_bytes"]:
        message = f"its log says {logged:,} bytes in all, its files have {artifact['total_bytes']:,} with the code"
        yield Finding("warn", "bytes_differ", message)
