"""Untrusted text made safe to print: without terminal escapes, and log lines without logger prefixes."""

import re

# Longer lines are cut: one public log has a line of 200,000 characters, a dumped source.
MAX_LINE_CHARACTERS = 2_000
DAY = r"\d{4}[-/]\d\d[-/]\d\d"
TIME_OF_DAY = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
LEVEL = r"(?:TRACE|DEBUG|INFO|SUCCESS|WARNING|WARN|ERROR|CRITICAL)"
NAME = r"(?:root|__main__|train\w{0,30})"
PREFIXES = (
    # logging, journald, GitHub Actions, and all who write ISO times
    rf"\[?{DAY}[T ]{TIME_OF_DAY}(?:Z|[ ]?[+-]\d\d:?\d\d)?\]?[ ]?",
    rf"\[{TIME_OF_DAY}\][ ]?|{TIME_OF_DAY}[ ]",
    r"1[5-9]\d{8}(?:\.\d{1,9})?[ ]",  # seconds since 1970
    r"[A-Z][a-z]{2}[ ]{1,2}\d{1,2}[ ]\d\d:\d\d:\d\d[ ][\w.-]{1,64}[ ][\w./-]{1,64}(?:\[\d{1,9}\])?:[ ]?",  # syslog
    r"[\w.-]{1,64}[ ][\w./-]{1,64}\[\d{1,9}\]:[ ]?",  # what journald writes after an ISO time
    # SkyPilot and Ray: (task, pid=1), (head, rank=0, pid=1), (Worker pid=1, ip=10.0.0.1)
    r"\((?:[\w./-]{1,64},?[ ]){0,3}(?:rank|pid|ip)=[\w.:-]{1,64}(?:,[ ](?:rank|pid|ip)=[\w.:-]{1,64}){0,3}\)[ ]?",
    r"\[default\d{1,4}\]:|\[(?:rank|local_rank)[ ]?\d{1,4}\]:?[ ]?",  # torchrun
    r"\[pod/[\w./-]{1,200}\][ ]?",  # kubectl
    r"[ ]{0,3}\d{1,4}:[ ](?=\D|\d{1,12}/)",  # srun --label
    r"wandb:[ ]?",
    r"[\w.-]{1,64}(?:[-_]\d{1,4}[ ]{1,32}|[ ]{2,32})\|[ ]",  # docker compose
    rf"\[{LEVEL}\]:?[ ]?(?:-[ ])?|{LEVEL}:{NAME}:|{LEVEL}:[ ]?|{LEVEL}[ ](?:-[ ])?",
    rf"-[ ](?:[\w.]{{1,64}}[ ]-[ ])?{LEVEL}[ ]-[ ](?:{NAME}[ ]-[ ])?",
    rf"\|[ ]{LEVEL}[ ]{{1,5}}\|[ ](?:[\w.]{{1,64}}:[\w<>]{{1,64}}:\d{{1,6}}[ ]-[ ])?",  # loguru
)
"""What launchers and loggers print before each line; several may follow each other."""
LOGGER_PREFIX = re.compile(f"^(?:{'|'.join(PREFIXES)}){{1,6}}")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class TooLong(ValueError):
    """A file that is larger than any log can be."""


def plain(words: str) -> str:
    """Return untrusted text without terminal escapes and control characters."""
    return ESCAPES.sub("", words)


def plain_line(line: str) -> str:
    """Return a log line without escapes and logger prefix, cut to MAX_LINE_CHARACTERS."""
    return LOGGER_PREFIX.sub("", plain(line[:MAX_LINE_CHARACTERS]))
