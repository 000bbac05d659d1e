"""launch.threads reaches a script as OMP_NUM_THREADS."""

from pathlib import Path

import pytest

from trainer.script.ranks import ScriptRanks

SCRIPT = "import os\nprint(os.environ.get('OMP_NUM_THREADS'), os.environ.get('OMP_WAIT_POLICY'))\n"


@pytest.mark.parametrize(
    ("count", "threads", "expected"), [(None, None, "None"), (None, 3, "3"), (2, None, "1"), (2, 3, "3")]
)
def test_a_script_gets_the_threads_of_its_launch(
    count: int | None, threads: int | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "script.py").write_text(SCRIPT)
    ranks = ScriptRanks("script.py", tmp_path, {}, [], threads)
    ranks.start(count)
    lines = [line.strip() for line in ranks.lines() if line]
    assert ranks.end() == 0
    assert lines == [f"{expected} None"] * (count or 1)
