"""What each command with a table prints at 80 and at 140 columns, character by character.

`PGOLF_GOLDEN=write` in the environment of pytest writes the files of `golden/` again; look at them before a commit.
"""

import fcntl
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from pgolf.cli.compare import compare
from pgolf.cli.display.console import answer_console
from pgolf.cli.display.groups import print_groups
from pgolf.cli.display.search import show_search
from pgolf.cli.launchers import launchers
from pgolf.cli.preflight import print_notable, print_preflight, print_summary
from pgolf.cli.status import status_table
from pgolf.findings import Finding
from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.duration import DurationEstimate
from pgolf.preflight.preflight import Preflight
from pgolf.report.groups import group_runs, runs_below
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.rundir import find_runs
from pgolf.search.ledger import read_ledger
from pgolf.specs.loading import load_spec, load_specs
from tests.pgolf.report.builders import LIMIT, result_of, write_points, write_run, write_seeds

GOLDEN = Path(__file__).parent / "golden"
FROZEN = Path(__file__).parents[2] / "frozen" / "0.1.0"


def show_report(place: Path) -> None:
    """Print finished runs of three experiments: three seeds, a seed over the limit, a sweep of keys with long names."""
    write_seeds(place / "runs", {1337: 1.2345678901, 42: 1.25, 2024: 1.1999})
    heavy = {"model_bytes": LIMIT, "code_bytes": 3, "total_bytes": LIMIT + 3, "limit_bytes": LIMIT}
    other = result_of(7, 1.3, name="heavy_crawler_with_a_long_name", spec_sha256="e" * 64, artifact=heavy)
    write_run(place / "runs/heavy-eeeeeeee/seed-7", other)
    print_groups(group_runs(runs_below([place / "runs"])), answer_console())


def show_seeds(place: Path) -> None:
    """Print seeds of a sweep whose names differ in the middle only."""
    points = [
        {"recipe.optimizer.matrix_lr": rate, "recipe.optimizer.weight_decay": 0.085, "recipe.schedule.fraction": share}
        for rate in (0.021, 0.022)
        for share in (0.6, 0.7)
    ]
    write_points(place / "runs", points, seeds=(42, 1337))
    print_groups(group_runs(runs_below([place / "runs"])), answer_console())


def show_status(place: Path) -> None:
    """Print a finished run, one that failed with a long reason, and one that was never started."""
    write_seeds(place / "runs", {1337: 1.2345678901})
    failed = write_run(place / "runs/pr1579_crawler_d736_corrected-0123abcd/seed-2024", None, launcher="ssh")
    state = {"phase": "failed", "step": 1200, "total": 6042, "train_loss": 3.1415, "train_bpb": 1.2345}
    state |= {"elapsed_seconds": 812.4, "exit_code": 6}
    state["error"] = "out of memory; try a smaller recipe.schedule.micro_batch_tokens. Tried to allocate 2.00 GiB"
    failed.files.state.write_text(json.dumps(state))
    write_run(place / "runs/pr1579_crawler_d736_corrected-0123abcd/seed-42", None, launcher="ssh")
    answer_console().print(status_table(find_runs(place / "runs")))


def show_compare(place: Path) -> None:
    """Print two points of a sweep, three seeds each."""
    write_points(place / "runs", [{"recipe.optimizer.matrix_lr": 0.02}, {"recipe.optimizer.matrix_lr": 0.03}])
    compare("matrix_lr=0.02", "matrix_lr=0.03", runs_dir=place / "runs")


def made_preflight(findings: list[Finding]) -> Preflight:
    """Return a preflight of the quickstart with some findings."""
    return Preflight(
        spec=load_spec("quickstart").spec,
        ruleset=load_ruleset("parameter_golf"),
        findings=findings,
        located=None,
        code_sha256="c" * 64,
        code_bytes=25_416,
        code_basis="train_gpt.py",
        libraries=("numpy", "torch"),
        own_files={},
        groups={"embedding": 131_072, "attention": 262_144, "control": 2_320, "mlp": 393_216},
        model_bytes=ByteEstimate(367_241, 323_172, 385_603, "Huffman length"),
        duration=DurationEstimate(70.0, 6.0, "assumed 8.0e+10 flop/s on 2 CPU cores, not measured", steps=1000),
    )


def show_preflight(place: Path) -> None:
    """Print a preflight with a finding of each severity."""
    findings = [
        Finding(
            "pass",
            "artifact_size",
            "398,325 bytes predicted (354,256 to 416,687), limit 16,000,000; Huffman length of Gaussian rows, "
            "calibrated on public runs",
        ),
        Finding(
            "warn",
            "schedule",
            "momentum warms up over 100 steps, but the run has only 12",
            "--set recipe.optimizer.momentum.warmup_steps=3",
        ),
        Finding(
            "fail",
            "training_clock",
            "predicted 1,204 s of training, the rules allow 600 s on 8xH100 SXM",
            "lower recipe.budget.train",
        ),
        Finding("unknown", "device", "the machine was not asked"),
    ]
    print_preflight(made_preflight(findings))


def show_preflights(place: Path) -> None:
    """Print the preflight of the points of a sweep."""
    text = "extends: quickstart\nname: rates\nsweep: {kind: grid, values: {recipe.optimizer.matrix_lr: [0.01, 0.02]}}\n"
    (place / "sweep.yaml").write_text(text)
    names = [each.name for each in load_specs("sweep.yaml", ["micro"])]
    warning = Finding("warn", "schedule", "momentum warms up over 100 steps, but the run has only 12")
    known = [made_preflight([]), made_preflight([warning])]
    print_summary(names, known)
    for name, found in zip(names, known, strict=True):
        print_notable(name, found)


def show_searched(place: Path) -> None:
    """Print the ranking of a search of an earlier release."""
    for name in ("search.yaml", "runs/frozen.search/ledger.yaml"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(FROZEN / name, place / name)
    search = load_spec("search.yaml", ["micro"]).search
    assert search is not None
    show_search(search, read_ledger(Path("runs/frozen.search/ledger.yaml")), "the budget is spent", False)


SHOWN: dict[str, Callable[[Path], None]] = {
    "report": show_report,
    "seeds": show_seeds,
    "status": show_status,
    "compare": show_compare,
    "preflight": show_preflight,
    "preflights": show_preflights,
    "search": show_searched,
    "launchers": lambda _: launchers(),
}


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("name", SHOWN)
def test_a_table_is_printed_as_it_should_be(
    name: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir(tmp_path)
    SHOWN[name](tmp_path)
    shown = capsys.readouterr().out
    file = GOLDEN / f"{name}-{width}.txt"
    if os.environ.get("PGOLF_GOLDEN") == "write":
        file.write_text(shown, encoding="utf-8")
    assert shown == file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "command", [("report",), ("status", "--offline"), ("compare", "matrix_lr=0.0353845", "matrix_lr=0.0261229")]
)
def test_nothing_is_wider_than_a_terminal(command: tuple[str, ...], tmp_path: Path) -> None:
    shutil.copytree(FROZEN / "runs", tmp_path / "runs")
    reader, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment["TERM"] = "xterm"
    process = subprocess.Popen(
        [sys.executable, "-m", "pgolf", *command],
        cwd=tmp_path, env=environment, stdin=terminal, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    while chunk := read_or_end(reader):
        shown += chunk
    assert process.wait(60) == 0, shown
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert any(cell_len(line) > 60 for line in lines)


def read_or_end(file: int) -> bytes:
    """Return what a terminal shows next; nothing after its last program has ended, which Linux reports as an error."""
    try:
        return os.read(file, 1 << 16)
    except OSError:
        return b""
