"""The shared cases: each was misread on real folders, and is read right."""

from pathlib import Path

import pytest

from pgolf.records.groups import record_groups
from pgolf.rulesets.ruleset import load_ruleset
from tests.pgolf.records.conftest import RECORDS

RULES = load_ruleset("parameter_golf")
CASES = RECORDS.parent / "cases" / "records"
# Mean, seeds and largest bytes of the group that leads, from the cases' logs.
RIGHT: dict[str, tuple[float, int, int | None]] = {
    "appended_runs_first_leads/a": (1.16301431, 1, 15_353_490),
    "claim_finer_than_log/a": (1.094402, 1, 15_900_000),
    "claim_is_another_evaluation/a": (0.95020002, 3, 15_900_000),
    "close_evaluations_merged/a": (1.1008976, 1, 15_900_000),
    "copy_without_seed_counted_twice/a": (1.16469136, 3, 15_900_000),
    "epoch_seconds_prefix/a": (1.10020002, 3, 15_900_000),
    "eval_log_prints_default_seed/a": (1.08582287, 1, 15_900_000),
    "json_with_log_tail/a": (1.13066765, 1, 15_923_256),
    "mean_of_rounded_claims/a": (1.08560196, 3, 15_900_000),
    "only_step_validations/a": (1.1787, 1, None),
    "other_group_leads/a_baseline_beside": (1.08153625, 1, 15_900_000),
    "other_group_leads/b_older_version_beside": (1.10020002, 3, 15_900_000),
    "other_group_leads/c_one_name_without_seed_word": (1.10020002, 3, 15_900_000),
    "other_group_leads/d_seed_before_word": (1.10035002, 3, 15_900_000),
    "over_time_on_unlimited_track/a/track_non_record_16mb/neutral": (1.1, 1, 15_900_000),
    "readme_table_is_not_seeds/a": (1.1, 1, 15_900_000),
    "readme_table_is_not_seeds/b_vocab": (1.1, 1, 15_900_000),
    "reevaluation_same_label/a": (1.09970002, 3, 15_900_000),
    "score_without_val_loss/a_bpb_only": (1.12662548, 1, 15_900_000),
    "score_without_val_loss/b_word_between": (1.19692464, 1, 15_900_000),
    "score_without_val_loss/c_other_bpb_first": (1.09220592, 1, 15_900_000),
    "score_without_val_loss/d_mix_bpb": (0.901534, 1, 15_900_000),
    "score_without_val_loss/e_summary_block": (1.194716, 1, 15_850_810),
    "score_without_val_loss/f_words": (1.0162, 1, 15_900_000),
    "score_without_val_loss/g_exact_word": (0.11555061, 1, 15_900_000),
    "seed_from_dumped_source/a": (1.10020002, 3, 15_900_000),
    "seed_from_dumped_source/b": (1.10020002, 3, 15_900_000),
    "seed_from_dumped_source/c_component_seed": (1.1, 1, 15_900_000),
    "size_dialects_not_read/a": (1.1, 1, 4_946_680),
    "size_dialects_not_read/b": (1.1, 1, 15_441_941),
    "size_dialects_not_read/c": (1.1, 1, 14_707_311),
    "size_dialects_not_read/d": (1.1, 1, 15_918_257),
    "size_dialects_not_read/e": (1.1, 1, 13_924_361),
    "size_dialects_not_read/g": (1.1, 1, 3_591_303),
    "size_dialects_not_read/h": (1.1, 1, 15_988_916),
    "size_dialects_not_read/i": (1.1, 1, 15_920_000),
    "size_in_separate_train_log/a": (1.061, 1, 15_995_233),
    "size_of_an_intermediate_kept/a": (1.13, 1, 15_876_912),
    "stage_number_taken_for_seed/a": (1.1, 1, 15_900_000),
    "unseeded_ablations_averaged/a": (1.396, 1, 15_900_000),
}


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside the checkout")
@pytest.mark.parametrize("case", RIGHT)
def test_a_case_is_read_right_and_accused_of_nothing(case: str) -> None:
    group = record_groups(CASES / case, RULES)[0]
    mean, seeds, size = RIGHT[case]
    assert group.spread is not None
    assert group.spread.mean == pytest.approx(mean, abs=1e-8)
    assert (group.spread.n, group.max_total_bytes, group.ambiguous) == (seeds, size, ())
    assert [found for found in group.problems() if found.severity == "fail"] == []


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside the checkout")
def test_every_case_is_here() -> None:
    assert sorted(RIGHT) == sorted(
        path.parent.relative_to(CASES).as_posix() for path in Path(CASES).rglob("submission.json")
    )
