"""The single-file program trains and scores bit-identically to the package, without pgolf or the trainer."""

import ast
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgolf.bundle.build import Bundle, bundle_of
from pgolf.bundle.fields import drop_fields
from pgolf.bundle.stub import escape, self_extracting
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.rundir import RunDirectory
from pgolf.specs.loading import load_spec
from pgolf.specs.shipped import shipped_specs
from tests.conftest import Pgolf, shared_run
from tests.poor_filesystem import poor_environment
from trainer.recipe.program import Program
from trainer.recipe.reading import read_json

RULES = load_ruleset("parameter_golf")
CRAWLER = "pr1579_crawler_d736"
CRAWLER_BYTES = 30_000


def built(name: str, *overlays: str) -> Bundle:
    return bundle_of(load_spec(name, overlays).spec, RULES)


def run_alone(
    program: Path, *arguments: str, variables: Mapping[str, str] = MappingProxyType({})
) -> "subprocess.CompletedProcess[str]":
    """Run the program in its own folder, in a process that cannot import pgolf, trainer or launchers."""
    blocker = program.parent / "sitecustomize.py"
    blocker.write_text("import sys\nsys.modules['pgolf'] = sys.modules['trainer'] = sys.modules['launchers'] = None\n")
    environment = os.environ | variables | {"PYTHONPATH": str(program.parent)}
    command = [sys.executable, str(program), *arguments]
    return subprocess.run(
        command, cwd=program.parent, env=environment, capture_output=True, text=True, timeout=200, check=False
    )


def check_same(run: RunDirectory, alone: Path) -> None:
    """Check artifact, scores and losses of a run against those of its program."""
    ours, theirs = run.read_result(), read_json(alone / "result.json")
    metrics = [metric for metric in ours["metrics"] if metric["stage"] != "reference"]
    assert [untimed(metric) for metric in metrics] == [untimed(metric) for metric in theirs["metrics"]]
    assert ours["steps"] == theirs["steps"]
    assert run.files.model.read_bytes() == (alone / "artifact/model.bin").read_bytes()
    logged = re.findall(r"^step:\d+/\d+ train_loss:(\S+)", (alone / "train.log").read_text(), re.MULTILINE)
    assert logged == [f"{row['train_loss']:.4f}" for row in run.read_metrics()]


def untimed(metric: dict[str, Any]) -> dict[str, Any]:
    return metric | {"seconds": None}


@pytest.mark.parametrize("form", ["packed", pytest.param("readable", marks=pytest.mark.slow)])
def test_quickstart_as_one_file_trains_and_scores_to_the_same_bits(
    micro_run: RunDirectory, tmp_path: Path, form: str
) -> None:
    program = tmp_path / "train_gpt.py"
    bundle = built("quickstart", "micro")
    program.write_bytes(bundle.packed if form == "packed" else bundle.readable.encode())
    data = micro_run.read_run()["data_folder"]
    ended = run_alone(program, "--data", data, "--out", "run", "--seed", "1337")
    assert ended.returncode == 0, ended.stderr
    check_same(micro_run, tmp_path / "run")
    assert read_json(tmp_path / "run/result.json")["artifact"]["code_bytes"] == program.stat().st_size
    assert ended.stdout == (tmp_path / "run/train.log").read_text()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("pr927_recursive", marks=pytest.mark.slow),
        pytest.param(CRAWLER, marks=pytest.mark.slow),
        pytest.param("pr576_int5_gptq_corrected", marks=pytest.mark.slow),
    ],
)
def test_a_published_recipe_as_one_file_is_bit_identical(
    session_folder: Path, own_cache: None, tmp_path: Path, name: str
) -> None:
    run = shared_run(session_folder / f"{name}-micro", "--with", "micro", spec=name)
    program = Path(shutil.copy(run.files.program, tmp_path))
    document = run.read_run()
    arguments = "--data", document["data_folder"], "--seed", str(run.seed), "--device", "cpu"
    ended = run_alone(program, *arguments, "--out", "run")
    assert ended.returncode == 0, ended.stderr
    check_same(run, tmp_path / "run")


