"""Gates over numbers, with one fact changed at a time."""

from dataclasses import replace
from math import log
from typing import Any

import pytest

from pgolf.audit.facts import Facts, RunFacts
from pgolf.audit.folder import number_verdicts
from pgolf.audit.verdicts import Verdict
from pgolf.findings import Finding
from pgolf.records.track import Track
from pgolf.rulesets.ruleset import load_ruleset

RULES = load_ruleset("parameter_golf")
TOKENS, BYTES = 40_540_160, 151_080_000
BPB = 1.08
LOSS = BPB * log(2) * BYTES / TOKENS
RUN = RunFacts(
    log="train_seed42.log", seed=42, stage="ttt", val_loss=LOSS, val_bpb=BPB, validation_tokens=TOKENS,
    train_shards=80, train_seconds=599.5, evaluate_seconds=500.0, is_whole_evaluation=True, total_bytes=15_990_000,
    model_bytes=15_940_000, code_bytes=50_000, processes=8,
)  # fmt: skip
SEEDS = tuple(
    replace(RUN, seed=seed, val_bpb=bpb, val_loss=LOSS * bpb / BPB)
    for seed, bpb in ((42, 1.08), (7, 1.079), (9, 1.081))
)
FACTS = Facts(runs=SEEDS, headline=1.08, mean=1.08, claimed_bytes=(15_990_000,), committed={"train_gpt.py": 50_000})


def verdicts(facts: Facts) -> dict[str, Verdict]:
    return {found.rule: found for found in number_verdicts(facts, RULES)}


def with_run(**changes: Any) -> Facts:
    return replace(FACTS, runs=(replace(SEEDS[0], **changes), *SEEDS[1:]))


def test_valid_numbers_break_no_rule() -> None:
    found = verdicts(FACTS)
    assert {verdict.severity for verdict in found.values()} == {"pass", "unknown"}
    passing = {
        "BPB-IDENTITY",
        "VAL-IS-CANONICAL",
        "SIZE-CAP",
        "SIZE-CODE-IS-SHIPPED-CODE",
        "TRAIN-600",
        "EVAL-600",
        "MEAN-NOT-BEST",
    }
    assert {rule for rule, verdict in found.items() if verdict.severity == "pass"} == passing


@pytest.mark.parametrize(
    ("changes", "rule", "severity"),
    [
        ({"val_bpb": BPB / 1.1746}, "BPB-IDENTITY", "fail"),
        ({"val_bpb": BPB / 1.1746}, "SPACE-ONCE", "fail"),
        ({"validation_tokens": 62_363_648}, "BYTE-TOKENS", "warn"),
        ({"validation_tokens": 9_662_464}, "VAL-IS-CANONICAL", "fail"),
        ({"validation_tokens": 9_662_464}, "TRAIN-VAL-DISJOINT", "warn"),
        ({"validation_tokens": 3_000_000}, "VAL-IS-CANONICAL", "fail"),
        ({"train_shards": 1499}, "TRAIN-VAL-DISJOINT", "fail"),
        ({"total_bytes": 16_000_001, "model_bytes": None}, "SIZE-CAP", "fail"),
        ({"total_bytes": 16_000_000}, "SIZE-CAP", "pass"),
        ({"total_bytes": 16_500_000, "model_bytes": None}, "SIZE-UNITS", "warn"),
        ({"train_seconds": 600.25}, "TRAIN-600", "pass"),
        ({"train_seconds": 600.365}, "TRAIN-600", "warn"),
        ({"train_seconds": 601.153}, "TRAIN-600", "fail"),
        ({"train_seconds": None}, "TRAIN-600", "unknown"),
        ({"evaluate_seconds": 600.1}, "EVAL-600", "fail"),
        ({"is_whole_evaluation": False}, "EVAL-600", "unknown"),
        ({"processes": 1}, "HARDWARE", "fail"),
        ({"gpus": ("A100",)}, "HARDWARE", "fail"),
        ({"val_bpb": 0.5, "val_loss": LOSS * 0.5 / BPB}, "C2-NORMALISED", "warn"),
        ({"code_bytes": 60_000}, "THREE-SEEDS-ONE-CONFIG", "warn"),
        ({"stage": "prequant"}, "METRIC-STAGE", "warn"),
    ],
)
def test_one_changed_number_changes_one_verdict(changes: dict[str, Any], rule: str, severity: str) -> None:
    assert verdicts(with_run(**changes))[rule].severity == severity


