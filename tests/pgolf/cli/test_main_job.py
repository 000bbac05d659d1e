"""The main commands from end to end: run, seeds, preflight, report, spec and data."""

import json
import random
import shutil
import time
from itertools import pairwise
from pathlib import Path

import pytest

from pgolf.rundir import RunDirectory
from tests.conftest import Ended, Pgolf

RESULT_KEYS = {
    "run_id", "name", "seed", "spec_sha256", "code_sha256", "data_sha256", "deterministic", "metrics", "headline",
    "artifact", "clock", "parameters", "steps", "tokens_seen", "epochs", "environment",
}  # fmt: skip


def test_a_run_leaves_the_documented_files(micro_run: RunDirectory) -> None:
    names = {path.name for path in micro_run.root.iterdir()}
    assert names >= {
        "spec.json", "run.json", "preflight.json", "handle.json", "state.json", "metrics.jsonl", "train.log",
        "checkpoints", "artifact", "ledger.npz", "result.json",
    }  # fmt: skip
    result = micro_run.read_result()
    assert result.keys() >= RESULT_KEYS
    assert result["artifact"]["model_bytes"] == micro_run.files.model.stat().st_size
    artifact = result["artifact"]
    assert artifact["total_bytes"] == artifact["model_bytes"] + artifact["code_bytes"]
    assert artifact["limit_bytes"] == 16_000_000


def test_the_headline_is_one_of_the_metrics_and_matches_the_ledger(micro_run: RunDirectory) -> None:
    import numpy as np

    result = micro_run.read_result()
    (metric,) = [metric for metric in result["metrics"] if metric["stage"] == "roundtrip"]
    assert all(metric[key] == value for key, value in result["headline"].items())
    ledger = np.load(micro_run.files.ledger)
    assert (ledger["nll"].dtype, ledger["bytes"].dtype) == (np.float32, np.uint16)
    nats = ledger["nll"].astype(np.float64).sum()
    assert len(ledger["nll"]) == metric["tokens"]
    assert metric["val_loss"] == pytest.approx(nats / metric["tokens"], rel=1e-12)
    assert metric["val_bpb"] == pytest.approx(nats / np.log(2) / ledger["bytes"].sum(dtype=np.int64), rel=1e-12)
    assert metric["bytes"] > 5_000


def test_the_scored_bytes_match_the_decoded_validation_text(micro_run: RunDirectory, micro_data: Path) -> None:
    import numpy as np
    import sentencepiece

    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(micro_data / "tokenizer.model"))
    (shard,) = micro_data.glob("fineweb_val_*.bin")
    tokens = np.fromfile(shard, dtype="<u2", offset=1024)
    starts = [*np.flatnonzero(tokens == tokenizer.bos_id()), len(tokens)]
    documents = [tokens[a + 1 : b].tolist() for a, b in pairwise(starts)]
    text_bytes = sum(len(tokenizer.decode(document).encode()) for document in documents)
    assert micro_run.read_result()["metrics"][-1]["bytes"] == text_bytes


def test_seeds_runs_only_missing_seeds_and_report_has_their_statistics(pgolf: Pgolf, tmp_path: Path) -> None:
    first = pgolf("run", "quickstart", "--with", "micro", "--json")
    assert first.code == 0, first.err
    before = first.json["runs"][0]["result"]
    ended = pgolf("seeds", "--n", "3", "--json")
    assert "that of the newest run" in ended.err
    results = [run["result"] for run in ended.json["runs"]]
    assert sorted(result["seed"] for result in results) == [42, 1337, 2024]
    assert before in results
    assert len({result["headline"]["val_bpb"] for result in results}) == 3
    (group,) = pgolf("report", "--json").json["groups"]
    values = [result["headline"]["val_bpb"] for result in results]
    assert group["n"] == 3
    assert group["mean"] == pytest.approx(sum(values) / 3, rel=1e-12)
    mean = sum(values) / 3
    assert group["std"] == pytest.approx((sum((value - mean) ** 2 for value in values) / 2) ** 0.5, rel=1e-9)
    half = 4.302652729911275 * group["std"] / 3**0.5
    assert group["ci95"] == pytest.approx([mean - half, mean + half], rel=1e-9)
    assert group["over_limit"] is False
    shown = pgolf("report")
    assert "smoke tests" in shown.out
    assert "n=3" in shown.out
    again = pgolf("run", "--json")
    assert "that of the newest run" in again.err
    assert again.json["runs"][0]["result"] in results
    assert (tmp_path / "runs").is_dir()


