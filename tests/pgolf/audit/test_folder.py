"""The audit of a submission folder: which files must be there."""

from pathlib import Path

import pytest

from pgolf.audit.folder import audit_folder
from pgolf.audit.verdicts import Verdict
from pgolf.rulesets.ruleset import load_ruleset

RULES = load_ruleset("parameter_golf")
FILES = {"README.md": "# A submission\n", "submission.json": '{"val_bpb": 1.1}', "train_gpt.py": "x = 1\n"}


def files_verdict(folder: Path) -> Verdict:
    (found,) = [verdict for verdict in audit_folder(folder, RULES, is_code_read=False) if verdict.rule == "FILES"]
    return found


@pytest.mark.parametrize("missing", [None, *FILES])
def test_files_passes_only_where_every_file_exists(missing: str | None, tmp_path: Path) -> None:
    for name, content in FILES.items():
        if name != missing:
            (tmp_path / name).write_text(content)
    found = files_verdict(tmp_path)
    assert found.severity == ("pass" if missing is None else "fail")
    assert missing is None or missing in found.message
