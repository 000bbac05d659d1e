"""Records changed in ways that do not change what they say: the same numbers, or `ambiguous`, and no untrue failure."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import pytest

from pgolf.records.groups import record_groups
from pgolf.rulesets.ruleset import load_ruleset
from tests.pgolf.records.conftest import RECORDS

RULES = load_ruleset("parameter_golf")
NAMES = sorted(path.name for path in RECORDS.iterdir() if path.is_dir()) if RECORDS.is_dir() else []
# In the default run: logs with one evaluation, and logs with two evaluations of several labels.
QUICK = {"1529-improved-parresid", "576-train-larger-int5"}
LOGS = (".log", ".txt")
SCORE = re.compile(r"((?:val_loss|bpb)(?: \([\w ]*\))?\s*[:=]\s*)(\d\.\d+)", re.IGNORECASE)
SEED_LINE = re.compile(r"^\s*seed\s*[:=].*\n", re.MULTILINE)

DUMP = '''"""
Train a small model. Reaches val_bpb: 0.9876 (3-seed mean) on one machine.

seed: 4711
final_int8_zlib_roundtrip_exact val_loss:1.50000000 val_bpb:0.91234567
Total submission size int8+zlib: 17654321 bytes
"""
from __future__ import annotations

import os
import numpy as np

SEED = int(os.environ.get("SEED", 4711))
seed = 0
val_bpb = 0.9
total_bytes = 17654321

class Hyperparameters:
    seed = 5
    seed: int = 5
    max_wallclock_seconds: float = 60.0
    model_params: 12


def evaluate(
    model,
    seed=7,
    val_bpb=0.95,
) -> None:
    """Score the model.

    best bpb: 0.9543
    seed: 8
    """
    log0(f"final_exact val_loss:{loss:.8f} val_bpb:{bpb:.8f}")
    # final_ttt_exact val_loss:1.60000000 val_bpb:0.95000000
    print("Total submission size: 17000000 bytes")


if __name__ == "__main__":
    main()
'''


@dataclass(frozen=True)
class Lead:
    """What a reader takes from a record."""

    mean: float | None
    seeds: dict[int | None, float]
    total_bytes: dict[int | None, int | None]
    fails: frozenset[str]
    said: dict[str, str]
    """The message of each problem."""
    is_ambiguous: bool

    @property
    def rules(self) -> frozenset[str]:
        return frozenset(self.said)

    @property
    def numbers(self) -> tuple[object, ...]:
        return (
            None if self.mean is None else round(self.mean, 9),
            self.seeds,
            self.total_bytes,
        )


def lead_of(folder: Path) -> Lead:
    groups = [group.as_json() for group in record_groups(folder, RULES)]
    first = groups[0]
    found = [problem for each in (first, *first["seeds"]) for problem in each["problems"]]
    return Lead(
        first["mean"],
        {row["seed"]: row["val_bpb"] for row in first["seeds"]},
        {row["seed"]: row["total_bytes"] for row in first["seeds"]},
        frozenset(problem["rule"] for problem in found if problem["status"] == "fail"),
        {problem["rule"]: problem["message"] for problem in found},
        bool(first["ambiguous"]),
    )


Texts = dict[str, str]
Change = Callable[[Texts, Random], Texts]


def in_each(change: Callable[[str, Random], str]) -> Change:
    """Return the change of a folder that changes the text of each log."""
    return lambda logs, random: {name: change(text, random) for name, text in logs.items()}


def with_dump_before(text: str, _: Random) -> str:
    return f"{DUMP}{'=' * 100}\n{text}"


def with_dump_after(text: str, _: Random) -> str:
    return f"{text.rstrip()}\n{DUMP}"


def with_dump_inside(text: str, _: Random) -> str:
    """Return the text with the dump before its first training step, where no block of settings is split."""
    lines = text.splitlines(keepends=True)
    place = next((n for n, line in enumerate(lines) if re.match(r"\s*(?:step\s*:?\s*)?\d+/\d+", line)), len(lines) // 2)
    return "".join([*lines[:place], DUMP, *lines[place:]])


def with_clock(text: str, _: Random) -> str:
    lines = text.splitlines()
    return "".join(f"2026-04-02T10:{n // 60 % 60:02}:{n % 60:02}.5Z [rank0]: {line}\n" for n, line in enumerate(lines))


def worse(text: str, random: Random) -> str:
    """Return a log of another experiment: all its scores are higher."""
    more = random.uniform(1.011, 1.03)
    return SCORE.sub(lambda found: f"{found[1]}{float(found[2]) * more:.{len(found[2]) - 2}f}", text)


def renamed(pattern: str) -> Change:
    return lambda logs, _: {
        pattern.format(number=len(logs) - n, name=name): text for n, (name, text) in enumerate(sorted(logs.items()))
    }


def with_invented_names(logs: Texts, random: Random) -> Texts:
    """Return the logs under names with words of their own, as trackers invent them."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return {f"{''.join(random.choices(letters, k=8))}-{Path(name).name}": text for name, text in logs.items()}


