"""Logs as launchers, loggers and containers keep them: each is read like the log without them."""

import gzip
import json
import re
import shutil
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pgolf.records.folder import log_files
from pgolf.records.groups import record_groups
from pgolf.records.logs import read_log, runs_in
from pgolf.rulesets.ruleset import load_ruleset
from tests.pgolf.records.conftest import RECORDS
from tests.pgolf.records.test_logs import MINUTES, OWN, log_of
from trainer.dialects.lines import plain_lines

Record = Callable[[str], Path]
RULES = load_ruleset("parameter_golf")
NAMES = sorted(path.name for path in RECORDS.iterdir() if path.is_dir()) if RECORDS.is_dir() else []
SAMPLE = [name for name in ("1529-improved-parresid", "1738-prequant-ttt-caseops") if name in NAMES]

# "{second}" is a number of two digits that changes from line to line.
PREFIXES = {
    "skypilot": "(task, pid=4242) ",
    "skypilot ranks": "(head, rank=0, pid=4242) ",
    "skypilot nodes": "(worker1, rank=1, pid=4242, ip=10.0.0.2) ",
    "ray": "(RayTrainWorker pid=4242, ip=10.0.0.2) ",
    "srun": "0: ",
    "srun of many": " 7: ",
    "torchrun": "[default0]:",
    "torchrun rank": "[rank0]:",
    "traceback rank": "[rank0]: ",
    "lightning": "[rank: 0] ",
    "mpirun": "[1,0]<stdout>: ",
    "wandb": "wandb: ",
    "compose": "service-1  | ",
    "old compose": "trainer_1   | ",
    "swarm": "train.1.k3j4h5@node-7    | ",
    "syslog": "Nov 29 03:04:{second} host train[12]: ",
    "syslog without a process": "Nov  9 03:04:{second} host train: ",
    "syslog protocol": "<13>1 2026-11-29T03:04:{second}.123Z host train 12 - - ",
    "journald short-iso": "2026-11-29T03:04:{second}+0000 host train[12]: ",
    "journald monotonic": "[ 1234.5678{second}] host train[12]: ",
    "heroku": "2026-11-29T03:04:{second}.123456+00:00 app[web.1]: ",
    "kubectl": "[pod/train-0/main] ",
    "kubectl timestamps": "[pod/train-0/main] 2026-11-29T03:04:{second}.123456789Z ",
    "container runtime": "2026-11-29T03:04:{second}.123456789Z stdout F ",
    "github actions": "2026-11-29T03:04:{second}.1234567Z ",
    "github command line": "train (8)\tRun training\t2026-11-29T03:04:{second}.1234567Z ",
    "logging": "2026-11-29 03:04:{second},123 - INFO - train - ",
    "logging of the documentation": "2026-11-29 03:04:{second},123 - train.loop - INFO - ",
    "logging without a name": "2026-11-29 03:04:{second},123 - INFO - ",
    "logging in columns": "2026-11-29 03:04:{second},123 INFO     ",
    "basic logging": "INFO:root:",
    "basic logging of a module": "INFO:__main__:",
    "basic logging of a script": "INFO:train_gpt:",
    "brackets": "[2026-11-29 03:04:{second}][INFO] ",
    "hydra": "[2026-11-29 03:04:{second},123][__main__][INFO] - ",
    "transformers": "[INFO|trainer.py:123] 2026-11-29 03:04:{second},123 >> ",
    "accelerate": "11/29/2026 03:04:{second} - INFO - __main__ - ",
    "glog": "I1129 03:04:{second}.123456 4242 train.py:123] ",
    "loguru": "2026-11-29 03:04:{second}.123 | INFO     | train:main:12 - ",
    "epoch": "17761435{second}.630 ",
    "epoch in brackets": "[17761435{second}] ",
    "time": "03:04:{second} ",
    "time in brackets": "[03:04:{second}] ",
    "ts": "Nov 29 03:04:{second} ",
    "level": "[INFO] ",
    "stacked": "service-1  | 2026-11-29T03:04:{second}Z [default0]:[INFO] ",
    "unknown": "gpu-box/train#7 {second}> ",
    "unknown with a name": "trainer  | ",
    "unknown host": "node-a: ",
}


def prefixed(text: str, prefix: str) -> str:
    return "".join(
        f"{prefix.format(second=10 + number % 50)}{line}\n" for number, line in enumerate(text.split("\n")[:-1])
    )


def prefixed_bytes(text: str, prefix: str) -> bytes:
    return prefixed(text, prefix).encode()


def as_json_lines(text: str, key: str, end: str, **more: str) -> str:
    return "".join(json.dumps({key: line + end, **more}) + "\n" for line in text.split("\n")[:-1])