@pytest.mark.parametrize("short", [RUN.log, "train_seed7.log"])
def test_a_subset_of_the_text_is_not_reported_as_a_byte_miscount(short: str) -> None:
    found = verdicts(with_run(validation_tokens=9_662_464, log=short))
    assert found["BPB-IDENTITY"].severity != "fail"


def test_a_logged_total_over_the_limit_is_a_warning_where_the_shipped_code_fits() -> None:
    facts = replace(with_run(total_bytes=16_054_963, model_bytes=15_949_000), committed={"train_gpt.py": 26_420})
    assert verdicts(facts)["SIZE-CAP"].severity == "warn"
    assert verdicts(facts)["SIZE-CODE-IS-SHIPPED-CODE"].severity == "warn"


def test_helpers_count_where_they_would_exceed_the_limit() -> None:
    facts = replace(FACTS, committed={"train_gpt.py": 50_000, "ngram_tilt.py": 18_000})
    assert verdicts(facts)["SIZE-CODE-IS-SHIPPED-CODE"].severity == "warn"
    facts = replace(FACTS, committed={"train_gpt.py": 50_000, "small.py": 1_000})
    assert verdicts(facts)["SIZE-CODE-IS-SHIPPED-CODE"].severity == "pass"


def test_the_best_seed_as_headline_fails() -> None:
    assert verdicts(replace(FACTS, headline=1.079))["MEAN-NOT-BEST"].severity == "fail"


def test_fewer_seeds_fail_on_the_record_track_only() -> None:
    two = replace(FACTS, runs=SEEDS[:2], scored_seeds=(42, 7))
    found = {track: verdicts(replace(two, track=track))["THREE-SEEDS-ONE-CONFIG"].severity for track in Track}
    assert found == {
        Track.TEN_MINUTES: "fail",
        Track.OWN: "fail",
        Track.UNKNOWN: "warn",
        Track.UNLIMITED: "pass",
    }


@pytest.mark.parametrize("claimed", [(), (42, 7, 9)])
def test_logs_that_may_have_been_left_out_are_no_failure(claimed: tuple[int, ...]) -> None:
    facts = replace(FACTS, runs=SEEDS[:2], scored_seeds=claimed)
    assert verdicts(facts)["THREE-SEEDS-ONE-CONFIG"].severity == "warn"


@pytest.mark.parametrize(
    ("track", "severity"), [(Track.TEN_MINUTES, "fail"), (Track.UNKNOWN, "warn"), (Track.UNLIMITED, "pass")]
)
def test_the_track_decides_about_clocks_and_hardware(track: Track, severity: str) -> None:
    facts = replace(with_run(train_seconds=900.0, evaluate_seconds=900.0, processes=1), track=track)
    found = verdicts(facts)
    assert {found[rule].severity for rule in ("TRAIN-600", "EVAL-600", "HARDWARE")} == {severity}
    over = replace(with_run(total_bytes=16_000_001, model_bytes=None), track=track)
    assert verdicts(over)["SIZE-CAP"].severity == "fail"


def test_the_machine_of_another_contest_is_not_judged_by_parameter_golf_s() -> None:
    rules = RULES.model_copy(update={"name": "own", "hardware": "1xRTX 4090"})
    facts = replace(with_run(gpus=("RTX 4090",), processes=1), track=Track.OWN)
    (found,) = [each for each in number_verdicts(facts, rules) if each.rule == "HARDWARE"]
    assert (found.severity, found.message) == ("unknown", "own-1 asks for 1xRTX 4090; the logs name RTX 4090")


@pytest.mark.parametrize("tokens", [TOKENS, 3_000_000, None])
def test_a_contest_without_known_tokenizers_is_audited(tokens: int | None) -> None:
    rules = RULES.model_copy(update={"name": "own", "data": {}, "refused_exports": [], "baselines": {}})
    found = {each.rule: each.severity for each in number_verdicts(with_run(validation_tokens=tokens), rules)}
    assert "fail" not in found.values()


def test_fewer_tokens_of_a_larger_vocabulary_are_the_whole_text() -> None:
    tokens = 20_000_000
    whole = with_run(validation_tokens=tokens, val_loss=BPB * log(2) * BYTES / tokens)
    assert verdicts(whole)["VAL-IS-CANONICAL"].severity == "unknown"


