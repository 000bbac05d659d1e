"""The single-file program trains and scores bit-identically to the package, without pgolf or the trainer."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgolf.bundle.build import Bundle, bundle_of
from pgolf.bundle.stub import escape, self_extracting
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.rundir import RunDirectory
from pgolf.specs.loading import load_spec, shipped_specs
from tests.conftest import Pgolf, shared_run

RULES = load_ruleset("parameter_golf")
CRAWLER = "pr1579_crawler_d736"
# What the crawler's file may weigh. The target is 25,000; docs/log/2026-11-21.md says what is in the way.
CRAWLER_BYTES = 35_000


def built(name: str, *overlays: str) -> Bundle:
    return bundle_of(load_spec(name, overlays).spec, RULES)


def run_alone(program: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the program in its own folder, in a process that cannot import pgolf, trainer or launchers."""
    blocker = program.parent / "sitecustomize.py"
    blocker.write_text("import sys\nsys.modules['pgolf'] = sys.modules['trainer'] = sys.modules['launchers'] = None\n")
    environment = os.environ | {"PYTHONPATH": str(program.parent)}
    command = [sys.executable, str(program), *arguments]
    return subprocess.run(
        command, cwd=program.parent, env=environment, capture_output=True, text=True, timeout=200, check=False
    )


def check_same(run: RunDirectory, alone: RunDirectory) -> None:
    ours, theirs = run.read_result(), alone.read_result()
    assert ours["metrics"] == [
        m | {"seconds": o["seconds"]} for o, m in zip(ours["metrics"], theirs["metrics"], strict=True)
    ]
    assert (ours["headline"], ours["steps"]) == (theirs["headline"], theirs["steps"])
    assert run.files.model.read_bytes() == alone.files.model.read_bytes()
    assert run.files.ledger.read_bytes() == alone.files.ledger.read_bytes()
    assert [row["train_loss"] for row in run.read_metrics()] == [row["train_loss"] for row in alone.read_metrics()]


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
    alone = RunDirectory(tmp_path / "run")
    check_same(micro_run, alone)
    assert alone.read_result()["artifact"]["code_bytes"] == program.stat().st_size


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
    root = tmp_path / "again"
    root.mkdir()
    for file in ("spec.json", "run.json"):
        shutil.copy(run.root / file, root)
    ended = run_alone(run.files.program, str(root))
    assert ended.returncode == 0, ended.stderr
    check_same(run, RunDirectory(root))


def test_a_run_keeps_the_program_that_its_code_bytes_count(micro_run: RunDirectory) -> None:
    artifact = micro_run.read_result()["artifact"]
    assert artifact["code_bytes"] == micro_run.files.program.stat().st_size
    assert micro_run.files.program.read_bytes() == built("quickstart", "micro").packed


@pytest.mark.slow
def test_a_run_of_another_recipe_is_refused(micro_run: RunDirectory, tmp_path: Path) -> None:
    program = tmp_path / "train_gpt.py"
    program.write_bytes(built("baseline", "micro").packed)
    ended = run_alone(program, str(micro_run.root), "--score")
    assert ended.returncode == 2
    assert "holds another recipe than this file" in ended.stderr


def test_missing_data_is_named(tmp_path: Path) -> None:
    program = tmp_path / "train_gpt.py"
    program.write_bytes(built("quickstart", "micro").packed)
    ended = run_alone(program, "--data", "nowhere")
    assert ended.returncode == 5
    assert "nowhere/manifest.json" in ended.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_existing_run_of_another_seed_or_artifact_is_refused(micro_run: RunDirectory, tmp_path: Path) -> None:
    program = tmp_path / "train_gpt.py"
    program.write_bytes(built("quickstart", "micro").packed)
    data, model = micro_run.read_run()["data_folder"], tmp_path / "model.bin"
    shutil.copy(micro_run.files.model, model)
    first = run_alone(program, f"--data={data}", "--out", "run", "--model", "model.bin")
    assert first.returncode == 0, first.stderr
    model.write_bytes(b"junk")
    for arguments, complaint in (
        (("--model", "model.bin"), "another artifact"),
        (("--seed", "7"), "has seed 1337, not 7"),
    ):
        ended = run_alone(program, "--data", data, "--out", "run", *arguments)
        assert (ended.returncode, complaint in ended.stderr) == (2, True), ended.stderr


def test_a_reference_quantizer_of_another_kind_is_in_the_file() -> None:
    clip = "clip: {kind: percentile, percentile: 99.9}"
    reference = f"{{quantizer: {{kind: gptq, bits: {{default: 4}}, {clip}, calibration: {{kind: training}}}}}}"
    spec = load_spec("quickstart", ["micro"], [f"recipe.evaluation.references={{g: {reference}}}"]).spec
    readable = bundle_of(spec, RULES).readable
    assert "class GptqQuantizer" in readable
    assert "class PercentileClip" in readable


FEW = ("baseline", "pr861_int5_qat_unet")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FEW else pytest.mark.slow) for name in sorted(shipped_specs())]
)
def test_the_file_of_every_shipped_spec_does_not_import_the_trainer(name: str) -> None:
    bundle = built(name)
    source = bundle.program
    compile(source, "bundle", "exec")
    assert "import trainer" not in source
    assert "from trainer" not in source
    assert len(bundle.packed) < 36_000


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
        "document_mask",
    ):
        assert name not in quickstart + crawler


def test_a_file_that_keeps_documents_apart_tests_for_document_numbers() -> None:
    packing = load_spec("quickstart", [], ["recipe.schedule.loader={kind: document_packing}"]).spec
    readable = bundle_of(packing, RULES).readable
    assert "if documents_BT is not None:" in readable  # scoring has no document numbers
    assert "def document_mask" in readable
    assert "flex_attention" in readable


def test_the_command_writes_three_files(pgolf: Pgolf, tmp_path: Path) -> None:
    ended = pgolf("bundle", "quickstart", "--out", "here", "--json")
    assert ended.code == 0, ended.err
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "here").iterdir()}
    assert ended.json["files"] == sizes
    assert ended.json["code_bytes"] == sizes["train_gpt.py"] == len(built("quickstart").packed)
    libraries = {line.partition("==")[0] for line in (tmp_path / "here" / "requirements.txt").read_text().splitlines()}
    assert libraries == {"brotli", "numpy", "sentencepiece", "torch"}
    assert json.loads((tmp_path / "here" / "train_gpt.readable.py").read_text().split("\n")[0].partition("=")[2][1:-1])


def test_a_part_of_two_run_ids_is_refused_and_a_shipped_name_is_the_spec(pgolf: Pgolf, tmp_path: Path) -> None:
    for name in ("quickstart-1/seed-1", "quickstart-1/seed-2"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
    ended = pgolf("bundle", "quickstart-1")
    assert (ended.code, "more than one run matches" in ended.err) == (2, True), ended.err
    assert pgolf("bundle", "quickstart", "--json").json["spec"] == "quickstart"