def as_notebook(text: str, indent: int | None = 1) -> str:
    stream = {"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}
    source = {"cell_type": "markdown", "metadata": {}, "source": ["val_loss:1.0 val_bpb:0.5"]}
    cell = {"cell_type": "code", "execution_count": 1, "metadata": {}, "outputs": [stream], "source": ["train()"]}
    return json.dumps({"cells": [source, cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=indent)


CONTAINERS: dict[str, Callable[[str], bytes]] = {
    "gzip with a plain name": lambda text: gzip.compress(text.encode(), 1),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16-le without a mark": lambda text: text.encode("utf-16-le"),
    "utf-16-be without a mark": lambda text: text.encode("utf-16-be"),
    "utf-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "carriage returns": lambda text: text.replace("\n", "\r\n").encode(),
    "carriage returns alone": lambda text: text.replace("\n", "\r").encode(),
    "progress": lambda text: text.replace("\n", "\n 10%|#    | 1/10\r 50%|##   | 5/10\r").encode(),
    "colours": lambda text: text.replace("\n", "\x1b[0m\x1b[K\n\x1b[1;32m").encode(),
    "titles": lambda text: text.replace("\n", "\n\x1b]0;train: step 3/4\x07").encode(),
    "backspaces": lambda text: text.replace("\n", "\n|\b/\b-\b").encode(),
    "tee'd twice": lambda text: "".join(f"{line}\n{line}\n" for line in text.split("\n")[:-1]).encode(),
    "two handlers": lambda text: "".join(
        f"{line}\n2026-11-29 03:04:05,123 - INFO - {line}\n" for line in text.split("\n")[:-1]
    ).encode(),
    "message": lambda text: as_json_lines(text, "message", "", level="info").encode(),
    "docker": lambda text: as_json_lines(text, "log", "\n", stream="stdout").encode(),
    "structlog": lambda text: as_json_lines(text, "event", "", timestamp="2026-11-29T03:04:05Z").encode(),
    "kaggle": lambda text: ("[" + as_json_lines(text, "data", "\n").rstrip("\n").replace("\n", "\n,") + "\n]").encode(),
    "compose of json": lambda text: prefixed(as_json_lines(text, "msg", ""), PREFIXES["compose"]).encode(),
    "notebook": lambda text: as_notebook(text).encode(),
    "notebook on one line": lambda text: as_notebook(text, None).encode(),
}
KINDS: dict[str, Callable[[str], bytes]] = {
    **{name: partial(prefixed_bytes, prefix=prefix) for name, prefix in PREFIXES.items()},
    **CONTAINERS,
}
# A place as in "train_seed42.log:17": the file of a notebook has other lines than its output.
PLACE = re.compile(r"(\.(?:log|txt)(?:\.gz)?):\d+")


def groups_in(folder: Path) -> str:
    """Return the groups of a record as text, without the places in files and what is said of encodings."""
    groups = [group.as_json() for group in record_groups(folder, RULES)]
    for group in groups:
        group["problems"] = sorted({problem["rule"] for problem in group["problems"]} - {"utf16_log"})
    return PLACE.sub(r"\1", json.dumps(without_lines(groups), sort_keys=True))


def differences(folder: Path, kinds: Iterable[str]) -> list[str]:
    """Return the kinds that change what is read of a record."""
    expected = groups_in(folder)
    texts = {path: text_of(path) for path in log_files(folder)}
    found = []
    for kind in kinds:
        for path, text in texts.items():
            path.write_bytes(KINDS[kind](text))
        if groups_in(folder) != expected:
            found.append(kind)
    return found


def text_of(path: Path) -> str:
    """Return the lines of a log without escapes and overwritten text, each with its end."""
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", errors="replace")
    return text.replace("\r\n", "\n").rstrip("\n") + "\n"


def without_lines(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_lines(each) for key, each in value.items() if key not in ("line", "text")}
    return [without_lines(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", SAMPLE or [None])
def test_prefixes_and_containers_change_nothing(public_record: Record, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(public_record(name), tmp_path / name))
    assert differences(folder, ["skypilot", "loguru", "epoch", "unknown", "docker", "notebook", "tee'd twice"]) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES or [None])
def test_every_prefix_and_container_changes_nothing(public_record: Record, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(public_record(name), tmp_path / name))
    assert differences(folder, KINDS) == []


def indented(line: str) -> str:
    """Return a line with one space as its indentation: torchrun prints "[rank0]:" with and without a space behind."""
    return re.sub(r"^\s+", " ", line)


@pytest.mark.parametrize("kind", [*KINDS])
@pytest.mark.parametrize("text", [MINUTES, OWN], ids=["minutes", "own"])
def test_the_lines_are_those_of_the_program(tmp_path: Path, text: str, kind: str) -> None:
    text = text.format(seed=42, loss=2.1, bpb=1.1) * 2
    path = tmp_path / "train.log"
    path.write_bytes(KINDS[kind](text))
    lines, numbers, _, _ = read_log(path)
    pairs = [
        (line, number) for line, number in zip(lines, numbers, strict=True) if line and "#" not in line and line != "]"
    ]
    assert [indented(line) for line, _ in pairs] == [indented(line) for line in text.splitlines()]
    if kind in PREFIXES or kind in ("message", "docker", "structlog", "utf-16", "carriage returns"):
        assert [number for _, number in pairs] == [*range(1, len(pairs) + 1)]


@pytest.mark.parametrize(
    "line",
    [
        "500/20000 train_loss: 3.0229 train_time: 0.8m",
        "step   100/7000 | loss 5.0926 | lr_mul 1.0000 | 154s",
        "seed: 42",
        "  matrix_lr: 0.02",
        "  seed: 42",
        "Seed: 42, Steps: 7000",
        "42: 1.0812",
        "sliding | 1.0812",
        "  ttt_chunk [101/1893] bpb=1.120690 time=22.0s",
        "[1/20] val_loss:2.1 val_bpb:1.1",
        "(rank=32, seed=42)",
        "final: val_loss:2.1 val_bpb:1.1",
        "int8+zlib: 15815847 bytes | code: 47642 | total: 15863489",
        "1893/1893 val_loss:2.1 val_bpb:1.1",
        "17059912 parameters",
        "INFORMATION gain 3",
        '{"step": 100, "train_loss": 3.2}',
        "{not json}",
    ],
)
def test_the_beginning_of_a_real_line_survives(line: str) -> None:
    assert plain_lines(line) == [line]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("eval 1/9\reval 2/9\rfinal val_loss:2.1 val_bpb:1.1\r", ["eval 2/9", "final val_loss:2.1 val_bpb:1.1"]),
        ("final val_loss:2.1 val_bpb:1.1\r 10%|#  | 1/9", ["final val_loss:2.1 val_bpb:1.1", " 10%|#  | 1/9"]),
        ("eval val_bpb:1.3\reval val_bpb:1.2\reval val_bpb:1.1", ["eval val_bpb:1.1"]),
        ("eval:  45%|####5     | 45/100 [00:10<00:12,  4.40it/s]final val_bpb:1.1", ["final val_bpb:1.1"]),
        ("val_bpb:1.3\b\b\b1.1", ["val_bpb:1.1"]),
        ("\x1b[2K\x1b[1Gstep:1/2\x1b[2K\x1b[1Gstep:2/2", ["step:2/2"]),
        ('{"message": "seed:1\\nstep:1/2"}', ["seed:1", "step:1/2"]),
        ('{"log": "[rank0]: \\u001b[32mseed:1\\u001b[0m\\r\\n", "stream": "stdout"}', ["seed:1"]),
        ("web-1  | 2026-11-29T03:04:05Z [rank0]: INFO:root:  seed: 1", ["  seed: 1"]),
        ("(a, pid=1) " * 3 + "x" * 5_000, ["x" * 2_000]),
    ],
)
def test_the_last_state_of_a_line_counts(raw: str, shown: list[str]) -> None:
    assert plain_lines(raw) == shown


def test_a_json_document_gives_its_named_result_and_not_the_log_that_it_quotes(tmp_path: Path) -> None:
    tail = "step:0/20000 val_loss:6.9305 val_bpb:4.1045\nfinal_int6_roundtrip_exact val_loss:1.9 val_bpb:1.14\n"
    document = {"status": "done", "log_tail": tail, "val_bpb": 1.1306, "artifact_bytes": 15923256, "seed": 42}
    path = tmp_path / "train.log"
    path.write_text(json.dumps(document, indent=1).replace("1.1306", "1.13060"))
    lines, numbers, _, _ = read_log(path)
    assert [*zip(numbers, lines, strict=True)] == [
        (4, "val_bpb: 1.13060"),
        (5, "artifact: 15923256 bytes"),
        (6, "seed: 42"),
    ]


def test_a_score_keeps_its_line_of_a_notebook(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(as_notebook(log_of("baseline", 42, 1.1)))
    ((run,), _, _) = runs_in(path, tmp_path)
    written = path.read_text().splitlines()
    assert "final_int8_zlib_roundtrip_exact" in written[run.scores[-1].line - 1]
    assert "seed:42" in written[run.seed_line - 1]
    assert "Total submission size int8" in written[run.sizes[-1].line - 1]


def test_a_line_that_is_printed_twice_by_the_program_stays(tmp_path: Path) -> None:
    text = log_of("baseline", 42, 1.1)
    path = tmp_path / "train.log"
    path.write_text(text + "again\nagain\n")
    assert read_log(path)[0] == [*text.splitlines(), "again", "again", ""]


@pytest.mark.parametrize(
    "raw",
    ["(" + "a" * 10**6, "a" * 10**6 + "\t", "\r" * 10**6, "\x08a" * 10**6, "[" * 10**6, "0: " * 10**5, " " * 10**6,
     "2026-11-29 03:04:05 " * 10**5, "{" * 10**6, "\x1b]" * 10**6, "10%|" * 10**5, "<1>1 " * 10**5],
    ids=range(12),
)  # fmt: skip
def test_a_hostile_line_is_read_at_once(raw: str) -> None:
    began = time.process_time()
    plain_lines(raw)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "name", ["train.out", "train.log.gz", "slurm-42.out.gz", "TRAIN.LOG", "stdout.jsonl", "run.ipynb"]
)
def test_a_log_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    text = log_of("baseline", 42, 1.1)
    form = {".jsonl": "message", ".ipynb": "notebook"}.get(Path(name).suffix)
    (tmp_path / name).write_bytes(CONTAINERS[form](text) if form else text.encode())
    (group,) = record_groups(tmp_path, RULES)
    assert [row.val_bpb for row in group.rows] == [1.1]
