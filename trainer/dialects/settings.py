"""Seeds and other settings read from single lines of public logs."""

import re

from trainer.dialects.logged import LoggedRun
from trainer.dialects.scores import CODE_LINE, NUMBER, integer

# Names in a hyperparameter dump whose values differ between seeds anyway.
SEED_SPECIFIC = re.compile(
    r"(?:local_|global_)?rank|run_id|(?:\w+_)?(?:seed|path|dir|file|logfile|hostname|host|port|date|time|timestamp|name)s?"
)
PARAMETERS = re.compile(r"(?:^|\s)(?:model_params|Total params)\s*:\s*(\d[\d,]{0,17})\b")
WORLD = re.compile(r"(?:world_size\s*:|World size:|GPUs=)\s*(\d{1,6})\b")
BATCH_TOKENS = re.compile(r"\btrain_batch_tokens\s*[:=]\s*(\d[\d,]{0,17})\b")
WALL = re.compile(rf"(?:max_wallclock_seconds\s*:|\bwall:|wallclock=)\s*{NUMBER}")
TOKENS = re.compile(
    r"(?:val_loader:shards pattern=\S+ tokens:|^\s*val_tokens:|^Validation tokens:)\s*(\d[\d,]{0,17})\b"
)
TRAIN_SHARDS = re.compile(r"\btrain_shards\s*[:=]\s*(\d{1,9})\b")
ADAPTED_IN_WINDOWS = re.compile(r"^ttt_sliding:start\b.*\bstride=\d+")
BANNER = re.compile(r"^=+ SEED (\d{1,10}) =+$")
SEED_LINE = re.compile(r"(?:^|[\s,])[Ss]eed\s*[:=]\s*(\d{1,10})(?![\d.])")
# Of data or of a step of the program; or a line of a diff.
OTHER_SEED = re.compile(r"\b(?:data|calib\w*|eval\w*|shuffle\w*|split|init\w*|ttt)\b|^[-+]\s", re.IGNORECASE)
# Layers are called L4, and notes speak of an A100: short and common names count only where a GPU is spoken of.
GPU = re.compile(
    r"\b(H100|H200|B200|GH200|L40S|RTX [A-Z]*\s?\d+[A-Za-z ]{0,8}"
    r"|(?:(?<=NVIDIA )|(?<=Tesla )|(?<=GPU: )|(?<=gpu: )|(?<=device: )|(?<=\dx)|(?<=\dx )|(?<=\d x ))(?:A100|L4|T4))\b"
)
SETTING = re.compile(r"^\s{1,8}([a-z][a-z0-9_]{1,40}): (\S.{0,200})$")


def record_setting(run: LoggedRun, line: str, number: int) -> None:
    """Record seed, sizes and other settings that the line gives."""
    is_code = bool(CODE_LINE.search(line))
    record_seed(run, line, number)
    if (found := PARAMETERS.search(line)) and run.parameters is None:
        run.parameters, run.lines["parameters"] = integer(found[1]), number
    if found := WORLD.search(line):
        run.world_size, run.lines["world_size"] = int(found[1]), number
    if found := BATCH_TOKENS.search(line):
        run.batch_tokens = integer(found[1])
    if found := WALL.search(line):
        run.wallclock_limit, run.lines["wallclock_limit"] = float(found[1]), number
    if (found := TOKENS.search(line)) and integer(found[1]) > (run.validation_tokens or 0):  # fewer are a proxy's
        run.validation_tokens, run.lines["validation_tokens"] = integer(found[1]), number
    run.adapts_in_windows |= bool(ADAPTED_IN_WINDOWS.match(line))
    if found := TRAIN_SHARDS.search(line):
        run.train_shards = int(found[1])
    if not is_code and (found := GPU.search(line)):
        run.gpus.add(found[1].strip())
    if (found := SETTING.match(line)) and not SEED_SPECIFIC.fullmatch(found[1]):
        run.settings[found[1]] = found[2].strip()


def record_seed(run: LoggedRun, line: str, number: int) -> None:
    """Record the first seed that a run prints, or that of a banner between runs."""
    if banner := BANNER.match(line):
        run.seed, run.seed_line = int(banner[1]), number
    elif run.seed is None and CODE_LINE.search(line) is None and (seed := logged_seed(line)) is not None:
        run.seed, run.seed_line = seed, number


def logged_seed(line: str) -> int | None:
    """Return the seed of a run that a line gives as a setting.

    Assignments in indented code, arguments in a signature and what a component says of itself in brackets are none.
    """
    found = SEED_LINE.search(line)
    if found is None:
        return None
    before, after = line[: found.start()], line[found.end() :]
    is_bracketed = before.count("(") > before.count(")") or after.count(")") > after.count("(")
    is_assigned = line[0].isspace() and "=" in found[0]
    is_other = OTHER_SEED.search(before) is not None
    return None if is_bracketed or is_assigned or is_other else int(found[1])
