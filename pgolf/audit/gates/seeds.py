"""Gates of seeds, headline and logs, which use the problems that the record reader found in logs and claims."""

from collections.abc import Iterator

from pgolf.alike import SEEDS_ALIKE
from pgolf.audit.facts import Facts
from pgolf.audit.verdicts import Verdict, make_verdict
from pgolf.findings import Severity, counted

REQUIRED_SEEDS = 3
# Headlines are printed with at least four decimals.
HEADLINE_TOLERANCE = 5e-5
CONFIGURATION_PROBLEMS = ("configuration_differs_between_seeds", "code_differs_between_seeds")
# Problems by which the mean of the logs is not the mean of all seeds.
ABSENT_SCORES = ("missing_seed_log", "no_common_metric")
LOG_PROBLEMS = ("missing_seed_log", "claim_not_in_logs", "no_log", "unreadable_log", "no_size_in_log")
# Of these, the one in which two printed numbers contradict each other. The others name what a folder may leave out.
CONTRADICTION = "claim_not_in_logs"


def seed_verdicts(facts: Facts) -> Iterator[Verdict]:
    """Yield the verdicts on the seeds, the headline, the logs and the stage that was scored."""
    yield check_seeds(facts)
    yield check_headline(facts)
    yield from check_logs(facts)
    if mixed := facts.problems.get("mixed_metrics_on_last_line"):
        yield make_verdict("METRIC-STAGE", "warn", mixed.message, "numbers")
    if unpacked := [run for run in facts.runs if run.stage == "prequant"]:
        message = "the only score that is read is of the model before quantization"
        yield make_verdict("METRIC-STAGE", "warn", message, "numbers", unpacked[0].log)


def check_logs(facts: Facts) -> Iterator[Verdict]:
    """Yield a verdict if logs are missing or incomplete; a failure only where they contradict a claimed score."""
    found = [facts.problems[rule] for rule in LOG_PROBLEMS if rule in facts.problems]
    if not found or not facts.track.has_limits:
        return
    contradicted = facts.problems.get(CONTRADICTION)
    is_failed = contradicted is not None and contradicted.severity == "fail"
    severity: Severity = facts.track.severity if is_failed else "warn"
    yield make_verdict("LOG-COMPLETE", severity, "; ".join(each.message for each in found), "files")


def check_seeds(facts: Facts) -> Verdict:
    """Check that there are logs of at least three seeds with one configuration.

    Too few logs fail only where submission.json gives the scores of as few seeds: a folder may leave out logs.
    """
    rule, seeds = "THREE-SEEDS-ONE-CONFIG", sorted({run.seed for run in facts.runs if run.seed is not None})
    if not facts.track.has_limits:
        return make_verdict(rule, "pass", "the non-record track needs no three seeds", "files")
    if not facts.runs:
        return make_verdict(rule, "unknown", f"no log has a score; a record needs {REQUIRED_SEEDS}", "numbers")
    is_claimed = 0 < len(facts.scored_seeds) < REQUIRED_SEEDS
    severity: Severity = facts.track.severity if is_claimed else "warn"
    if len(facts.runs) < REQUIRED_SEEDS:
        message = f"logs of {counted(len(facts.runs), 'run')}; a record needs {REQUIRED_SEEDS}"
        return make_verdict(rule, severity, message, "numbers")
    if seeds and len(seeds) < REQUIRED_SEEDS:
        message = f"the {len(facts.runs)} logs are of seeds {seeds} only; a record needs {REQUIRED_SEEDS} seeds"
        return make_verdict(rule, severity, message, "numbers")
    if alike := facts.problems.get(SEEDS_ALIKE):
        return make_verdict(rule, facts.track.severity, alike.message, "numbers")
    if differences := [facts.problems[rule].message for rule in CONFIGURATION_PROBLEMS if rule in facts.problems]:
        return make_verdict(rule, "warn", "; ".join(differences), "numbers")
    codes = sorted(set(facts.run_values("code_bytes")))
    if len(codes) > 1:
        message = f"the logs count different bytes of code: {', '.join(f'{code:,}' for code in codes)}"
        return make_verdict(rule, "warn", message, "numbers")
    message = f"{len(facts.runs)} runs; the logs do not prove that they have one configuration"
    return make_verdict(rule, "unknown", message, "numbers")


def check_headline(facts: Facts) -> Verdict:
    """Check that the headline is the mean of the seeds; unknown where the score of a seed is not known.

    A best seed fails unless the author states the mean too; another number fails if it contradicts the scores of the
    seeds in submission.json. Else the reader may not know the scores that were averaged.
    """
    for rule in ("best_seed_headline", "wrong_mean"):
        if problem := facts.problems.get(rule):
            severity = problem.severity if facts.track.has_limits else "warn"
            return make_verdict("MEAN-NOT-BEST", severity, problem.message, "numbers")
    if facts.headline is None or facts.mean is None:
        message = "there is no headline" if facts.headline is None else "no log gives a score"
        return make_verdict("MEAN-NOT-BEST", "unknown", f"{message} to compare", "numbers")
    scores = facts.run_values("val_bpb")
    message = f"the headline is {facts.headline}; the mean of {len(scores)} logs is {facts.mean:.8f}"
    severity, message = facts.pass_if_all("val_bpb", message)
    absent = [facts.problems[rule].message for rule in ABSENT_SCORES if rule in facts.problems]
    if facts.is_settled is False:
        absent.append("the logs do not settle which scores the headline is the mean of")
    if absent or severity == "unknown":
        return make_verdict("MEAN-NOT-BEST", "unknown", "; ".join([message, *absent]), "numbers")
    if facts.is_settled or abs(facts.headline - facts.mean) <= HEADLINE_TOLERANCE:
        return make_verdict("MEAN-NOT-BEST", "pass", message, "numbers")
    is_best = len(scores) > 1 and abs(facts.headline - min(scores)) <= HEADLINE_TOLERANCE
    return make_verdict("MEAN-NOT-BEST", "fail" if is_best else "warn", message, "numbers")