def test_a_headline_that_the_reader_could_not_compare_is_unknown() -> None:
    assert verdicts(replace(FACTS, headline=1.079, is_settled=False))["MEAN-NOT-BEST"].severity == "unknown"


def test_copies_of_one_run_are_no_three_seeds() -> None:
    alike = Finding("fail", "seeds_alike", "a.log and b.log are one run")
    found = verdicts(replace(FACTS, problems={"seeds_alike": alike}))["THREE-SEEDS-ONE-CONFIG"]
    assert (found.severity, found.message) == ("fail", alike.message)


def test_a_claimed_evaluation_over_time_fails() -> None:
    assert verdicts(replace(FACTS, claimed_evaluate_seconds=(627.3,)))["EVAL-600"].severity == "fail"


def test_a_part_of_the_text_is_not_compared_with_whole_texts() -> None:
    part = replace(RUN, validation_tokens=3_000_000, val_loss=LOSS * 0.98)
    found = verdicts(replace(FACTS, runs=(part,)))
    assert (found["VAL-IS-CANONICAL"].severity, found["BPB-IDENTITY"].severity) == ("fail", "unknown")


def test_without_tokens_bytes_per_token_are_compared_with_known_tokenizers() -> None:
    runs = tuple(replace(run, validation_tokens=None) for run in SEEDS)
    assert verdicts(replace(FACTS, runs=runs))["BPB-IDENTITY"].severity == "pass"
    twice = tuple(replace(run, val_bpb=run.val_bpb / 1.1746) for run in runs if run.val_bpb)
    found = verdicts(replace(FACTS, runs=twice))
    assert (found["BPB-IDENTITY"].severity, found["SPACE-ONCE"].severity) == ("warn", "warn")


@pytest.mark.parametrize("headline", [1.08, 1.079, 1.0])
@pytest.mark.parametrize("rule", ["missing_seed_log", "no_common_metric"])
def test_the_headline_is_unknown_where_a_seed_has_no_score(headline: float, rule: str) -> None:
    problems = {rule: Finding("fail", rule, "there is no log of seed 9")}
    found = verdicts(replace(FACTS, runs=SEEDS[:2], headline=headline, problems=problems))["MEAN-NOT-BEST"]
    assert (found.severity, "no log of seed 9" in found.message) == ("unknown", True)


EVIDENCE = {
    "BPB-IDENTITY": ("val_loss", "val_bpb"),
    "VAL-IS-CANONICAL": ("validation_tokens",),
    "SIZE-CAP": ("total_bytes",),
    "SIZE-CODE-IS-SHIPPED-CODE": ("code_bytes",),
    "TRAIN-600": ("train_seconds",),
    "EVAL-600": ("evaluate_seconds",),
    "MEAN-NOT-BEST": ("val_bpb",),
}


@pytest.mark.parametrize("rule", EVIDENCE)
@pytest.mark.parametrize("without", [1, 2, 3])
def test_no_rule_passes_on_the_evidence_of_some_runs(rule: str, without: int) -> None:
    passing = {name for name, verdict in verdicts(FACTS).items() if verdict.severity == "pass"}
    assert passing == set(EVIDENCE)
    for name in EVIDENCE[rule]:
        nothing: dict[str, Any] = {name: None}
        runs = (*(replace(run, **nothing) for run in SEEDS[:without]), *SEEDS[without:])
        assert verdicts(replace(FACTS, runs=runs))[rule].severity == "unknown", name


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, runs=(), claimed_bytes_per_token=LOSS / log(2) / BPB),
        replace(FACTS, runs=(), committed={"train_gpt.py": 50_000, "helper.py": 1_000}),
        replace(FACTS, runs=SEEDS, committed={}, headline=None),
    ],
)
def test_claims_alone_pass_no_rule(facts: Facts) -> None:
    removed = set(EVIDENCE) if not facts.runs else {"SIZE-CODE-IS-SHIPPED-CODE", "MEAN-NOT-BEST"}
    found = verdicts(facts)
    assert {found[rule].severity for rule in removed} == {"unknown"}


def test_helpers_pass_only_with_the_model_bytes_of_all_runs() -> None:
    facts = replace(with_run(model_bytes=None), committed={"train_gpt.py": 50_000, "small.py": 1_000})
    assert verdicts(facts)["SIZE-CODE-IS-SHIPPED-CODE"].severity == "unknown"


def test_without_numbers_rules_are_unknown() -> None:
    found = verdicts(Facts())
    assert {verdict.severity for verdict in found.values()} == {"unknown"}
