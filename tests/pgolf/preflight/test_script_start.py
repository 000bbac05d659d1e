"""What preflight says about the start of a script, compared with runs of it."""

from pathlib import Path
from typing import Any

import pytest

from pgolf.preflight import script_start
from tests.scripts.workshop import Workshop

NEEDS_CUDA = """\
import os
import torch
seed, path = int(os.environ.get("SEED", 1)), os.environ.get("DATA_PATH", "./data/datasets/fineweb10B_sp1024")
if not torch.cuda.is_available():
    raise RuntimeError("CUDA is required")
"""


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "own")


def findings(workshop: Workshop, *words: str) -> dict[str, dict[str, Any]]:
    """Return what is not a pass, by rule."""
    checks = workshop("preflight", "spec.yaml", "--json", *words).json["checks"]
    return {check["rule"]: check for check in checks if check["status"] != "pass"}


def test_a_value_that_does_not_parse_is_refused_with_the_line_that_parses_it(workshop: Workshop) -> None:
    workshop.document["program"]["env"] |= {"MATRIX_LR": "lots"}
    found = findings(workshop)["values"]
    lines = (workshop.folder / "baseline_dialect.py").read_text().splitlines()
    (number,) = (number for number, line in enumerate(lines, start=1) if '"MATRIX_LR"' in line)
    assert found["status"] == "fail"
    assert (
        f"MATRIX_LR=lots: baseline_dialect.py:{number} reads it with float(), which does not parse 'lots'"
        in (found["message"])
    )
    assert workshop("run", "spec.yaml").code == 3
    workshop.document["program"]["env"] |= {"MATRIX_LR": "5e-1", "ITERATIONS": "4"}
    assert "values" not in findings(workshop)
    assert workshop("run", "spec.yaml", "--json").code == 0


@pytest.mark.parametrize("script", ["baseline_dialect.py", "crawler_dialect.py", "frontier_dialect.py"])
def test_scripts_that_run_are_accused_of_nothing(script: str, tmp_path: Path) -> None:
    """These run in other tests with the same values."""
    workshop = Workshop(tmp_path / script, script)
    assert not {"values", "cuda", "inputs"} & findings(workshop).keys()


def test_a_default_path_that_is_not_where_the_script_runs_is_named(workshop: Workshop) -> None:
    """`./data` lies beside the spec, but the run has a folder of its own, where the script fails."""
    del workshop.document["program"]["env"]["DATA_PATH"]
    assert (workshop.folder / "data").is_dir()
    found = findings(workshop)["inputs"]
    assert found["status"] == "warn"
    assert (
        "./data (the default of DATA_PATH, baseline_dialect.py:11), which does not exist where it runs"
        in (found["message"])
    )
    ended = workshop("run", "spec.yaml")
    assert (ended.code, "data/train.txt" in ended.err) == (1, True), ended.err
    workshop.document["program"]["files"].append("data")
    assert "inputs" not in findings(workshop), "the folder is shipped"
    assert workshop("run", "spec.yaml", "--json", "--set", "program.env.ITERATIONS=4").code == 0


def test_absolute_paths_are_looked_up_for_runs_on_this_machine_only(workshop: Workshop) -> None:
    workshop.document["program"]["env"]["DATA_PATH"] = "/nowhere/data"
    assert "DATA_PATH=/nowhere/data, which does not exist" in findings(workshop)["inputs"]["message"]
    workshop.document["launch"] = {"on": "ssh", "options": {"host": "nowhere.invalid"}}
    assert "inputs" not in findings(workshop)
    workshop.document["program"]["env"]["DATA_PATH"] = "./data"
    assert "DATA_PATH=./data, which does not exist where it runs" in findings(workshop)["inputs"]["message"]


def test_a_script_that_demands_cuda_is_refused_where_there_is_none(workshop: Workshop) -> None:
    if script_start.has_cuda_here():
        pytest.skip("this machine has CUDA")
    workshop.script(NEEDS_CUDA)
    found = findings(workshop)
    assert found["cuda"]["status"] == "fail"
    assert "baseline_dialect.py:4 needs CUDA (not torch.cuda.is_available())" in found["cuda"]["message"]
    assert "this machine has no CUDA device" in found["cuda"]["message"]
    assert "fineweb10B_sp1024 (the default of DATA_PATH, baseline_dialect.py:3)" in found["inputs"]["message"]
    workshop.document["launch"] = {"on": "ssh", "options": {"host": "nowhere.invalid"}}
    there = findings(workshop)["cuda"]
    assert (there["status"], "no GPU is requested of ssh" in there["message"]) == ("warn", True)
    workshop.document["launch"]["gpu"] = "H100:1"
    assert "cuda" not in findings(workshop)
