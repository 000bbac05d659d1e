"""Plant a fault in each package, one at a time, and show which test of `make test` catches it.

`python -m benchmarks.planted_faults [NAME...]`: each fault is a small replacement in a copy of the tree. Only the tests
named beside it run, with the default markers. Exit code 1 if a fault is not caught or no longer applies, or if a
package has no fault.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAM = ("pgolf", "launchers", "trainer")
FOLDERS = (*PROGRAM, "experiments", "tests", "benchmarks", "docs")
FILES = ("pyproject.toml", "README.md", "spec.yaml")


@dataclass(frozen=True, slots=True)
class Fault:
    """A replacement that makes the program wrong, and the tests that should notice."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str
    """Files or folders, separated by spaces."""


FAULTS = (
    Fault(
        "total without the code bytes",
        "trainer/export.py",
        '"total_bytes": model_bytes + code_bytes}',
        '"total_bytes": model_bytes}',
        "tests/pgolf/bundle/test_submission.py",
    ),
    Fault(
        "last validation target dropped",
        "trainer/evaluation/windows.py",
        "length = min(recipe.window, targets - start)",
        "length = min(recipe.window, targets - 1 - start)",
        "tests/trainer/evaluation/test_windows.py",
    ),
    Fault(
        "quantizer off by one code",
        "trainer/quantizer/grid.py",
        ".round().clamp(-self.levels",
        ".floor().clamp(-self.levels",
        "tests/trainer/quantizer/test_rtn.py",
    ),
    Fault(
        "checkpoint checksum not compared",
        "trainer/runtime/checkpoint.py",
        "or content[len(MAGIC) : start] != hashlib.sha256(payload).digest()",
        "or False",
        "tests/trainer/runtime/test_checkpoint.py",
    ),
    Fault(
        "run lock shared instead of exclusive",
        "trainer/runtime/lock.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        "tests/trainer/runtime/test_lock.py",
    ),
    Fault(
        "artifact checksum not compared",
        "trainer/codec/container.py",
        "if hashlib.sha256(body).digest() != content[len(ARTIFACT_MAGIC) : start]:",
        "if False:",
        "tests/trainer/codec/test_container.py",
    ),
    Fault(
        "EMA decay applied to the wrong side",
        "trainer/averaging/ema.py",
        "share = 1.0 - self.decay if",
        "share = self.decay if",
        "tests/trainer/averaging",
    ),
    Fault(
        "spec hash ignores the data",
        "pgolf/specs/identity.py",
        'recipe_json(recipe) | {"data": data_sha256}), "ruleset"',
        'recipe_json(recipe) | {"data": None}), "ruleset"',
        "tests/pgolf/specs/test_identity.py",
    ),
    Fault(
        "overlays applied in reverse order",
        "pgolf/specs/loading.py",
        "for overlay in overlays:",
        "for overlay in reversed(overlays):",
        "tests/pgolf/specs/test_merging.py",
    ),
    Fault(
        "population deviation",
        "pgolf/statistics.py",
        "std = stdev(values)",
        "std = stdev(values) * sqrt((n - 1) / n)",
        "tests/pgolf/test_statistics.py",
    ),
    Fault(
        "limit exclusive",
        "pgolf/rulesets/limits.py",
        "- limit_bytes)",
        "- limit_bytes + 1)",
        "tests/pgolf/rulesets/test_limits.py",
    ),
    Fault(
        "failed check exits with 1",
        "pgolf/errors.py",
        "    exit_code = 3",
        "    exit_code = 1",
        "tests/pgolf/cli/test_main_job.py",
    ),
    Fault(
        "running job started again",
        "pgolf/campaign/dispatch.py",
        'return status.state != "ended" or status.exit_code == 0',
        "return False",
        "tests/pgolf/campaign/test_queue.py",
    ),
    Fault(
        "worst point promoted",
        "pgolf/search/halving.py",
        "return min(scored, key=lambda pair: (pair[0], pair[1].number))[1]",
        "return max(scored, key=lambda pair: (pair[0], pair[1].number))[1]",
        "tests/pgolf/search/test_halving.py",
    ),
    Fault(
        "shard hash not compared",
        "pgolf/data/verify.py",
        "if (found := known.sha256(path)) != sha256:",
        "if (found := known.sha256(path)) == '':",
        "tests/pgolf/data/test_verify.py",
    ),
    Fault(
        "size rule inverted",
        "pgolf/preflight/rules.py",
        "    if bytes_over(low, limit_bytes):",
        "    if not bytes_over(low, limit_bytes):",
        "tests/pgolf/preflight/test_rules.py",
    ),
    Fault(
        "device lock not exclusive",
        "launchers/devices.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        "tests/launchers/test_local.py",
    ),
    Fault(
        "one device for a job of several",
        "launchers/local.py",
        "len(self.gpus) // job.processes",
        "len(self.gpus)",
        "tests/launchers/test_local.py",
    ),
    Fault(
        "exit code of an earlier attempt",
        "launchers/local.py",
        "ended_status(run, child.returncode)",
        "ended_status(run, run.exit_code)",
        "tests/launchers/test_local.py",
    ),
    Fault(
        "start of a process read one field late",
        "launchers/ssh_agent.py",
        "facts[18]",
        "facts[19]",
        "tests/launchers/test_local.py",
    ),
    Fault(
        "cores shared in part not reported",
        "launchers/shared_cores.py",
        "os.sched_getaffinity(int(entry.name)) & cores",
        "os.sched_getaffinity(int(entry.name)) == cores",
        "tests/launchers/test_shared_cores.py",
    ),
    Fault(
        "result fetched before the rest",
        "pgolf/launching/shipping.py",
        'key=lambda path: path.name == "result.json"',
        'key=lambda path: path.name != "result.json"',
        "tests/pgolf/launching/test_shipping.py",
    ),
    Fault(
        "moved run looked up at its old place",
        "pgolf/launching/handles.py",
        'return handle | {"run_dir": str(run.root.resolve())}',
        'return {"run_dir": str(run.root.resolve())} | handle',
        "tests/pgolf/launching/test_shipping.py",
    ),
    Fault(
        "error of an earlier attempt",
        "pgolf/launching/endings.py",
        'state.get("exit_code") != exit_code',
        'state.get("exit_code") is None',
        "tests/launchers/test_local.py",
    ),
    Fault(
        "decoding left out of the evaluation",
        "pgolf/audit/runs.py",
        '("decode_seconds", "evaluate_seconds")',
        '("evaluate_seconds",)',
        "tests/pgolf/audit/test_runs.py",
    ),
    Fault(
        "last score before a cut not compared",
        "pgolf/audit/probes.py",
        "changed = nats[0][: cut - 1] != nats[number][: cut - 1]",
        "changed = nats[0][: cut - 2] != nats[number][: cut - 2]",
        "tests/pgolf/audit/test_probes.py",
    ),
    Fault(
        "shortest training judged",
        "pgolf/audit/gates/clock.py",
        "longest = max(seconds)",
        "longest = min(seconds)",
        "tests/pgolf/audit/gates/test_gates.py",
    ),
    Fault(
        "wrong end of a shifted slice",
        "pgolf/audit/code/targets.py",
        "each.lower is not None and is_one_more(each.lower)",
        "each.upper is not None and is_one_more(each.upper)",
        "tests/pgolf/audit/code/test_signatures.py",
    ),
    Fault(
        "cache key without the recipe's values",
        "pgolf/bundle/build.py",
        'f"{self.minified_key}{self.embedded}{self.has_brotli}"',
        'f"{self.minified_key}{self.has_brotli}"',
        "tests/pgolf/bundle/test_cache.py",
    ),
    Fault(
        "cache key without one source",
        "pgolf/bundle/build.py",
        "(*tools, bundler, root,",
        "(*tools, bundler,",
        "tests/pgolf/bundle/test_cache.py",
    ),
    Fault(
        "smallest artifact claimed",
        "pgolf/bundle/submission.py",
        '"bytes_total": max(',
        '"bytes_total": min(',
        "tests/pgolf/bundle/test_submission.py",
    ),
    Fault(
        "exit code swallowed with --json",
        "pgolf/cli/running.py",
        "    if not is_detached:",
        "    if not is_detached and not is_json:",
        "tests/pgolf/cli/test_scripts.py",
    ),
    Fault(
        "steps shown for scored tokens",
        "pgolf/cli/status.py",
        'facts["scored"] if',
        'facts["step"] if',
        "tests/pgolf/cli/test_status.py",
    ),
    Fault(
        "minutes shown as hours",
        "pgolf/cli/display/console.py",
        "{seconds / 3600:,.1f} h",
        "{seconds / 60:,.1f} h",
        "tests/pgolf/cli/test_display.py",
    ),
    Fault(
        "end of a line read twice",
        "pgolf/cli/display/progress.py",
        "position + len(complete) + len(newline)",
        "position + len(complete)",
        "tests/pgolf/cli/test_display.py",
    ),
    Fault(
        "price of an hour for a minute",
        "pgolf/campaign/doctor.py",
        "TYPICAL_SECONDS / 3600",
        "TYPICAL_SECONDS / 60",
        "tests/pgolf/campaign/test_doctor.py",
    ),
    Fault(
        "last layers counted in the base",
        "pgolf/drafting/draft.py",
        "mapped.convert(value.value, current)",
        "mapped.convert(value.value, base)",
        "tests/pgolf/drafting/test_draft.py",
    ),
    Fault(
        "log overrides what the user gives",
        "pgolf/drafting/draft.py",
        "if variable.name in given:",
        "if variable.name in given and variable.name not in printed:",
        "tests/pgolf/drafting/test_draft.py",
    ),
    Fault(
        "runs of several lengths averaged",
        "pgolf/records/groups.py",
        '("parameters", "wallclock_limit", "validation_tokens")',
        '("parameters", "validation_tokens")',
        "tests/pgolf/records/test_logs.py",
    ),
    Fault(
        "one of several evaluations timed",
        "pgolf/records/problems.py",
        "seconds = run.total_eval_seconds or score.seconds",
        "seconds = score.seconds",
        "tests/pgolf/records/test_logs.py",
    ),
    Fault(
        "dollars of an hour for a minute",
        "pgolf/report/seed_rows.py",
        "float(hourly) * self.seconds / 3600",
        "float(hourly) * self.seconds / 60",
        "tests/pgolf/report/test_groups.py",
    ),
    Fault(
        "only the longest attempt paid",
        "pgolf/report/seed_rows.py",
        "float(sum(self.attempt_seconds) or",
        "float(max(self.attempt_seconds, default=0.0) or",
        "tests/pgolf/report/test_groups.py",
    ),
    Fault(
        "error of the mean divided twice",
        "pgolf/report/significance.py",
        "variance(old) / len(old)",
        "variance(old) / len(old) ** 2",
        "tests/pgolf/report/test_significance.py",
    ),
    Fault(
        "mean drawn beyond the shorter curve",
        "pgolf/report/page/plots.py",
        "min(curve[-1][0] for curve in by_seed)",
        "max(curve[-1][0] for curve in by_seed)",
        "tests/pgolf/report/page/test_plots.py",
    ),
    Fault(
        "values of a sweep sorted as text",
        "pgolf/report/page/sweeps.py",
        "key=lambda group: sort_key(group.swept[key])",
        "key=lambda group: str(group.swept[key])",
        "tests/pgolf/report/page/test_plots.py",
    ),
    Fault(
        "hash depends on the order of files",
        "pgolf/scripts/program.py",
        "in sorted(self.files.items())",
        "in self.files.items()",
        "tests/pgolf/scripts/test_variables.py",
    ),
    Fault(
        "gzip read as zlib",
        "pgolf/scripts/unwrapping.py",
        "zlib.MAX_WBITS | 16",
        "zlib.MAX_WBITS",
        "tests/pgolf/scripts/test_unwrapping.py",
    ),
    Fault(
        "state of what was read ahead",
        "trainer/data/batches.py",
        "self.state = step.state",
        "self.state = self.order.state()",
        "tests/trainer/data/test_batches.py",
    ),
    Fault(
        "window across two shards",
        "trainer/data/shuffled_windows.py",
        "(tokens - 1 - offset) // self.window_tokens",
        "(tokens - offset) // self.window_tokens",
        "tests/trainer/data/test_orders.py",
    ),
    Fault(
        "loss and bits per byte swapped",
        "trainer/dialects/logged.py",
        "(step, float(found[1]), float(found[2]))",
        "(step, float(found[2]), float(found[1]))",
        "tests/trainer/script/test_listener.py",
    ),
    Fault(
        "first size in place of the last",
        "trainer/dialects/logged.py",
        "candidates[-1] if candidates",
        "candidates[0] if candidates",
        "tests/pgolf/records/test_logs.py",
    ),
    Fault(
        "minutes taken for seconds",
        "trainer/dialects/scores.py",
        '"m": 60.0',
        '"m": 1.0',
        "tests/pgolf/records/test_logs.py",
    ),
    Fault(
        "causal mask shifted by one",
        "trainer/model/blocked_attention.py",
        ".triu(1)",
        ".triu(2)",
        "tests/trainer/model/test_gpt.py",
    ),
    Fault(
        "one key too many for the last tokens",
        "trainer/model/library_attention.py",
        ".tril(length - asked)",
        ".tril(length - asked + 1)",
        "tests/trainer/model/test_attention_kernels.py",
    ),
    Fault(
        "last tokens rotated as the first",
        "trainer/model/rope.py",
        "part[-x_BHSE.size(-2) :]",
        "part[: x_BHSE.size(-2)]",
        "tests/trainer/model/test_gpt.py",
    ),
    Fault(
        "weight decay applied twice",
        "trainer/optimizer/muon.py",
        "if self.recipe.weight_decay and self.recipe.decay_after_update:",
        "if self.recipe.weight_decay:",
        "tests/trainer/optimizer/test_muon.py",
    ),
    Fault(
        "embedding decays like a matrix",
        "trainer/optimizer/muon_adamw.py",
        "decay = recipe.embedding_weight_decay",
        "decay = recipe.weight_decay",
        "tests/trainer/optimizer/test_muon_adamw.py",
    ),
    Fault(
        "warmdown cut off at its floor",
        "trainer/recipe/schedule.py",
        "self.floor + (1.0 - self.floor) * remaining",
        "max(self.floor, remaining)",
        "tests/trainer/recipe/test_schedule_multiplier.py",
    ),
    Fault(
        "recurrence begins too late",
        "trainer/recipe/plan.py",
        "progress >= recurrence.from_progress",
        "progress > recurrence.from_progress",
        "tests/trainer/model/test_components.py",
    ),
    Fault(
        "limit of cores rounded down",
        "trainer/recipe/cores.py",
        "ceil(int(quota) / int(period))",
        "int(quota) // int(period)",
        "tests/trainer/recipe/test_cores.py",
    ),
    Fault(
        "step logged twice after a restart",
        "trainer/script/listener.py",
        "truncate_after(step - 1)",
        "truncate_after(step)",
        "tests/trainer/script/test_listener.py",
    ),
    Fault(
        "model of an earlier attempt counted",
        "trainer/script/artifact_files.py",
        ".st_mtime >= since - TIME_GRAIN_SECONDS",
        ".st_mtime >= 0",
        "tests/trainer/script/test_listener.py",
    ),
    Fault(
        "failure of another rank not seen",
        "trainer/script/ranks.py",
        "for process in self.processes if process.poll()), None)",
        "for process in self.processes[:1] if process.poll()), None)",
        "tests/pgolf/cli/test_scripts.py",
    ),
)