def beside(prefix: str) -> Change:
    return lambda logs, random: logs | {f"{prefix}{name}": worse(text, random) for name, text in logs.items()}


def with_copy_without_seed(logs: Texts, random: Random) -> Texts:
    name = random.choice(sorted(logs))
    return logs | {"console.txt": SEED_LINE.sub("", logs[name])}


def in_one_file(logs: Texts, _: Random) -> Texts:
    """Return one log with all runs; a seed that only the name of a log had is a line of it."""
    texts = []
    for name, text in sorted(logs.items()):
        named = re.search(r"seed_?(\d+)", name)
        line = "" if named is None or re.search(r"\bseed\s*[:=]", text, re.IGNORECASE) else f"seed:{named[1]}\n"
        texts.append(line + text.rstrip() + "\n")
    return {"all.log": "".join(texts)}


def with_another_run_appended(logs: Texts, random: Random) -> Texts:
    return {name: text.rstrip() + "\n" + worse(text, random) for name, text in logs.items()}


def with_quoted_scores(text: str, _: Random) -> str:
    quoted = (
        "baseline val_loss:2.07269931 val_bpb:1.22436570\n"
        "leaderboard val_bpb: 0.9810\n"
        "3-seed mean val_bpb: 1.0702 std: 0.0004\n"
        "final val_bpb: 1.0902 -> 1.0802\n"
        "Total submission size limit: 16000000 bytes\n"
    )
    return text.rstrip() + "\n" + quoted


CHANGES: dict[str, Change] = {
    "dump before": in_each(with_dump_before),
    "dump after": in_each(with_dump_after),
    "dump inside": in_each(with_dump_inside),
    "clock before every line": in_each(with_clock),
    "quoted scores": in_each(with_quoted_scores),
    "files in another order": renamed("{number}_{name}"),
    "invented names": with_invented_names,
    "files in a subfolder": renamed("logs/{name}"),
    "a folder for each file": renamed("logs/{number}/{name}"),
    "baseline beside": beside("baseline_"),
    "older version in a subfolder": beside("v1_logs/"),
    "ablation beside": beside("zz_ablation_"),
    "copy without seed": with_copy_without_seed,
    "another run appended": with_another_run_appended,
    "all runs in one file": in_one_file,
}


def read_logs(folder: Path) -> Texts:
    """Return the text of each log at the top of a folder, by name."""
    return {
        path.name: path.read_bytes().decode("utf-16" if path.read_bytes()[:1] in (b"\xff", b"\xfe") else "utf-8")
        for path in sorted(folder.iterdir())
        if path.suffix in LOGS
    }


def changed_folder(folder: Path, new: Path, logs: Texts) -> Path:
    """Copy a folder with other logs."""
    shutil.copytree(folder, new, ignore=lambda _, names: [name for name in names if Path(name).suffix in LOGS])
    for name, text in logs.items():
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).write_text(text)
    return new


def assert_same(before: Lead, after: Lead) -> None:
    """Assert that a record says the same as before, or that it is ambiguous; and that nothing more fails."""
    assert after.is_ambiguous or after.numbers == before.numbers
    assert after.fails <= before.fails


def unchanged_cases() -> Iterator[Any]:
    for name in NAMES or ["none"]:
        marks = [] if name in QUICK or name == "none" else [pytest.mark.slow]
        for change in CHANGES:
            yield pytest.param(name, change, marks=marks)


@pytest.mark.parametrize(("name", "change"), list(unchanged_cases()))
def test_a_changed_public_record_says_the_same(
    public_record: Callable[[str], Path], tmp_path: Path, name: str, change: str
) -> None:
    folder = public_record(name)
    logs = CHANGES[change](read_logs(folder), Random(name))
    assert_same(lead_of(folder), lead_of(changed_folder(folder, tmp_path / name, logs)))


def invented(random: Random, seeds: int = 3) -> Texts:
    """Return the logs of an invented record, all of its numbers drawn."""
    logs = {}
    start, model, code = (
        random.uniform(1.05, 1.2),
        random.randint(15_000_000, 15_800_000),
        random.randint(50_000, 90_000),
    )
    for seed in random.sample(range(1, 10_000), seeds):
        bpb = start + random.uniform(-0.001, 0.001)
        size = model + random.randint(-2_000, 2_000)
        logs[f"train_seed{seed}.log"] = "\n".join(
            [
                "model_params:26928220",
                "world_size:8 grad_accum_steps:1",
                f"seed:{seed}",
                f"step:200/20000 train_loss:{random.uniform(2, 3):.4f} train_time:8700ms step_avg:43.50ms",
                f"stopping_early: wallclock_cap train_time:{random.randint(599_000, 599_990)}ms step:7180/20000",
                f"Serialized model int8+zlib: {size} bytes",
                f"Code size: {code} bytes",
                f"Total submission size int8+zlib: {size + code} bytes",
                f"final_int8_zlib_roundtrip_exact val_loss:{1.7 * bpb + 0.03:.8f} val_bpb:{bpb + 0.02:.8f}",
                f"legal_ttt_exact val_loss:{1.7 * bpb:.8f} val_bpb:{bpb:.8f}",
                "",
            ]
        )
    return logs


