"""`pgolf audit`: subjects that it cannot audit, and adapters, which run confined."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pgolf.audit.probes import adapter_answerer, make_questions, run_probes
from tests.conftest import Ended
from tests.pgolf.audit import adapters

FROZEN = Path(__file__).parents[2] / "frozen" / "0.1.0"


def test_a_subject_that_cannot_be_audited_is_refused(pgolf: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        (["audit"], "Missing argument 'FOLDER|RUN|SPEC'"),
        (["audit", "empty"], "neither claims, logs nor code"),
        (["audit", "quikstart"], "did you mean `quickstart`?"),
        (["audit", "empty", "--adapter", "nope.py"], "--adapter takes a Python file"),
        (["report", "--leaderboard", "nope"], "no such folder"),
    ):
        ended = pgolf(*arguments)
        assert ended.code == 2, arguments
        assert words in " ".join(ended.err.split())


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """Return a folder that holds a submission."""
    shutil.copytree(FROZEN / "submission", tmp_path / "submission")
    return tmp_path


def audit_with(pgolf: Callable[..., Ended], adapter: str, folder: Path, *options: str) -> Ended:
    (folder / "adapter.py").write_text(adapter)
    return pgolf(
        "audit", "submission", "--adapter", "adapter.py", "--data", FROZEN / "data", "--metadata-only", *options
    )


def test_an_adapter_runs_confined_and_the_answer_says_how(pgolf: Callable[..., Ended], submission: Path) -> None:
    (submission / "weights").write_text("named")
    reading = f"from pathlib import Path\nPath({str(submission / 'weights')!r}).read_text()\n" + adapters.VALID
    ended = audit_with(pgolf, reading, submission, "--json", "--read", "weights")
    assert ended.code == 0, ended.err
    assert ended.json["confinement"]["level"] in ("bubblewrap", "landlock")
    verdicts = {each["rule"]: each["status"] for each in ended.json["findings"]}
    assert verdicts["C1-CAUSAL"] == "pass"
    ended = audit_with(pgolf, reading, submission)
    assert "confined by" in ended.err
    assert "No such file" in ended.out or "Permission denied" in ended.out


def test_an_adapter_runs_unconfined_only_if_that_is_said(
    pgolf: Callable[..., Ended], submission: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgolf.cli.confinement.CONFINED", ("bubblewrap",))
    monkeypatch.setattr("pgolf.confinement.run.SEARCH_PATH", "/nowhere")
    ended = audit_with(pgolf, adapters.VALID, submission)
    assert ended.code == 6
    assert "--unconfined" in " ".join(ended.err.split())
    ended = audit_with(pgolf, adapters.VALID, submission, "--unconfined", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["confinement"]["level"] == "none"


HOSTILE_ANSWERS = {
    "broken": 'Path(FOLDER, "answers.npz").write_bytes(b"PK\\x03\\x04" + bytes(100))',
    "folder": 'Path(FOLDER, "answers.npz").mkdir()',
    "sparse": 'open(Path(FOLDER, "answers.npz"), "wb").truncate(500_000_000)',
    "texts": "np.savez(Path(FOLDER, 'answers.npz'), nats=np.array('x'), log_probabilities=np.array('y'))",
    "one number": "np.savez(Path(FOLDER, 'answers.npz'), nats=np.float32(1), log_probabilities=np.float64(1))",
    "half": "np.savez(Path(FOLDER, 'answers.npz'), nats=np.zeros((2, 2)))",
}


@pytest.mark.parametrize("name", HOSTILE_ANSWERS)
def test_answers_that_cannot_be_read_leave_rules_unknown(name: str, tmp_path: Path) -> None:
    head = "import os, sys\nfrom pathlib import Path\nimport numpy as np\nFOLDER = sys.argv[2]\n"
    (tmp_path / "adapter.py").write_text(f"{head}{HOSTILE_ANSWERS[name]}\nsys.stdout.flush()\nos._exit(0)\n")
    tokens = np.arange(2, 202, dtype=np.uint16)
    found = run_probes(make_questions(tokens, 1, []), adapter_answerer(tmp_path / "adapter.py")).verdicts
    assert {verdict.severity for verdict in found} == {"unknown"}
    assert len(found) == 5
