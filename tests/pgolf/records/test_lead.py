"""Which logs and which evaluation of a folder are reported: those that its claims name."""

import json
from pathlib import Path
from typing import Any

import pytest

from pgolf.records.groups import record_groups
from pgolf.rulesets.ruleset import load_ruleset

RULES = load_ruleset("parameter_golf")
PACKED = "final_int8_zlib_roundtrip_exact"
LOSS = 1.6885  # nats per token for each bit per byte
HEAD = "model_params:{parameters}\nworld_size:8\n{seed}step:7500/20000 train_loss:{loss} train_time:600050ms\n"
SIZE = "Serialized model int8+zlib: 15850000 bytes\nTotal submission size int8+zlib: 15900000 bytes\n"
SCORE = "{label} val_loss:{loss:.8f} val_bpb:{bpb:.8f}\n"


def log(
    *scores: float,
    seed: int | None = None,
    labels: tuple[str, ...] = ("final_int8_zlib_roundtrip_exact",),
    parameters: int = 17_059_912,
) -> str:
    """Return a log with a score under each label; the loss of its training depends on the first score."""
    line = "" if seed is None else f"seed:{seed}\n"
    text = HEAD.format(parameters=parameters, seed=line, loss=scores[0] * 2) + SIZE
    return text + "".join(
        SCORE.format(label=label, loss=bpb * LOSS, bpb=bpb) for label, bpb in zip(labels, scores, strict=True)
    )


def folder_of(tmp_path: Path, logs: dict[str, str], **claims: Any) -> Path:
    for name, text in logs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "submission.json").write_text(json.dumps(claims))
    return tmp_path


def lead_of(folder: Path) -> dict[str, Any]:
    return record_groups(folder, RULES)[0].as_json()


def rules_of(found: dict[str, Any]) -> set[str]:
    return {problem["rule"] for problem in found["problems"]}


SEEDS = {11: 1.10010001, 22: 1.10020002, 33: 1.10030003}
CLAIMED = {"val_bpb": 1.10020002, "seed_results": {str(seed): {"val_bpb": bpb} for seed, bpb in SEEDS.items()}}
RUNS = {f"train_seed{seed}.log": log(bpb, seed=seed) for seed, bpb in SEEDS.items()}


@pytest.mark.parametrize("prefix", ["v3_", "zz_", "baseline_"])
def test_an_older_version_beside_the_claimed_logs_does_not_lead(tmp_path: Path, prefix: str) -> None:
    older = {f"{prefix}{name}": text.replace("1.100", "1.103") for name, text in RUNS.items()}
    found = lead_of(folder_of(tmp_path, RUNS | older, **CLAIMED))
    assert (found["n"], found["mean"], found["chosen_by"]) == (3, pytest.approx(1.10020002, abs=1e-12), "claim")
    assert "claim_not_in_logs" not in rules_of(found)


def test_logs_of_one_set_need_not_all_say_seed_in_their_name(tmp_path: Path) -> None:
    names = {11: "run_a_11.txt", 22: "run_a_seed22.txt", 33: "run_a_seed33.txt"}
    logs = {names[seed]: log(bpb, seed=seed) for seed, bpb in SEEDS.items()}
    found = lead_of(folder_of(tmp_path, logs | {"run_a_ttt_v2.txt": log(1.10050001, seed=11)}, **CLAIMED))
    assert (found["n"], found["mean"]) == (3, pytest.approx(1.10020002, abs=1e-12))


def test_a_claimed_mean_over_several_runs_of_each_seed_counts_each_seed_once(tmp_path: Path) -> None:
    again = {f"{seed}_seed_log_2.txt": log(bpb + 1e-4, seed=seed) for seed, bpb in SEEDS.items()}
    first = {f"{seed}_seed_log_1.txt": log(bpb, seed=seed) for seed, bpb in SEEDS.items()}
    found = lead_of(folder_of(tmp_path, first | again, val_bpb=1.10025002))
    assert (found["n"], len(found["seeds"])) == (3, 6)
    assert found["mean"] == pytest.approx(1.10025002, abs=1e-12)
    assert found["std"] == pytest.approx(0.00010001, abs=1e-12)  # of the three means of a seed


def test_of_two_sets_without_a_claim_neither_is_certain(tmp_path: Path) -> None:
    other = {f"b_{name}": text.replace("1.100", "1.103") for name, text in RUNS.items()}
    found = lead_of(folder_of(tmp_path, RUNS | other))
    assert sorted(each["value"] for each in found["ambiguous"]) == pytest.approx([1.10020002, 1.10320002], abs=1e-8)
    assert found["chosen_by"] == "last evaluation"