def printed(text: str) -> tuple[int, float, int]:
    """Return the seed, the last score and the total of an invented log."""
    (seed,) = re.findall(r"^seed:(\d+)", text, re.MULTILINE)
    (total,) = re.findall(r"^Total submission size int8\+zlib: (\d+)", text, re.MULTILINE)
    return int(seed), float(re.findall(r"val_bpb:([\d.]+)", text)[-1]), int(total)


def expected_lead(logs: Texts, fails: frozenset[str] = frozenset()) -> Lead:
    rows = [printed(text) for text in logs.values()]
    mean = fmean(bpb for _, bpb, _ in rows)
    return Lead(mean, {row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows}, fails, {}, False)


def claims_of(logs: Texts, decimals: int) -> str:
    rows = [printed(text) for text in logs.values()]
    results = {str(seed): {"val_bpb": round(bpb, decimals)} for seed, bpb, _ in rows}
    mean = round(fmean(bpb for _, bpb, _ in rows), decimals)
    return json.dumps({"val_bpb": mean, "seed_results": results, "seeds": [row[0] for row in rows]})


def write_record(folder: Path, logs: Texts, claims: str) -> Path:
    for name, text in logs.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "submission.json").write_text(claims)
    return folder


@pytest.mark.parametrize("claimed_decimals", [8, 4, None])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_invented_record_says_what_its_logs_print(
    tmp_path: Path, change: str, claimed_decimals: int | None
) -> None:
    random = Random(f"{change} {claimed_decimals}")
    logs = invented(random)
    claims = "{}" if claimed_decimals is None else claims_of(logs, claimed_decimals)
    folder = write_record(tmp_path / "record", CHANGES[change](logs, random), claims)
    assert_same(expected_lead(logs), lead_of(folder))


@pytest.mark.parametrize("number", [0, 1, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 200))])
def test_a_record_changed_in_several_ways_says_what_its_logs_print(tmp_path: Path, number: int) -> None:
    random = Random(number)
    logs = changed = invented(random)
    decimals = random.choice([8, 6, 4, None])
    claims = "{}" if decimals is None else claims_of(logs, decimals)
    for name in random.sample(sorted(CHANGES), random.choice([2, 3])):
        changed = CHANGES[name](changed, random)
    assert_same(expected_lead(logs), lead_of(write_record(tmp_path / "record", changed, claims)))


@pytest.mark.parametrize("claimed_decimals", [8, 6])
def test_a_missing_log_is_one_seed_less_and_nothing_else(tmp_path: Path, claimed_decimals: int) -> None:
    logs = invented(Random(claimed_decimals), seeds=4)
    claims = claims_of(logs, claimed_decimals)
    whole = lead_of(write_record(tmp_path / "whole", logs, claims))
    name, text = sorted(logs.items())[1]
    left = {other: text for other, text in logs.items() if other != name}
    found = lead_of(write_record(tmp_path / "left", left, claims))
    assert found.numbers == expected_lead(left).numbers
    assert found.rules - whole.rules == {"missing_seed_log"}
    assert str(printed(text)[0]) in found.said["missing_seed_log"]


@pytest.mark.parametrize("claimed_decimals", [8, None])
def test_a_later_evaluation_of_a_label_counts_where_no_claim_names_the_earlier(
    tmp_path: Path, claimed_decimals: int | None
) -> None:
    logs = invented(Random(3))
    claims = "{}" if claimed_decimals is None else claims_of(logs, claimed_decimals)
    again = {name: text + worse(text.splitlines()[-1], Random(name)) + "\n" for name, text in logs.items()}
    for places in ("appended", "beside"):
        changed = (
            again
            if places == "appended"
            else logs
            | {
                f"eval_seed{printed(text)[0]}.log": f"seed:{printed(text)[0]}\n{text.splitlines()[-1]}\n"
                for text in again.values()
            }
        )
        found = lead_of(write_record(tmp_path / places, changed, claims))
        assert (
            found.is_ambiguous
            or found.numbers[1:] == expected_lead(again if claimed_decimals is None else logs).numbers[1:]
        )
        assert not found.fails
