"""The audit of a pgolf run: an unchanged run passes, and each change made afterwards is found."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgolf.audit.probes import make_questions, probe_tokens
from pgolf.audit.runs import audit_run, clock_verdicts, protocol_edges
from pgolf.audit.verdicts import Verdict
from pgolf.data.manifests import read_manifest
from pgolf.data.verify import verify_contents
from pgolf.errors import RunDamaged
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.run_reading import read_recipe_result
from pgolf.rundir import RunDirectory
from tests.conftest import Ended
from tests.pgolf.data.builders import BEGIN, plant, raw_documents
from trainer.recipe.files import ANSWERS, QUESTIONS, RunFiles
from trainer.recipe.reading import read_json
from trainer.recipe.writing import write_json

RULES = load_ruleset("parameter_golf")


@pytest.fixture
def copy(micro_run: RunDirectory, tmp_path: Path) -> RunDirectory:
    shutil.copytree(micro_run.root, tmp_path / micro_run.root.name)
    return RunDirectory(tmp_path / micro_run.root.name)


def verdicts(run: RunDirectory, *, is_executed: bool = False) -> dict[str, Verdict]:
    return {found.rule: found for found in audit_run(run, RULES, is_executed=is_executed)}


def test_an_unchanged_run_passes_all_rules_but_hardware_and_data(micro_run: RunDirectory) -> None:
    found = verdicts(micro_run, is_executed=True)
    assert {rule for rule, verdict in found.items() if verdict.severity != "pass"} == {"HARDWARE", "VAL-IS-CANONICAL"}
    assert {"C1-CAUSAL", "C1-SELF", "C2-NORMALISED", "SPACE-ONCE", "BPB-IDENTITY", "SIZE-CAP"} <= set(found)


def change_ledger(run: RunDirectory, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    with np.load(run.files.ledger) as ledger:
        arrays = dict(ledger)
    change(arrays)
    np.savez(run.files.ledger, **arrays)


def test_a_changed_score_in_the_ledger_fails(copy: RunDirectory) -> None:
    change_ledger(copy, lambda arrays: arrays["nll"].__setitem__(7, 0.0))
    assert verdicts(copy)["BPB-IDENTITY"].severity == "fail"


def test_changed_byte_counts_in_the_ledger_fail(copy: RunDirectory) -> None:
    change_ledger(copy, lambda arrays: arrays["bytes"].__setitem__(slice(0, 50), arrays["bytes"][:50] + 1))
    assert verdicts(copy)["SPACE-ONCE"].severity == "fail"


def test_a_missing_score_fails(copy: RunDirectory) -> None:
    change_ledger(copy, lambda arrays: arrays.update(nll=arrays["nll"][:-1], bytes=arrays["bytes"][:-1]))
    assert verdicts(copy)["LOG-COMPLETE"].severity == "fail"


def test_a_model_of_another_size_fails(copy: RunDirectory) -> None:
    copy.files.model.write_bytes(copy.files.model.read_bytes() + b"x")
    assert verdicts(copy)["SIZE-CODE-IS-SHIPPED-CODE"].severity == "fail"


def test_a_model_over_the_limit_fails(copy: RunDirectory) -> None:
    with copy.files.model.open("ab") as file:
        file.truncate(16_000_000)
    assert verdicts(copy)["SIZE-CAP"].severity == "fail"


@pytest.mark.parametrize(
    ("seconds", "broken"),
    [
        ((600.0, 0.0, 0.0, 601.0), set()),
        ((590.0, 20.0, 0.0, 500.0), {"TRAIN-600-INCLUDES-CALIBRATION"}),
        ((300.0, 0.0, 30.0, 580.0), {"EVAL-600"}),
        ((610.0, 0.0, 0.0, 0.0), {"TRAIN-600", "TRAIN-600-INCLUDES-CALIBRATION"}),
    ],
)
@pytest.mark.parametrize(("device", "severity"), [("NVIDIA H100 80GB HBM3", "fail"), ("cpu", "warn")])
def test_calibration_counts_as_training_and_decoding_as_evaluation(
    micro_run: RunDirectory, seconds: tuple[float, ...], broken: set[str], device: str, severity: str
) -> None:
    phases = ("train_seconds", "calibrate_seconds", "decode_seconds", "evaluate_seconds")
    result = read_recipe_result(micro_run.files.result)
    changes: Any = {"clock": dict(zip(phases, seconds, strict=True)), "environment": {"device": device, "processes": 8}}
    found = clock_verdicts({**result, **changes}, RULES)
    clocks = {verdict.rule: verdict.severity for verdict in found if verdict.rule != "HARDWARE"}
    rules = ("TRAIN-600", "TRAIN-600-INCLUDES-CALIBRATION", "EVAL-600")
    assert clocks == {rule: severity if rule in broken else "pass" for rule in rules}


@pytest.mark.parametrize(
    ("phase", "rule"), [("calibrate_seconds", "TRAIN-600-INCLUDES-CALIBRATION"), ("decode_seconds", "EVAL-600")]
)
@pytest.mark.parametrize(("spent", "severity"), [(0.0, "unknown"), (700.0, "warn")])
def test_a_phase_that_was_not_measured_is_unknown(
    micro_run: RunDirectory, phase: str, rule: str, spent: float, severity: str
) -> None:
    """The trainer measures each phase of every run."""
    result = read_recipe_result(micro_run.files.result)
    clock: Any = result["clock"]
    changes: Any = {"clock": {key: seconds + spent for key, seconds in clock.items() if key != phase}}
    (found,) = [verdict for verdict in clock_verdicts({**result, **changes}, RULES) if verdict.rule == rule]
    assert (found.severity, phase in found.message) == (severity, True)


@pytest.mark.parametrize(
    ("remove", "rules"),
    [
        (lambda files: files.model.unlink(), ("SIZE-CAP", "SIZE-CODE-IS-SHIPPED-CODE")),
        (lambda files: files.program.unlink(), ("SIZE-CAP", "SIZE-CODE-IS-SHIPPED-CODE")),
        (lambda files: files.ledger.unlink(), ("BPB-IDENTITY", "LOG-COMPLETE", "SPACE-ONCE")),
    ],
)
def test_no_rule_passes_without_its_evidence(
    copy: RunDirectory, remove: Callable[[RunFiles], None], rules: tuple[str, ...]
) -> None:
    remove(copy.files)
    found = verdicts(copy)
    assert {found[rule].severity for rule in rules if rule in found} == {"unknown"}


def test_a_result_without_a_clock_is_damaged(copy: RunDirectory) -> None:
    write_json(copy.files.result, read_json(copy.files.result) | {"clock": {}})
    with pytest.raises(RunDamaged, match=r"clock\.train_seconds: expected this key, found nothing"):
        verdicts(copy)


def test_other_hardware_of_a_resumed_run_is_named(copy: RunDirectory) -> None:
    write_json(copy.files.result, read_json(copy.files.result) | {"resumed_under": [{"processes": 4}]})
    found = audit_run(copy, RULES, is_executed=False)
    assert "began on cpu and was resumed on other hardware: processes 4" in [verdict.message for verdict in found]


def test_rules_about_missing_data_are_unknown(copy: RunDirectory) -> None:
    write_json(copy.files.run, read_json(copy.files.run) | {"data_folder": "/nowhere"})
    found = verdicts(copy, is_executed=True)
    rules = ("SPACE-ONCE", "TRAIN-VAL-DISJOINT", "C1-CAUSAL", "C2-NORMALISED")
    assert {found[rule].severity for rule in rules} == {"unknown"}


def test_the_data_of_a_run_is_judged_as_by_data_verify(copy: RunDirectory, micro_data: Path, tmp_path: Path) -> None:
    """One validation document of few is in the training text: no exception is made for a single one."""
    folder = tmp_path / "data"
    shutil.copytree(micro_data, folder)
    train, validation = (raw_documents(folder, split) for split in ("train", "validation"))
    plant(folder, "train", [token for document in [*train, validation[0]] for token in (BEGIN, *document)])
    data_sha256 = read_manifest(folder).sha256
    write_json(copy.files.run, read_json(copy.files.run) | {"data_folder": str(folder), "data_sha256": data_sha256})
    verdict = verdicts(copy)["TRAIN-VAL-DISJOINT"]
    (verified,) = [finding for finding in verify_contents(folder).findings if finding.rule == "overlap"]
    assert (verdict.severity, verdict.message) == (verified.severity, verified.message)
    assert verdict.severity == "fail"
    assert verdict.message.startswith(f"1 of {len(validation)} validation documents is in the training text")


def test_the_users_own_code_is_not_run_and_leaves_rules_unknown(copy: RunDirectory) -> None:
    copy.files.local.mkdir()
    found = verdicts(copy, is_executed=True)
    assert {found[rule].severity for rule in ("C1-CAUSAL", "NO-PREQUANT-TTT")} == {"unknown"}


def test_the_probe_gives_the_scores_of_the_ledger(micro_run: RunDirectory, micro_data: Path, tmp_path: Path) -> None:
    """A chunk depends on nothing outside itself, so that the probe must score it as the run did."""
    from pgolf.audit.isolation import run_python
    from pgolf.audit.probes import model_answerer

    tokens, begin = probe_tokens(micro_data)
    questions = make_questions(tokens, begin, [])
    np.savez(tmp_path / QUESTIONS, streams=questions.streams[:1], asked=np.array([(0, 5)]), begin=np.array(begin))
    answerer = model_answerer(micro_run.files.model)
    ended = run_python([*answerer.arguments, str(tmp_path)], tmp_path, 100, reads=answerer.reads)
    assert ended.failure is None
    window = read_json(micro_run.files.result)["metrics"][-1]["window"]
    whole = (len(tokens) - 1) // window * window
    with np.load(tmp_path / ANSWERS) as answers, np.load(micro_run.files.ledger) as ledger:
        np.testing.assert_allclose(answers["nats"][0][:whole], ledger["nll"][:whole], rtol=1e-6)
        assert -answers["log_probabilities"][0][tokens[5]] == pytest.approx(ledger["nll"][4], rel=1e-5)


def test_the_command_ends_with_code_3_if_a_rule_fails(pgolf: Callable[..., Ended], copy: RunDirectory) -> None:
    change_ledger(copy, lambda arrays: arrays["nll"].__setitem__(7, 0.0))
    ended = pgolf("audit", str(copy.root), "--metadata-only", "--json")
    assert ended.code == 3
    assert ended.json["verdict"] == "fail"
    assert "BPB-IDENTITY" in ended.err


def test_scores_that_the_model_does_not_give_fail(copy: RunDirectory) -> None:
    """Ledger, headline and metric are forged consistently, so that only the model shows it."""
    change_ledger(copy, lambda arrays: arrays.update(nll=arrays["nll"] * np.float32(0.5)))
    result = read_json(copy.files.result)
    for metric in (result["headline"], result["metrics"][-1]):
        metric |= {"val_bpb": metric["val_bpb"] / 2, "val_loss": metric["val_loss"] / 2}
    write_json(copy.files.result, result)
    assert verdicts(copy)["BPB-IDENTITY"].severity == "pass"
    assert verdicts(copy, is_executed=True)["METRIC-STAGE"].severity == "fail"


def test_a_damaged_model_fails(copy: RunDirectory) -> None:
    content = bytearray(copy.files.model.read_bytes())
    content[len(content) // 2] ^= 1
    copy.files.model.write_bytes(content)
    found = verdicts(copy, is_executed=True)
    assert "METRIC-STAGE" in found, found["C1-CAUSAL"].message
    assert found["METRIC-STAGE"].severity == "fail"
    assert "model.bin cannot be decoded" in found["METRIC-STAGE"].message
    assert found["C1-CAUSAL"].severity == "unknown"


def test_growing_chunks_give_edges_to_probe(copy: RunDirectory) -> None:
    chunks = [{"until": 8, "tokens": 4}, {"until": None, "tokens": 48}]
    spec = read_json(copy.files.spec)
    spec["recipe"]["evaluation"] = {"kind": "document_lora", "window": 64, "chunk_tokens": chunks}
    write_json(copy.files.spec, spec)
    assert protocol_edges(copy) == [64, 128, 4, 8, 48, 96]


@pytest.mark.parametrize(("order", "severity"), [("stream", "pass"), ("published_by_length", "warn")])
def test_the_order_of_adaptation_is_judged(copy: RunDirectory, order: str, severity: str) -> None:
    spec = read_json(copy.files.spec)
    spec["recipe"]["evaluation"] = {"kind": "document_lora", "window": 64, "chunk_tokens": 48, "order": order}
    write_json(copy.files.spec, spec)
    assert verdicts(copy)["ADAPTATION-ORDER"].severity == severity
