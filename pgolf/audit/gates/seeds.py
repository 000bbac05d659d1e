"""Gates of seeds, headline and files, which use the problems that the record reader found in logs and claims."""

from collections.abc import Iterator
from statistics import fmean

from pgolf.alike import SEEDS_ALIKE
from pgolf.audit.facts import Facts
from pgolf.audit.verdicts import Verdict, make_verdict
from pgolf.findings import Severity, counted
from pgolf.records.folder import MAIN

REQUIRED_SEEDS = 3
# Headlines are printed with at least four decimals.
HEADLINE_TOLERANCE = 5e-5
CONFIGURATION_PROBLEMS = ("configuration_differs_between_seeds", "code_differs_between_seeds")
LOG_PROBLEMS = ("missing_seed_log", "claim_not_in_logs", "no_log", "unreadable_log", "no_size_in_log")


def seed_verdicts(facts: Facts) -> Iterator[Verdict]:
    """Yield the verdicts on the seeds, the headline, the logs and the stage that was scored."""
    yield check_seeds(facts)
    if (verdict := check_headline(facts)) is not None:
        yield verdict
    incomplete = [facts.problems[rule].message for rule in LOG_PROBLEMS if rule in facts.problems]
    if incomplete:
        yield make_verdict("LOG-COMPLETE", "fail" if facts.is_record else "warn", "; ".join(incomplete), "files")
    if mixed := facts.problems.get("mixed_metrics_on_last_line"):
        yield make_verdict("METRIC-STAGE", "warn", mixed.message, "numbers")
    if unpacked := [run for run in facts.runs if run.stage == "prequant"]:
        message = "the only score is of the model before quantization"
        yield make_verdict("METRIC-STAGE", "fail", message, "numbers", unpacked[0].log)


def check_seeds(facts: Facts) -> Verdict:
    """Check that there are logs of at least three seeds with one configuration."""
    rule, seeds = "THREE-SEEDS-ONE-CONFIG", sorted({run.seed for run in facts.runs if run.seed is not None})
    severity: Severity = "fail" if facts.is_record else "warn"
    if len(facts.runs) < REQUIRED_SEEDS:
        message = f"logs of {counted(len(facts.runs), 'run')}; a record needs {REQUIRED_SEEDS}"
        return make_verdict(rule, severity, message, "numbers")
    if seeds and len(seeds) < REQUIRED_SEEDS:
        message = f"the {len(facts.runs)} logs are of seeds {seeds} only; a record needs {REQUIRED_SEEDS} seeds"
        return make_verdict(rule, severity, message, "numbers")
    if alike := facts.problems.get(SEEDS_ALIKE):
        return make_verdict(rule, severity, alike.message, "numbers")
    if differences := [facts.problems[rule].message for rule in CONFIGURATION_PROBLEMS if rule in facts.problems]:
        return make_verdict(rule, "warn", "; ".join(differences), "numbers")
    codes = sorted(set(facts.run_values("code_bytes")))
    if len(codes) > 1:
        message = f"the logs count different bytes of code: {', '.join(f'{code:,}' for code in codes)}"
        return make_verdict(rule, "warn", message, "numbers")
    message = f"{len(facts.runs)} runs; the logs do not prove that they have one configuration"
    return make_verdict(rule, "unknown", message, "numbers")


def check_headline(facts: Facts) -> Verdict | None:
    """Check that the headline is the mean of the seeds; return None where there is no headline or no score."""
    for rule in ("best_seed_headline", "wrong_mean"):
        if problem := facts.problems.get(rule):
            return make_verdict("MEAN-NOT-BEST", "fail", problem.message, "numbers")
    scores = facts.run_values("val_bpb")
    if facts.headline is None or not scores:
        return None
    mean = fmean(scores)
    message = f"the headline is {facts.headline}; the mean of {len(scores)} logs is {mean:.8f}"
    if abs(facts.headline - mean) <= HEADLINE_TOLERANCE or facts.problems.get("missing_seed_log"):
        return make_verdict("MEAN-NOT-BEST", "pass", message, "numbers")
    is_best = len(scores) > 1 and abs(facts.headline - min(scores)) <= HEADLINE_TOLERANCE
    return make_verdict("MEAN-NOT-BEST", "fail" if is_best else "warn", message, "numbers")


def file_verdicts(facts: Facts, present: set[str]) -> Iterator[Verdict]:
    """Yield the verdicts on the required files, given the names of the files in the folder."""
    missing = [name for name in ("README.md", "submission.json", MAIN) if name not in present]
    if missing:
        yield make_verdict("FILES", "fail", f"missing: {', '.join(missing)}", "files")
    else:
        yield make_verdict("FILES", "pass", f"README.md, submission.json and {MAIN} are in the folder", "files")
    if problem := facts.problems.get("broken_submission_json"):
        yield make_verdict("JSON-PARSES", "fail", problem.message, "files", "submission.json")
