"""`pgolf audit`: subjects that it cannot audit."""

from collections.abc import Callable
from pathlib import Path

from tests.conftest import Ended


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