def test_preflight_prints_json_and_exits_with_3_on_failure(micro_run: RunDirectory, pgolf: Pgolf) -> None:
    good = pgolf("preflight", "quickstart", "--with", "micro", "--json")
    assert good.code == 0, good.err
    document = good.json
    assert document["parameters"]["total"] == sum(document["parameters"]["groups"].values())
    total = document["artifact"]["total_bytes"]
    assert total["low"] <= total["estimate"] <= total["high"]
    assert {check["status"] for check in document["checks"]} <= {"pass", "warn"}
    bad = pgolf("preflight", "baseline", micro_run.files.spec, "--json")
    assert bad.code == 3
    baseline, micro = bad.json["specs"]
    assert baseline["parameters"]["total"] == 17_059_912
    assert baseline["spec_sha256"] is None
    assert micro["spec_sha256"] == micro_run.read_run()["spec_sha256"]
    failed = {check["rule"] for check in baseline["checks"] if check["status"] == "fail"}
    assert "data" in failed


def test_run_without_data_is_a_data_error_and_writes_nothing(pgolf: Pgolf, tmp_path: Path) -> None:
    ended = pgolf("run", "baseline")
    assert ended.code == 5
    assert "manifest.json is missing" in " ".join(ended.err.split())
    assert not (tmp_path / "runs").exists()


def test_a_predicted_size_over_the_limit_stops_the_run(pgolf: Pgolf, tmp_path: Path) -> None:
    wide = "recipe.model={width: 2048, topology: {layers: 4}, attention: {heads: 16, kv_heads: 16}}"
    ended = pgolf("run", "quickstart", "--with", "micro", "--set", wide)
    assert ended.code == 3
    assert "artifact_size" in ended.err
    assert not (tmp_path / "runs").exists()


def test_the_artifact_is_within_the_preflight_estimate(long_run: RunDirectory) -> None:
    estimate = json.loads(long_run.preflight.read_text())["artifact"]
    real = long_run.read_result()["artifact"]
    assert estimate["model_bytes"]["low"] <= real["model_bytes"] <= estimate["model_bytes"]["high"]
    assert estimate["code_bytes"] == real["code_bytes"]


@pytest.mark.slow
def test_a_run_with_other_code_is_refused_and_fresh_starts_a_new_attempt(pgolf: Pgolf, tmp_path: Path) -> None:
    arguments = ("run", "quickstart", "--with", "micro", "--json")
    run_dir = Path(pgolf(*arguments).json["runs"][0]["run_dir"])
    document = json.loads((run_dir / "run.json").read_text())
    (run_dir / "run.json").write_text(json.dumps(document | {"code_sha256": "0" * 64}))
    refused = pgolf(*arguments)
    assert refused.code == 2
    assert "000000000000" in refused.err and "--fresh" in refused.err
    fresh = pgolf(*arguments, "--fresh")
    assert fresh.code == 0, fresh.err
    assert Path(fresh.json["runs"][0]["run_dir"]).name == "seed-1337.1"


@pytest.mark.slow
def test_a_run_resumes_after_its_data_has_moved(pgolf: Pgolf, tmp_path: Path, micro_data: Path) -> None:
    def run(folder: str, *more: str) -> Ended:
        data = f"recipe.data={{kind: shards, folder: {folder}}}"
        return pgolf("run", "quickstart", "--with", "micro", "--set", data, *more)

    shutil.copytree(micro_data, tmp_path / "here")
    assert run("here", "--detach").code == 0
    assert pgolf("cancel", "seed-1337").code == 0
    (tmp_path / "here").rename(tmp_path / "there")
    deadline = time.monotonic() + 60
    while pgolf("status", "--json").json["runs"][0]["state"] == "running":
        assert time.monotonic() < deadline
    ended = run("there", "--json")
    assert ended.code == 0, ended.err
    assert len([*tmp_path.glob("runs/*/seed-*")]) == 1


def test_a_damaged_result_is_reported(pgolf: Pgolf, micro_run: RunDirectory, tmp_path: Path) -> None:
    copy = RunDirectory(Path(shutil.copytree(micro_run.root, tmp_path / "runs" / micro_run.run_id)))
    copy.files.result.write_text(copy.files.result.read_text()[:100])
    (status,) = pgolf("status", "--json").json["runs"]
    assert (status["state"], f"{micro_run.run_id}/result.json" in status["error"]) == ("damaged", True)
    report = pgolf("report")
    assert (report.code, "damaged_run" in report.out) == (0, True)
    assert pgolf("report", copy.root).code == 1
    ended = pgolf("run", "quickstart", "--with", "micro", "--json")
    assert ended.code == 1
    assert ended.json["runs"][0]["state"] == "damaged"
    assert "--fresh" in ended.err and "Traceback" not in ended.err


def test_a_damaged_run_of_one_seed_does_not_keep_the_others_from_running(
    pgolf: Pgolf, micro_run: RunDirectory, tmp_path: Path
) -> None:
    shutil.copytree(micro_run.root, tmp_path / "runs" / micro_run.run_id)
    other = tmp_path / "runs" / micro_run.root.parent.name / "seed-42"
    shutil.copytree(micro_run.root, other)
    (other / "run.json").write_text("{}")
    ended = pgolf("seeds", "quickstart", "--with", "micro", "--n", "3", "--json")
    assert (ended.code, [Path(run["run_dir"]).name for run in ended.json["runs"]]) == (1, ["seed-1337", "seed-2024"])
    assert all(run["state"] == "finished" for run in ended.json["runs"])
    assert "seed-42/run.json: name: expected this key, found nothing" in ended.err


