"""Gates of seeds, means and what a folder must hold. They rest on what the report found in logs and claims."""

from collections.abc import Iterator
from statistics import fmean

from pgolf.audit.facts import Facts
from pgolf.audit.verdicts import Verdict, settled
from pgolf.findings import Severity
from pgolf.records.folder import MAIN

NEEDED_SEEDS = 3
# A headline is printed with four digits or more.
SAME = 5e-5
ONE_CONFIGURATION = ("configuration_differs_between_seeds", "code_differs_between_seeds")
INCOMPLETE = ("missing_seed_log", "claim_not_in_logs", "no_log", "unreadable_log", "no_size_in_log")


def seed_verdicts(facts: Facts) -> Iterator[Verdict]:
    """Seeds, their configuration, and the headline."""
    yield three_seeds(facts)
    if (mean := headline(facts)) is not None:
        yield mean
    incomplete = [facts.problems[tag].message for tag in INCOMPLETE if tag in facts.problems]
    if incomplete:
        yield settled("LOG-COMPLETE", "fail" if facts.is_record else "warn", "; ".join(incomplete), "files")
    if mixed := facts.problems.get("mixed_metrics_on_last_line"):
        yield settled("METRIC-STAGE", "warn", mixed.message, "numbers")
    if unpacked := [run for run in facts.runs if run.stage == "prequant"]:
        words = "the only score is of a model that was not packed"
        yield settled("METRIC-STAGE", "fail", words, "numbers", unpacked[0].place)


def three_seeds(facts: Facts) -> Verdict:
    """Whether three seeds of one configuration have logs."""
    rule, seeds = "THREE-SEEDS-ONE-CONFIG", sorted({run.seed for run in facts.runs if run.seed is not None})
    severity: Severity = "fail" if facts.is_record else "warn"
    if len(facts.runs) < NEEDED_SEEDS:
        words = f"{len(facts.runs)} runs have logs; records need {NEEDED_SEEDS}"
        return settled(rule, severity, words, "numbers")
    if seeds and len(seeds) < NEEDED_SEEDS:
        return settled(rule, severity, f"{len(facts.runs)} logs are of seeds {seeds} only", "numbers")
    if differs := [facts.problems[tag].message for tag in ONE_CONFIGURATION if tag in facts.problems]:
        return settled(rule, "warn", "; ".join(differs), "numbers")
    codes = sorted(set(facts.of_runs("code_bytes")))
    if len(codes) > 1:
        words = f"the logs count {', '.join(f'{code:,}' for code in codes)} bytes of code"
        return settled(rule, "warn", words, "numbers")
    words = f"{len(facts.runs)} runs; that their configuration is one the logs do not prove"
    return settled(rule, "unknown", words, "numbers")


def headline(facts: Facts) -> Verdict | None:
    """Whether the headline is the mean."""
    for tag in ("best_seed_headline", "wrong_mean"):
        if problem := facts.problems.get(tag):
            return settled("MEAN-NOT-BEST", "fail", problem.message, "numbers")
    scores = facts.of_runs("val_bpb")
    if facts.headline is None or not scores:
        return None
    mean = fmean(scores)
    words = f"the headline is {facts.headline}, the mean of {len(scores)} logs {mean:.8f}"
    if abs(facts.headline - mean) <= SAME or facts.problems.get("missing_seed_log"):
        return settled("MEAN-NOT-BEST", "pass", words, "numbers")
    is_best = len(scores) > 1 and abs(facts.headline - min(scores)) <= SAME
    return settled("MEAN-NOT-BEST", "fail" if is_best else "warn", words, "numbers")


def form_verdicts(facts: Facts, present: set[str]) -> Iterator[Verdict]:
    """Whether a folder holds what it must. `present` are the names of its files."""
    missing = [name for name in ("README.md", "submission.json", MAIN) if name not in present]
    if missing:
        yield settled("FILES", "fail", f"missing: {', '.join(missing)}", "files")
    else:
        yield settled("FILES", "pass", f"README.md, submission.json and {MAIN} are there", "files")
    if problem := facts.problems.get("broken_submission_json"):
        yield settled("JSON-PARSES", "fail", problem.message, "files", "submission.json")
