"""What the reader of files of others refuses."""

from pathlib import Path

import pytest

from trainer.recipe.reading import read_json


@pytest.mark.timeout(20)  # looking for the key in a list of those before it takes minutes
def test_a_repeated_key_of_a_large_object_is_named_at_once(tmp_path: Path) -> None:
    members = ",".join(f'"key{number}":1' for number in range(100_000))
    path = tmp_path / "result.json"
    path.write_text(f'{{{members},"key99999":2}}')
    with pytest.raises(ValueError, match=r"result\.json: key99999: found twice in one object"):
        read_json(path)