def test_overlays_of_a_spec_apply_to_the_spec_of_a_run(pgolf: Pgolf, micro_run: RunDirectory, tmp_path: Path) -> None:
    shutil.copytree(micro_run.root, tmp_path / "runs" / micro_run.run_id)
    shown = pgolf("spec", "show", "--with", "tiny", "--json")
    assert shown.json["recipe"]["budget"]["train"] == 100


def test_a_conflict_is_reported_at_the_value_from_the_command_line(pgolf: Pgolf) -> None:
    ended = pgolf("run", "quickstart", "--set", "recipe.model.attention.heads=3")
    assert ended.code == 2
    assert "--set recipe.model.attention.heads=3:" in " ".join(ended.err.split())


def test_dry_run_starts_nothing(pgolf: Pgolf, tmp_path: Path) -> None:
    ended = pgolf("run", "quickstart", "--with", "micro", "--dry-run")
    assert ended.code == 0
    assert "would run 1 of 1" in ended.out
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_the_baseline_runs_like_quickstart(pgolf: Pgolf) -> None:
    ended = pgolf("run", "baseline", "--with", "micro", "--json")
    assert ended.code == 0, ended.err
    result = ended.json["runs"][0]["result"]
    assert result["steps"] == 12
    assert result["artifact"]["model_bytes"] > 10_000


@pytest.mark.slow
def test_own_text_is_prepared_verified_and_trained_on(pgolf: Pgolf, tmp_path: Path) -> None:
    words = ["golf", "byte", "model", "weight", "score", "token", "small", "train"]
    lines = [json.dumps({"text": " ".join(random.Random(i).choices(words, k=400)) + f" {i}."}) for i in range(60)]
    (tmp_path / "docs.jsonl").write_text("\n".join(lines))
    made = pgolf("data", "prepare", "docs.jsonl", "--out", "mine", "--vocab", "300", "--val-fraction", "0.2")
    assert made.code == 0, made.err
    assert pgolf("data", "verify", "mine").code == 0
    data = ("--set", "recipe.data={kind: shards, folder: mine}")
    ended = pgolf("run", "quickstart", "--with", "micro", *data, "--json")
    assert ended.code == 0, ended.err
    shard = next((tmp_path / "mine").glob("fineweb_train_*.bin"))
    content = bytearray(shard.read_bytes())
    content[-3] ^= 1
    shard.write_bytes(content)
    assert pgolf("data", "verify", "mine").code == 5
    broken = pgolf("run", "quickstart", "--with", "micro", *data, "--seed", "7")
    assert broken.code == 5
    assert "SHA-256" in broken.err


def test_the_html_page_is_one_file_with_a_curve(pgolf: Pgolf, long_run: RunDirectory, tmp_path: Path) -> None:
    ended = pgolf("report", long_run.root, "--format", "html", "--out", "page.html")
    assert ended.code == 0, ended.err
    page = (tmp_path / "page.html").read_text()
    assert '"title": "training loss, nats per token"' in page
    assert "src=" not in page.partition("<script>")[0]


PLAN_ENDS = ("blend", "pops_skip", "pushes_skip")


def test_spec_show_prints_the_source_of_each_value(pgolf: Pgolf, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = pgolf("spec", "show", "quickstart", "--set", "recipe.model.width=64", "--json").json
    assert shown["sources"]["recipe.model.width"].startswith("--set")
    assert shown["sources"]["recipe.codec.kind"].endswith("quickstart.yaml:31")
    plan = pgolf("spec", "show", "baseline", "--plan", "--json").json["plan"]
    assert [row["pops_skip"] for row in plan] == [None, None, None, None, 0, 1, 2, 3, None]
    narrow = pgolf("spec", "show", "pr1579_crawler_d736", "--plan").out.splitlines()
    assert narrow[-1] == "no room for pops_skip, pushes_skip; widen the terminal or use --json"
    monkeypatch.setenv("COLUMNS", "120")
    table = pgolf("spec", "show", "pr1579_crawler_d736", "--plan").out.splitlines()
    assert table[0].split() == ["#", "block", "loop", "rope", "exclusive", "adds_value", "scale_row", *PLAN_ENDS]
    assert table[4].split()[:7] == ["3", "looped.0", "1", "22", "dims", "of", "46"]


def test_a_new_spec_passes_preflight_unchanged(pgolf: Pgolf, tmp_path: Path) -> None:
    assert pgolf("spec", "new").code == 0
    assert pgolf("preflight", "spec.yaml", "--with", "micro").code == 0
    assert (tmp_path / "spec.yaml").exists()


def test_an_unwritable_runs_folder_is_a_machine_error(pgolf: Pgolf, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    ended = pgolf("run", "quickstart", "--with", "micro")
    assert ended.code == 6
    assert "runs" in ended.err
