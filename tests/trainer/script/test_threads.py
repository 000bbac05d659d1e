"""A script gets its threads as OMP_NUM_THREADS, and waits as it likes."""

from pathlib import Path

import pytest

from trainer.script.ranks import ScriptRanks

SCRIPT = "import os\nprint(os.environ.get('OMP_NUM_THREADS'), os.environ.get('OMP_WAIT_POLICY'))\n"


@pytest.mark.parametrize(
    ("count", "threads", "variables", "expected"),
    [(None, None, {}, "None"), (None, 3, {}, "3"), (2, 3, {}, "3"), (2, 3, {"OMP_NUM_THREADS": "2"}, "2")],
)
def test_every_process_of_a_script_gets_the_threads(
    count: int | None,
    threads: int | None,
    variables: dict[str, str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "script.py").write_text(SCRIPT)
    ranks = ScriptRanks("script.py", tmp_path, variables, [], threads)
    ranks.start(count)
    lines = [line.strip() for line in ranks.lines() if line]
    assert ranks.end() == 0
    assert lines == [f"{expected} None"] * (count or 1)
