"""Writing and verifying a submission: every number comes from a result, every false claim is found."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from pgolf.audit.rescoring import is_artifact, recompute_scores
from pgolf.audit.verify import check_claims, read_submission
from pgolf.bundle.build import Bundle, embedded_json
from pgolf.bundle.modules import trainer_code
from pgolf.findings import failures
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.rundir import RunDirectory
from tests.conftest import Ended, Pgolf, run_pgolf, shared_run
from trainer.recipe.decode import decode_recipe


@pytest.fixture(scope="session")
def folder(session_folder: Path, own_cache: None, micro_run: RunDirectory) -> Path:
    """Return a submission of two seeds, which tests must not change."""
    other = shared_run(session_folder / "micro-42", "--with", "micro", "--seed", "42")
    out = session_folder / "submission"
    if not out.exists():
        ended = run_pgolf(
            session_folder, "submission", micro_run.root, other.root, "--out", out, "--author", "A", "--github-id", "a"
        )
        assert ended.code == 0, ended.err
    return out


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def claims(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "submission.json").read_text())
    return found


def with_seed(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    results = document["seed_results"]
    return document | {"seed_results": results | {"42": results["42"] | changes}}


def failed_rules(ended: Ended) -> dict[str, list[str]]:
    """Return the rules that failed, with their messages."""
    failed: dict[str, list[str]] = {}
    for check in ended.json["checks"]:
        if check["status"] == "fail":
            failed.setdefault(check["rule"], []).append(check["message"])
    return failed


def test_copies_of_a_run_are_not_packed_as_seeds(micro_run: RunDirectory, tmp_path: Path) -> None:
    copy = tmp_path / micro_run.root.parent.name / "seed-7"
    shutil.copytree(micro_run.root, copy)
    result = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps(result | {"seed": 7}))
    ended = run_pgolf(tmp_path, "submission", micro_run.root, copy, "--out", "out", "--author", "A", "--github-id", "a")
    assert (ended.code, "are one run" in ended.err) == (3, True)
    assert not (tmp_path / "out").exists()


def test_every_number_comes_from_the_results(folder: Path, micro_run: RunDirectory) -> None:
    document, result = claims(folder), micro_run.read_result()
    scores = [entry["val_bpb"] for entry in document["seed_results"].values()]
    assert document["val_bpb"] == fmean(scores)
    assert document["val_bpb_std"] == stdev(scores)
    assert document["seeds"] == [42, 1337]
    mine = document["seed_results"]["1337"]
    assert (mine["val_bpb"], mine["val_loss"]) == (result["headline"]["val_bpb"], result["headline"]["val_loss"])
    assert mine["artifact_bytes"] == result["artifact"]["total_bytes"]
    assert (folder / "model_seed1337.bin").read_bytes() == micro_run.files.model.read_bytes()
    assert document["bytes_code"] == (folder / "train_gpt.py").stat().st_size
    total = max((folder / f"model_seed{s}.bin").stat().st_size for s in (42, 1337)) + document["bytes_code"]
    assert document["bytes_total"] == total
    log = (folder / "train_seed1337.log").read_text()
    headline = result["headline"]
    assert f"val_loss:{headline['val_loss']} val_bpb:{headline['val_bpb']}" in log
    assert f"Total submission size quantized+brotli: {mine['artifact_bytes']} bytes" in log
    assert f"{headline['val_bpb']:.8f}" in (folder / "README.md").read_text()
    texts = [path.read_text() for path in folder.iterdir() if path.suffix in (".md", ".json", ".log")]
    assert not any(str(Path.home()) in text for text in texts)


def test_a_submission_passes_verification_and_no_other_file_of_it_is_run(copy: Path) -> None:
    ran = copy.parent / "ran"
    for name in ("brotli", "torch", "sitecustomize"):
        (copy / f"{name}.py").write_text(f"open({str(ran)!r}, 'w')")
    ended = run_pgolf(copy.parent, "verify", copy, "--json")
    assert (ended.code, ran.exists()) == (0, False), ended.err
    rules = [(check["rule"], check["status"]) for check in ended.json["checks"]]
    assert rules.count(("score", "pass")) == 2
    assert {status for rule, status in rules if rule != "seeds"} == {"pass"}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda c: c | {"val_bpb": min(e["val_bpb"] for e in c["seed_results"].values())}, "mean"),
        (lambda c: c | {"val_bpb_std": c["val_bpb_std"] / 2**0.5}, "std"),  # the population's
        (lambda c: c | {"bytes_code": c["bytes_code"] - 1000}, "code_bytes"),
        (lambda c: c | {"bytes_total": 1}, "bytes_total"),
        (lambda c: c | {"val_loss": 0.0}, "mean"),
        (lambda c: c | {"seeds": [1, 42, 1337]}, "seeds"),
        (lambda c: with_seed(c, model_bytes=5), "artifact_bytes"),
        (lambda c: c | {"seed_results": {}, "seeds": []}, "submission_json"),
        (lambda c: c | {"seed_results": [1, 2]}, "submission_json"),
        (lambda c: c | {"seed_results": {"\x1b[31m": c["seed_results"]["42"]}}, "submission_json"),
        (lambda c: c | {"seed_results": {"../1": c["seed_results"]["42"]}}, "submission_json"),
        (lambda c: c | {"val_bpb": 10**400}, "submission_json"),
        (lambda c: c | {"pgolf": "x"}, "submission_json"),
    ],
)
def test_a_claim_that_the_folder_contradicts_is_named(copy: Path, change: Any, rule: str) -> None:
    (copy / "submission.json").write_text(json.dumps(change(claims(copy))))
    found, findings = read_submission(copy)
    if found is not None:
        findings += check_claims(copy, found, load_ruleset("parameter_golf"))
    failed = {finding.rule for finding in failures(findings)}
    assert rule in failed
    assert failed == {rule} or rule == "mean"


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("name", ["train_gpt.py", "model_seed1337.bin"])
@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        Path.mkdir,
        sparse,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("../outside"),
        lambda path: path.symlink_to(path.name),
    ],
    ids=["pipe", "folder", "terabyte", "device", "link that leads out", "link to itself"],
)
def test_only_regular_files_inside_the_folder_are_read(copy: Path, name: str, make: Callable[[Path], Any]) -> None:
    """The file outside has the right content, and the code of the claims would be run."""
    (copy / name).rename(copy.parent / "outside")
    make(copy / name)
    found, _ = read_submission(copy)
    assert found is not None
    claim = found.own_seed(1337)
    assert claim is not None
    if name == "train_gpt.py":
        scores, _ = recompute_scores(copy, found, copy.parent, True, ("none",), print)
        assert [(finding.severity, finding.rule) for finding in scores] == [("fail", "score")]
        assert "the score was not recomputed: " in scores[0].message
    else:
        assert not is_artifact(copy / name, claim)
    limits = [
        finding for finding in check_claims(copy, found, load_ruleset("parameter_golf")) if finding.rule == "limit"
    ]
    assert [finding.severity for finding in limits] == ["fail" if make is sparse else "unknown"]


def test_a_total_is_unknown_where_artifacts_are_not_there_to_count(copy: Path) -> None:
    """The artifact that is missing may be the largest, as its own claim says."""
    document = claims(copy)
    (copy / "model_seed1337.bin").unlink()
    for size, severities in ((None, ("unknown", "unknown")), (16_000_001, ("unknown", "fail"))):
        document["seed_results"]["1337"]["artifact_bytes"] = size
        (copy / "submission.json").write_text(json.dumps(document))
        found, _ = read_submission(copy)
        assert found is not None
        by_rule = {each.rule: each.severity for each in check_claims(copy, found, load_ruleset("parameter_golf"))}
        assert (by_rule["bytes_total"], by_rule["limit"]) == severities


@pytest.mark.parametrize("kept", [0, 1])
def test_the_limit_is_unknown_where_artifacts_are_not_there_to_count(copy: Path, kept: int) -> None:
    for model in sorted(copy.glob("model_seed*.bin"))[kept:]:
        model.unlink()
    found, _ = read_submission(copy)
    assert found is not None
    severities = {each.rule: each.severity for each in check_claims(copy, found, load_ruleset("parameter_golf"))}
    assert severities["limit"] == "unknown"


def test_seeds_that_claim_the_numbers_of_one_run_are_named(copy: Path) -> None:
    document = claims(copy)
    one = document["seed_results"]["42"]
    (copy / "submission.json").write_text(json.dumps(document | {"seed_results": {"42": one, "1337": one, "7": one}}))
    found, _ = read_submission(copy)
    assert found is not None
    findings = check_claims(copy, found, load_ruleset("parameter_golf"))
    assert "seeds_alike" in {finding.rule for finding in failures(findings)}


@pytest.mark.parametrize("changes", [{"metric": {}}, {"train_gpt_sha256": "0" * 64}])
def test_facts_of_another_score_or_program_are_named(copy: Path, changes: dict[str, Any]) -> None:
    document = claims(copy)
    (copy / "submission.json").write_text(json.dumps(document | {"pgolf": document["pgolf"] | changes}))
    ended = run_pgolf(copy.parent, "verify", copy, "--json")
    assert (ended.code, set(failed_rules(ended))) == (3, {"score"})


@pytest.mark.slow
def test_a_better_score_than_the_artifact_has_is_found(copy: Path) -> None:
    document = claims(copy)
    entry = document["seed_results"]["42"]
    entry["val_bpb"] -= 0.001
    document["val_bpb"] = fmean(e["val_bpb"] for e in document["seed_results"].values())
    document["val_bpb_std"] = stdev(e["val_bpb"] for e in document["seed_results"].values())
    (copy / "submission.json").write_text(json.dumps(document))
    ended = run_pgolf(copy.parent, "verify", copy, "--json")
    assert ended.code == 3
    (message,) = failed_rules(ended)["score"]
    assert f"{entry['val_bpb']:.8f} is claimed" in message


@pytest.mark.slow
def test_another_artifact_and_another_program_are_not_run(copy: Path) -> None:
    shutil.copy(copy / "model_seed42.bin", copy / "model_seed1337.bin")
    ended = run_pgolf(copy.parent, "verify", copy, "--json")
    assert {"artifact_bytes", "score"} <= set(failed_rules(ended))
    assert "is not the artifact of the claims" in failed_rules(ended)["score"][0]
    (copy / "train_gpt.py").write_text("open('ran', 'w')")
    ended = run_pgolf(copy.parent, "verify", copy, "--json")
    assert "was not run" in failed_rules(ended)["score"][0]
    assert not [*copy.parent.rglob("ran")]


@pytest.mark.parametrize("name", ["/tmp/pgolf-was-here.txt", pytest.param("own.py", marks=pytest.mark.slow)])
def test_code_embedded_in_the_claims_is_not_unpacked(copy: Path, name: str) -> None:
    document = claims(copy)
    embedded = document["pgolf"]["embedded"] | {"local": {name: "open('ran', 'w')"}}
    recipe = decode_recipe(embedded["recipe"])
    program = Bundle(recipe, trainer_code(recipe), embedded_json(embedded)).packed
    (copy / "train_gpt.py").write_bytes(program)
    document["pgolf"] |= {"embedded": embedded, "train_gpt_sha256": hashlib.sha256(program).hexdigest()}
    (copy / "submission.json").write_text(json.dumps(document))
    ended = run_pgolf(copy.parent, "verify", copy, "--json")
    assert "was not run" in failed_rules(ended)["score"][0]
    assert not Path(name).is_absolute() or not Path(name).exists()


def test_a_public_folder_is_checked_as_far_as_possible(pgolf: Pgolf, tmp_path: Path) -> None:
    (tmp_path / "public").mkdir()
    public = {
        "val_bpb": 1.0801,
        "bytes_total": 16_000_001,
        "seed_results": {"1": {"val_bpb": 1.1001}, "2": {"val_bpb": 1.2001}},
    }
    (tmp_path / "public" / "submission.json").write_text(json.dumps(public))
    (tmp_path / "public" / "train_gpt.py").write_text("print('hello')")
    ended = pgolf("verify", "public", "--json")
    assert ended.code == 3
    assert set(failed_rules(ended)) == {"mean", "limit"}
    (tmp_path / "public" / "submission.json").write_text("{")
    assert pgolf("verify", "public").code == 2


def test_runs_of_different_experiments_are_refused(
    pgolf: Pgolf, micro_run: RunDirectory, tmp_path: Path, folder: Path
) -> None:
    other = RunDirectory(Path(shutil.copytree(micro_run.root, tmp_path / "runs" / "other-00000000" / "seed-7")))
    result = other.read_result()
    for changes, complaint in (
        ({"seed": 7, "code_sha256": "0"}, "differ in code_sha256"),
        ({}, "expected each once"),
    ):
        other.files.result.write_text(json.dumps(result | changes))
        ended = pgolf("submission", micro_run.root, other.root, "--out", "out")
        assert ended.code == 2
        assert complaint in ended.err
    over = result | {"seed": 7, "artifact": result["artifact"] | {"total_bytes": 16_000_001}}
    other.files.result.write_text(json.dumps(over))
    ended = pgolf("submission", other.root, "--out", "out")
    assert (ended.code, "1 over the limit" in ended.err) == (3, True)
    assert not (tmp_path / "out").exists()
    ended = pgolf("submission", micro_run.root, "--out", folder)
    assert (ended.code, "model_seed42.bin, train_seed42.log is not part of this submission" in ended.err) == (2, True)


@pytest.mark.slow
def test_a_fresh_environment_without_pgolf_scores_the_folder(
    folder: Path, micro_run: RunDirectory, bare_python: Path, tmp_path: Path
) -> None:
    """The environment has only the libraries in requirements.txt."""
    data, out = micro_run.read_run()["data_folder"], tmp_path / "out"
    command = [bare_python, "-P", folder / "train_gpt.py", "--data", data, "--out", out]
    command += ["--model", folder / "model_seed1337.bin"]
    subprocess.run(command, check=True, capture_output=True)
    found = json.loads((out / "scores.json").read_text())["headline"]["val_bpb"]
    assert found == claims(folder)["seed_results"]["1337"]["val_bpb"]


def test_the_same_command_finishes_a_submission_and_changes_no_complete_one(
    pgolf: Pgolf, micro_run: RunDirectory, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ("submission", micro_run.root, "--out", out, "--author", "A")
    assert pgolf(*command).code == 0
    document = claims(out) | {"date": "2026-01-02"}  # that of the first attempt stays
    (out / "submission.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    written = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    again = pgolf(*command)
    assert (again.code, "already holds this submission" in again.err) == (0, True)
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()} == written

    for name in ("README.md", "train_seed1337.log"):
        (out / name).unlink()
    assert pgolf(*command).code == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {name: was for name, (was, _) in written.items()}

    (out / "submission.json").unlink()  # written last, so the rest may be cut short
    (out / "model_seed1337.bin").write_bytes(written["model_seed1337.bin"][0][:1000])
    (out / ".train_gpt.py.1999999.tmp").write_text("half")
    assert pgolf(*command).code == 0
    assert claims(out)["seeds"] == [1337]
    assert (out / "model_seed1337.bin").read_bytes() == micro_run.files.model.read_bytes()


@pytest.mark.parametrize(
    ("name", "complaint"), [("notes.txt", "notes.txt is not part of"), ("README.md", "README.md differs")]
)
def test_a_file_of_somebody_else_is_not_replaced(
    pgolf: Pgolf, micro_run: RunDirectory, tmp_path: Path, name: str, complaint: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    ended = pgolf("submission", micro_run.root, "--out", "out")
    assert (ended.code, complaint in ended.err) == (2, True)
    assert [(path.name, path.read_text()) for path in (tmp_path / "out").iterdir()] == [(name, "mine")]