def test_the_claim_decides_between_the_evaluations_of_a_log(tmp_path: Path) -> None:
    labels = ("quantized_mix", "quantized_sliding_window")
    logs = {f"train_seed{seed}.log": log(bpb - 0.15, bpb, seed=seed, labels=labels) for seed, bpb in SEEDS.items()}
    claims = {"seed_results": {str(seed): {"val_bpb": round(bpb - 0.15, 8)} for seed, bpb in SEEDS.items()}}
    assert lead_of(folder_of(tmp_path, logs, **claims))["metric"] == "quantized_mix"
    assert lead_of(folder_of(tmp_path, logs))["metric"] == "quantized_sliding_window"


def test_an_evaluation_repeated_in_another_log_counts_if_it_is_claimed(tmp_path: Path) -> None:
    label = ("quantized_ttt",)
    logs = {name: text.replace("final_int8_zlib_roundtrip_exact", label[0]) for name, text in RUNS.items()}
    again = {
        f"second/seed_{seed}.log": f"seed:{seed}\n" + SCORE.format(label=label[0], loss=bpb * LOSS, bpb=bpb - 5e-4)
        for seed, bpb in SEEDS.items()
    }
    claims = {"seed_results": {str(seed): {"val_bpb": round(bpb - 5e-4, 8)} for seed, bpb in SEEDS.items()}}
    assert lead_of(folder_of(tmp_path, logs | again, **claims))["mean"] == pytest.approx(1.09970002, abs=1e-12)
    assert lead_of(folder_of(tmp_path, logs | again, **CLAIMED))["mean"] == pytest.approx(1.10020002, abs=1e-12)


def test_of_two_runs_in_one_log_the_claimed_one_leads(tmp_path: Path) -> None:
    text = log(1.19763674, seed=1337) + log(1.16301431, seed=1337, parameters=18_000_000)
    found = lead_of(folder_of(tmp_path, {"train.log": text}, val_bpb=1.16301431))
    assert (found["n"], found["mean"]) == (1, 1.16301431)


def test_experiments_of_unknown_seed_are_not_averaged(tmp_path: Path) -> None:
    logs = {f"{name}.tail.txt": log(bpb) for name, bpb in (("base", 1.3976), ("deep", 1.396), ("wide", 1.3995))}
    groups = record_groups(folder_of(tmp_path, logs, val_bpb=1.396), RULES)
    assert [len(group.rows) for group in groups] == [1, 1, 1]
    assert groups[0].as_json()["mean"] == 1.396
    assert not {"best_seed_headline", "wrong_mean"} & rules_of(groups[0].as_json())


def test_a_copy_that_prints_no_seed_is_not_another_seed(tmp_path: Path) -> None:
    copy = SCORE.format(label="final_int8_zlib_roundtrip_exact", loss=SEEDS[11] * LOSS, bpb=SEEDS[11])
    found = lead_of(folder_of(tmp_path, RUNS | {"train.log": copy}, **CLAIMED))
    assert (found["n"], found["mean"]) == (3, pytest.approx(1.10020002, abs=1e-12))
    assert {"duplicate_log"} <= rules_of(found)
    assert not {"seeds_alike", "claim_not_in_logs", "wrong_mean"} & rules_of(found)


def test_a_run_whose_log_shows_no_seed_has_the_seed_whose_score_it_has(tmp_path: Path) -> None:
    logs = {name: log(bpb) for name, bpb in zip("abc", SEEDS.values(), strict=True)}
    found = lead_of(folder_of(tmp_path, {f"{name}.log": text for name, text in logs.items()}, **CLAIMED))
    assert {row["seed"]: row["val_bpb"] for row in found["seeds"]} == SEEDS
    assert "missing_seed_log" not in rules_of(found)


def test_the_default_seed_in_the_log_of_an_evaluation_is_not_that_of_the_run(tmp_path: Path) -> None:
    trained = HEAD.format(parameters=1, seed="seed:1337\n", loss=2.0) + SIZE
    evaluated = "Hyperparameters:\n  seed: 42\n" + SCORE.format(
        label="final_int6_sliding_window", loss=1.83, bpb=1.08582287
    )
    trained += SCORE.format(label="final_int8_zlib_roundtrip_exact", loss=1.86, bpb=1.1)
    logs = {"train_seed1337.log": trained, "eval_seed1337.log": evaluated}
    found = lead_of(folder_of(tmp_path, logs, val_bpb=1.08582, seeds=[1337]))
    assert [(row["seed"], row["val_bpb"]) for row in found["seeds"]] == [(1337, 1.08582287)]
    assert not {"missing_seed_log", "seed_in_name_differs_from_log"} & rules_of(found)
