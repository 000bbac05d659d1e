"""Text files of a record: read within bounds, in the encodings that editors write."""

from pathlib import Path

from trainer.recipe.reading import read_bytes

MAX_BYTES = 5_000_000
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: Path) -> str | None:
    """Return the text of a file; None if it is no regular file of its folder.

    Raises:
        OSError: it cannot be read.
        ValueError: it has more than MAX_BYTES.
    """
    if not path.is_file() or path.resolve().parent != path.parent.resolve():
        return None
    content = read_bytes(path, MAX_BYTES)
    return content.decode("utf-16" if content[:2] in UTF16_MARKS else "utf-8-sig", errors="replace")