def main(names: list[str]) -> int:
    """Plant the faults and print what catches them. Return the exit code."""
    chosen = [fault for fault in FAULTS if not names or any(name in fault.name for name in names)]
    missed = 0
    for fault in chosen:
        catcher = caught_by(fault)
        missed += catcher is None
        print(f"{fault.file:<34} {fault.name:<38} {catcher or 'NOT CAUGHT'}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} planted faults caught")
    without = packages() - {Path(fault.file).parent for fault in FAULTS}
    for package in sorted(without):
        print(f"no fault is planted in {package}")
    return 1 if missed or without else 0


def packages() -> set[Path]:
    """Return the folders of all packages, relative to the root."""
    return {file.parent.relative_to(ROOT) for name in PROGRAM for file in (ROOT / name).rglob("__init__.py")}


def caught_by(fault: Fault) -> str | None:
    """Return the first test that fails with the fault in place and passes without it; None if there is none."""
    with tempfile.TemporaryDirectory(prefix="pgolf-fault-") as folder:
        copy = Path(folder)
        for name in FOLDERS:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy(ROOT / name, copy / name)
        text = (copy / fault.file).read_text(encoding="utf-8")
        if (times := text.count(fault.right)) != 1:
            raise SystemExit(f"{fault.file}: {fault.right!r} is there {times} times; update the fault {fault.name!r}")
        (copy / fault.file).write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
        # An ERROR does not count: a module that cannot be imported gives one although no test has noticed anything.
        failed = re.search(r"^FAILED (.+?)(?: - .*)?$", run_tests(copy, *fault.tests.split()).stdout, re.MULTILINE)
        (copy / fault.file).write_text(text, encoding="utf-8")
        if failed is None or run_tests(copy, failed[1]).returncode:
            return None
    return re.sub(r"^[^:]*/", "", failed[1])


def run_tests(copy: Path, *tests: str) -> "subprocess.CompletedProcess[str]":
    """Run tests in a copy of the tree, up to the first that fails."""
    command = [sys.executable, "-m", "pytest", "-x", "-n", "0", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