def contest_folder(data: Path, into: Path, pieces: int) -> None:
    """Copy shards and tokenizer to where the challenge's script looks for them, without pgolf's manifest."""
    shards = into / f"data/datasets/fineweb10B_sp{pieces}"
    shards.mkdir(parents=True)
    (into / "data/tokenizers").mkdir()
    for file in data.glob("fineweb_*.bin"):
        shutil.copy(file, shards)
    shutil.copy(data / "tokenizer.model", into / f"data/tokenizers/fineweb_{pieces}_bpe.model")


def test_the_challenges_command_trains_with_two_processes_and_its_output_is_a_record_log(
    micro_run: RunDirectory, pgolf: Pgolf, tmp_path: Path
) -> None:
    """Started by torchrun without arguments in a fresh folder; tee'd into a log that `pgolf report` reads."""
    recipe = load_spec("quickstart", ["micro"], ["recipe.schedule.micro_batch_tokens=128"]).spec
    place = tmp_path / "fresh"
    contest_folder(Path(micro_run.read_run()["data_folder"]), place, recipe.recipe.vocabulary_size)
    (place / "train_gpt.py").write_bytes(bundle_of(recipe, RULES).packed)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "train_gpt.py"]
    ended = subprocess.run(torchrun, cwd=place, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr
    (out,) = (place / "logs").iterdir()
    result = read_json(out / "result.json")
    (tmp_path / "record").mkdir()
    (tmp_path / "record/train.log").write_text(ended.stdout)
    (group,) = pgolf("report", "record", "--json").json["groups"]
    (row,) = group["seeds"]
    assert row["seed"] == result["seed"] == recipe.seeds[0]
    assert row["val_bpb"] == result["headline"]["val_bpb"]
    assert row["val_loss"] == result["headline"]["val_loss"]
    assert (row["steps"], row["total_bytes"]) == (result["steps"], result["artifact"]["total_bytes"])
    files = (place / "train_gpt.py", out / "artifact/model.bin")
    assert row["total_bytes"] == sum(file.stat().st_size for file in files)
    assert (row["protocol"], group["problems"][-1]["rule"]) == ("chunked", "hardware_not_8xH100")
    assert "world_size:2" in ended.stdout
    assert re.search(
        r"^step:12/12 train_loss:\d\.\d{4} train_time:\d+ms step_avg:\d+\.\d\dms$", ended.stdout, re.MULTILINE
    )


def test_variables_name_a_folder_without_a_manifest_and_the_bits_are_the_same(
    micro_run: RunDirectory, tmp_path: Path
) -> None:
    program = tmp_path / "train_gpt.py"
    program.write_bytes(built("quickstart", "micro").packed)
    contest_folder(Path(micro_run.read_run()["data_folder"]), tmp_path / "elsewhere", 384)
    data = tmp_path / "elsewhere/data"
    paths = {
        "DATA_PATH": f"{data}/datasets/fineweb10B_sp384",
        "TOKENIZER_PATH": f"{data}/tokenizers/fineweb_384_bpe.model",
    }
    ended = run_alone(program, variables={"RUN_ID": "again", **paths})
    assert ended.returncode == 0, ended.stderr
    check_same(micro_run, tmp_path / "logs/again")


@pytest.mark.parametrize(
    ("removed", "complaint"),
    [
        (
            "data/datasets",
            "there is no {}/data/datasets/fineweb10B_sp384/fineweb_val_*.bin; "
            "give the folder of the shards with --data or DATA_PATH",
        ),
        (
            "data/tokenizers",
            "there is no tokenizer {}/data/tokenizers/fineweb_384_bpe.model: No such file or directory",
        ),
    ],
)
def test_what_is_missing_is_one_line(micro_run: RunDirectory, tmp_path: Path, removed: str, complaint: str) -> None:
    program = tmp_path / "train_gpt.py"
    program.write_bytes(built("quickstart", "micro").packed)
    contest_folder(Path(micro_run.read_run()["data_folder"]), tmp_path, 384)
    shutil.rmtree(tmp_path / removed)
    ended = run_alone(program)
    assert (ended.returncode, ended.stdout) == (5, "")
    assert ended.stderr == f"train_gpt.py: {complaint.format(tmp_path)}\n"
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("SEED", "lots", "argument --seed: invalid int value: 'lots'"),
        ("SEED", "-1", "the seed is -1, expected 0 to 4294967295"),
        ("RUN_ID", "../../elsewhere", "RUN_ID is '../../elsewhere', expected the name of a folder"),
        ("RUN_ID", "", "RUN_ID is '', expected the name of a folder"),
        ("RANK", "x", "RANK is 'x', expected a whole number from 0 on"),
        ("RANK", "1", "RANK is 1, expected less than WORLD_SIZE, which is 1"),
        ("WORLD_SIZE", "0", "WORLD_SIZE is '0', expected a whole number from 1 on"),
        ("OMP_NUM_THREADS", "two", "OMP_NUM_THREADS is 'two', expected a whole number from 0 on"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(
    name: str, value: str, complaint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trainer.standalone import parse_arguments

    recipe = load_spec("quickstart", ["micro"]).spec.recipe
    program = Program(name="q", seed=1, device="cpu", limit_bytes=1, recipe=recipe, local={})
    monkeypatch.setattr(sys, "argv", ["train_gpt.py"])
    assert parse_arguments(program, {}).seed == 1
    with pytest.raises(SystemExit) as ended:
        parse_arguments(program, {name: value})
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.endswith(f"train_gpt.py: error: {complaint}\n")


def test_several_processes_without_torchrun_are_one_line(tmp_path: Path) -> None:
    program = tmp_path / "train_gpt.py"
    program.write_bytes(built("quickstart", "micro").packed)
    ended = run_alone(program, variables={"WORLD_SIZE": "2"})
    assert ended.returncode == 6
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.endswith("start several processes with torchrun\n")


def test_a_truncated_shard_is_named(micro_run: RunDirectory, tmp_path: Path) -> None:
    program = tmp_path / "train_gpt.py"
    program.write_bytes(built("quickstart", "micro").packed)
    contest_folder(Path(micro_run.read_run()["data_folder"]), tmp_path, 384)
    shard = tmp_path / "data/datasets/fineweb10B_sp384/fineweb_val_000000.bin"
    shard.write_bytes(shard.read_bytes()[:-2])
    ended = run_alone(program)
    assert ended.returncode == 5
    assert "10,650 bytes and a header for 4,814 tokens, expected 10,652 bytes for 4,814 tokens" in ended.stderr
    assert not (tmp_path / "logs").exists()


def test_one_folder_is_not_written_by_two_processes(micro_run: RunDirectory, tmp_path: Path) -> None:
    program = tmp_path / "train_gpt.py"
    program.write_bytes(built("quickstart", "micro").packed)
    (tmp_path / "run").mkdir()
    with (tmp_path / "run/train.log").open("a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        ended = run_alone(program, "--data", micro_run.read_run()["data_folder"], "--out", "run")
    assert ended.returncode == 2
    assert "another process works in" in ended.stderr


@pytest.mark.slow
def test_a_folder_that_cannot_be_locked_is_used_and_named(micro_run: RunDirectory, tmp_path: Path) -> None:
    program = tmp_path / "train_gpt.py"
    program.write_bytes(built("quickstart", "micro").packed)
    arguments = ("--data", micro_run.read_run()["data_folder"], "--out", "run", "--model", str(micro_run.files.model))
    ended = run_alone(program, *arguments, variables=poor_environment(tmp_path))
    assert ended.returncode == 0, ended.stderr
    assert f"{tmp_path}/run has no lock: [Errno 38] Function not implemented" in ended.stderr


def test_a_stopped_run_is_begun_again_without_what_it_left(micro_run: RunDirectory, tmp_path: Path) -> None:
    program = tmp_path / "train_gpt.py"
    program.write_bytes(built("quickstart", "micro").packed)
    for name in ("train.log", "checkpoints/prequant.ckpt"):
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text("left by a run that was stopped")
    data = micro_run.read_run()["data_folder"]
    ended = run_alone(program, "--data", data, "--out", "run", "--model", str(micro_run.files.model))
    assert ended.returncode == 0, ended.stderr
    assert "left by" not in (tmp_path / "run/train.log").read_text()
    result = read_json(tmp_path / "run/result.json")
    assert [metric["stage"] for metric in result["metrics"]] == ["roundtrip"]
    assert "seed" not in result, "which seed an artifact was trained with is not known"


@pytest.mark.slow
def test_the_measured_attention_kernel_is_read_from_the_artifact(micro_run: RunDirectory, tmp_path: Path) -> None:
    program = tmp_path / "train_gpt.py"
    spec = load_spec("quickstart", ["micro"], ["recipe.compute.attention=measured"]).spec
    program.write_bytes(bundle_of(spec, RULES).packed)
    data = micro_run.read_run()["data_folder"]
    trained = run_alone(program, "--data", data, "--out", "run")
    assert trained.returncode == 0, trained.stderr
    scored = run_alone(program, "--data", data, "--out", "again", "--model", "run/artifact/model.bin")
    assert scored.returncode == 0, scored.stderr
    scores = [read_json(tmp_path / name / "scores.json")["headline"]["val_bpb"] for name in ("run", "again")]
    assert scores[0] == pytest.approx(scores[1], abs=1e-9)


OWN_MLP = """
import torch
import torch.nn.functional as F
from torch import nn


class Own(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.empty(hidden, width))
        self.down = nn.Parameter(torch.zeros(width, hidden))

    def readers(self) -> list[nn.Parameter]:
        return [self.up]

    def forward(self, x, scale):
        return scale * F.linear(F.linear(x, self.up).relu(), self.down)
"""


def test_a_class_of_the_users_own_trains_and_scores(micro_run: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_MLP)
    tensors = "tensors: {up: [hidden, width], down: [width, hidden]}"
    mlp = f"recipe.model.mlp={{kind: 'local:{tmp_path}/own.py:Own', ratio: 2, {tensors}}}"
    program = tmp_path / "alone/train_gpt.py"
    program.parent.mkdir()
    program.write_bytes(bundle_of(load_spec("quickstart", ["micro"], [mlp]).spec, RULES).packed)
    data = micro_run.read_run()["data_folder"]
    trained = run_alone(program, "--data", data, "--out", "run")
    assert trained.returncode == 0, trained.stderr
    scored = run_alone(program, "--data", data, "--out", "again", "--model", "run/artifact/model.bin")
    assert scored.returncode == 0, scored.stderr
    scores = [read_json(program.parent / name / "scores.json")["headline"]["val_bpb"] for name in ("run", "again")]
    assert scores[0] == scores[1]


def test_a_program_with_a_class_of_the_users_own_keeps_all_fields_of_what_the_class_is_given(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_MLP)
    tensors = "tensors: {up: [hidden, width], down: [width, hidden]}"
    mlp = f"recipe.model.mlp={{kind: 'local:{tmp_path}/own.py:Own', ratio: 2, {tensors}}}"
    programs = [bundle_of(load_spec("quickstart", ["micro"], own).spec, RULES).readable for own in ([], [mlp])]
    assert ["asymmetric_softcap: " in program for program in programs] == [False, True]


def test_a_run_keeps_the_program_that_its_code_bytes_count(micro_run: RunDirectory) -> None:
    artifact = micro_run.read_result()["artifact"]
    assert artifact["code_bytes"] == micro_run.files.program.stat().st_size
    assert micro_run.files.program.read_bytes() == built("quickstart", "micro").packed


def test_an_artifact_of_another_recipe_is_refused(micro_run: RunDirectory, tmp_path: Path) -> None:
    program = tmp_path / "train_gpt.py"
    spec = load_spec("quickstart", ["micro"], ["recipe.model.mlp.ratio=2"]).spec
    program.write_bytes(bundle_of(spec, RULES).packed)
    data = micro_run.read_run()["data_folder"]
    ended = run_alone(program, "--data", data, "--model", str(micro_run.files.model))
    assert ended.returncode == 1
    assert "it holds the model of another recipe" in ended.stderr


@pytest.mark.slow
def test_a_finished_run_is_not_overwritten(micro_run: RunDirectory, tmp_path: Path) -> None:
    program = tmp_path / "train_gpt.py"
    program.write_bytes(built("quickstart", "micro").packed)
    arguments = f"--data={micro_run.read_run()['data_folder']}", "--out", "run", "--model", str(micro_run.files.model)
    first = run_alone(program, *arguments)
    assert first.returncode == 0, first.stderr
    again = run_alone(program, *arguments)
    assert again.returncode == 2
    assert "holds a finished run; give another --out or RUN_ID" in again.stderr


def test_reference_quantizers_are_not_in_the_file() -> None:
    clip = "clip: {kind: percentile, percentile: 99.9}"
    reference = f"{{quantizer: {{kind: gptq, bits: {{default: 4}}, {clip}, calibration: {{kind: training}}}}}}"
    spec = load_spec("quickstart", ["micro"], [f"recipe.evaluation.references={{g: {reference}}}"]).spec
    assert bundle_of(spec, RULES).packed == built("quickstart", "micro").packed


FEW = ("pr861_int5_qat_unet",)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FEW else pytest.mark.slow) for name in sorted(shipped_specs())]
)
def test_the_file_of_every_shipped_spec_does_not_import_the_trainer(name: str) -> None:
    bundle = built(name)
    source = bundle.program
    compile(source, "bundle", "exec")
    assert "import trainer" not in source
    assert "from trainer" not in source
    assert len(bundle.packed) < (37_000 if name.endswith("_corrected") else 30_000), "steps and a trellis take 6 kB"


def test_the_crawlers_file_is_small() -> None:
    assert len(built(CRAWLER).packed) <= CRAWLER_BYTES


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_bytes_with_any_hash_seed(tmp_path: Path) -> None:
    written = []
    for hashes in ("0", "1"):
        out = tmp_path / hashes
        environment = os.environ | {"PYTHONHASHSEED": hashes, "XDG_CACHE_HOME": str(out / "cache")}
        command = [sys.executable, "-m", "pgolf", "bundle", "quickstart", "--out", str(out)]
        subprocess.run(command, check=True, capture_output=True, env=environment, cwd=tmp_path)
        written.append([(out / name).read_bytes() for name in ("train_gpt.py", "train_gpt.readable.py")])
    assert written[0] == written[1]


SOURCES = """
import inspect, runpy
names = runpy.run_path("train_gpt.py", run_name="bundle")
functions = [value for value in names.values() if inspect.isfunction(value) and value.__module__ == "bundle"]
sources = [inspect.getsource(function) for function in functions]
assert len(sources) > 50 and all(source.startswith(("def ", "@")) for source in sources), sources[:3]
"""


def test_inspect_finds_source_lines_as_triton_needs(tmp_path: Path) -> None:
    (tmp_path / "train_gpt.py").write_bytes(built("quickstart", "micro").packed)
    subprocess.run([sys.executable, "-c", SOURCES], cwd=tmp_path, check=True)


@given(st.binary())
@example(b"'''")
@example(b"a'")
@example(b"\\'\x007\r\n\x00\x0009\x80\\")
def test_every_payload_round_trips_through_a_literal(payload: bytes) -> None:
    source = f"#coding:latin-1\nfound = '''{escape(payload)}'''.encode('l1')\n".encode("latin-1")
    names: dict[str, bytes] = {}
    exec(compile(source, "stub", "exec"), names)
    assert names["found"] == payload


@pytest.mark.parametrize("has_brotli", [True, False])
def test_a_program_unpacks_itself_with_or_without_brotli(tmp_path: Path, has_brotli: bool) -> None:
    program = tmp_path / "program.py"
    program.write_bytes(self_extracting("print('it runs', __name__)\n", has_brotli))
    ended = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    assert ended.stdout == "it runs __main__\n"
    assert (b"brotli" in program.read_bytes()) is has_brotli


def test_a_file_imports_only_what_it_uses() -> None:
    program = ast.parse(built("quickstart").readable)
    read = {node.id for node in ast.walk(program) if isinstance(node, ast.Name)}
    imports = [node for node in program.body if isinstance(node, ast.Import | ast.ImportFrom)]
    bound = {alias.asname or alias.name.partition(".")[0] for node in imports for alias in node.names}
    assert bound - read == set()
    assert "torch" in bound


def test_components_that_a_recipe_does_not_name_are_not_in_its_file() -> None:
    quickstart, crawler = built("quickstart").readable, built(CRAWLER).readable
    for name in ("GptqQuantizer", "RoundedLoss", "score_and_adapt", "truncated_rope"):
        assert name in crawler
        assert name not in quickstart
    for name in (
        "DocumentLearner",
        "ColumnRangeCoder",
        "import_module",
        "make_local",
        "CoprimeStride",
        "segment_mask",
    ):
        assert name not in quickstart + crawler


def test_a_file_that_keeps_documents_apart_tests_for_segments() -> None:
    packing = load_spec("quickstart", [], ["recipe.schedule.loader={kind: document_packing}"]).spec
    readable = bundle_of(packing, RULES).readable
    assert "if segments is not None:" in readable  # scoring has no segments
    assert "def segment_mask" in readable
    assert "flex_attention" in readable


def test_the_command_writes_three_files(pgolf: Pgolf, tmp_path: Path) -> None:
    ended = pgolf("bundle", "quickstart", "--out", "here", "--json")
    assert ended.code == 0, ended.err
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "here").iterdir()}
    assert ended.json["files"] == sizes
    assert ended.json["code_bytes"] == sizes["train_gpt.py"] == len(built("quickstart").packed)
    libraries = {line.partition("==")[0] for line in (tmp_path / "here" / "requirements.txt").read_text().splitlines()}
    assert libraries == {"brotli", "numpy", "sentencepiece", "torch"}
    assert "+" not in (tmp_path / "here" / "requirements.txt").read_text()  # `+cpu` cannot be installed


def test_a_part_of_two_run_ids_is_refused_and_a_shipped_name_is_the_spec(pgolf: Pgolf, tmp_path: Path) -> None:
    for name in ("quickstart-1/seed-1", "quickstart-1/seed-2"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
    ended = pgolf("bundle", "quickstart-1")
    assert (ended.code, "more than one run matches" in ended.err) == (2, True), ended.err
    assert pgolf("bundle", "quickstart", "--json").json["spec"] == "quickstart"


def test_fields_that_a_program_neither_sets_nor_reads_are_dropped_and_no_others() -> None:
    classes = "class A:\n  kind: str\n  read: int = 1\n  given: int = 2\n  keyword: int = 3\n  left: int = 4\n"
    body = ast.parse(f"{classes}class B:\n  left: int = 5\ndef f(a): return replace(a.read, keyword=1)\n").body
    drop_fields(body, frozenset({"A"}), {"given"})
    names = [[part.target.id for part in each.body] for each in body if isinstance(each, ast.ClassDef)]  # type: ignore[attr-defined]
    assert names == [["kind", "read", "given", "keyword"], ["left"]]
