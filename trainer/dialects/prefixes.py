"""Prefixes that launchers, loggers and log collectors put before the lines of a log."""

import re

# Stacked prefixes of one line, as in "service-1  | 2026-11-29T03:04:05Z [rank0]: step:1/20".
MAX_STACKED = 6

TIME_OF_DAY = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
ZONE = r"(?:Z|\s?[+-]\d\d:?\d\d|\sUTC)?"
MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
DATE = rf"(?:\d{{4}}[-/]\d\d[-/]\d\d|\d\d/\d\d/\d{{4}}|(?:\w{{3}},?\s)?{MONTH}\s{{1,2}}\d{{1,2}})"
# Seconds, milliseconds and nanoseconds since 1970, from 2014 to 2033.
EPOCH = r"1[4-9]\d{8}(?:\d{3}|\d{9})?(?:\.\d{1,9})?"
TIME = rf"(?:{DATE}[T\s]{TIME_OF_DAY}{ZONE}(?:\s\d{{4}}\b)?|{TIME_OF_DAY}{ZONE}|{EPOCH})"
LEVEL = r"(?:TRACE|DEBUG|INFO|NOTICE|SUCCESS|WARNING|WARN|ERROR|CRITICAL)"
NAME = r"[\w.<>/-]{1,80}(?::[\w.<>]{1,60}){0,2}"
# One space belongs to the prefix; more are the indentation of the line.
END = r"(?:\s?(?:-|\||>{1,2}|:)(?:\s|$)|\s|$)"

KINDS = (
    # ISO and syslog times, with what collectors put behind them: a host and a process, or a stream.
    rf"{TIME}\s(?:\S{{1,80}}\s)?[\w./()-]{{1,80}}\[[\w.-]{{1,20}}\]:(?:\s|$)",
    rf"{TIME}\sstd(?:out|err)\s[FP](?:\s|$)",
    rf"<\d{{1,3}}>1\s{TIME}\s\S{{1,80}}\s\S{{1,80}}\s\S{{1,20}}\s\S{{1,40}}\s-(?:\s|$)",
    r"\[\s{0,8}\d{1,9}\.\d{3,6}\]\s(?:\S{1,80}\s[\w./-]{1,80}\[\d{1,10}\]:\s)?",
    # GitHub's command line: job, step and time in columns.
    rf"[^\t]{{1,80}}\t[^\t]{{1,80}}\t\ufeff?(?={TIME}\s)",
    # Python's logging with a time, in the orders of its documentation, of loguru and of Hydra.
    rf"{TIME}\s-\s(?:{NAME}\s-\s{LEVEL}|{LEVEL}\s-\s{NAME}|{LEVEL})\s{{0,8}}\s-(?:\s|$)",
    rf"{TIME}\s\|\s{LEVEL}\s{{0,8}}\s\|\s(?:{NAME}\s-(?:\s|$))?",
    rf"\[{TIME}\](?:\[{NAME}\]){{0,2}}\[{LEVEL}\s{{0,4}}\](?:\[{NAME}\])?{END}",
    rf"\[{LEVEL}\|{NAME}\]\s{TIME}\s>>\s?",
    rf"[IWEFCD]\d{{4}}\s{TIME_OF_DAY}\s{{1,8}}\d{{1,10}}\s[\w./-]{{1,200}}:\d{{1,6}}\]\s?",
    # A time alone.
    rf"[\[(<]{TIME}[\])>]{END}?",
    rf"{TIME}{END}",
    # A level alone. Formatters pad it to eight characters.
    rf"\[{LEVEL}\s{{0,4}}\]{END}?",
    rf"{LEVEL}:(?:root|__main__|__mp_main__|\w{{1,40}}\.[\w.]{{1,60}}):",
    rf"{LEVEL}(?:\s{{4,5}}|\s{{0,4}}\s(?:-|\|)\s|:\s?|\s)(?:__main__\s?[:-]\s)?",
    # Ranks: torchrun, Lightning, mpirun, srun -l. A number with decimals after "42: " is a result, not a line.
    r"\[default\d{1,5}\]:",
    r"\[(?:rank|Rank|RANK|local_rank)[\s:=]{0,2}\d{1,5}\]:?\s?",
    r"\[\d{1,3},\d{1,5}\]<std(?:out|err)>:\s?",
    r"\[\d{1,4}\](?::\s?|\s)",
    r"(?:rank|Rank|RANK)\s?\d{1,5}:\s",
    r"\s{0,3}\d{1,4}:\s(?!\s*[-+]?\d{1,3}\.\d)",
    # Ray and SkyPilot.
    r"\((?:pid=\d{1,10}|[\w.:-]{1,80}(?=,?\s(?:rank|pid|ip|node|node_id)=))"
    r"(?:,?\s(?:rank|pid|ip|node|node_id)=[\w.:-]{1,60}){0,5}\)\s?",
    r"wandb:\s",
    # Compose, swarm and kubectl.
    r"[A-Za-z][\w.-]{0,60}[-_]\d{1,3}\s{2,60}\|(?:\s|$)",
    r"[\w.-]{1,100}@[\w.-]{1,80}\s{1,60}\|(?:\s|$)",
    r"\[pod/[^\]\s]{1,200}\]\s?",
    # A progress bar of tqdm that was on the screen when the line was printed.
    r"(?:[^|%]{0,60}:\s)?\s{0,3}\d{1,3}%\|[^|]{0,200}\|\s\d[^\[\]]{0,40}\[[^\]]{0,80}\](?=\S)",
)
LINE_PREFIX = re.compile("|".join(KINDS))


def without_prefix(line: str) -> str:
    """Return a line without the prefixes before it, with its indentation."""
    start = 0
    for _ in range(MAX_STACKED):
        found = LINE_PREFIX.match(line, start)
        if found is None:
            break
        start = found.end()
    return line[start:]
