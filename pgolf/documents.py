"""JSON files that pgolf did not just write, judged against a schema before anything uses them.

A schema is a pydantic model, or a TypedDict whose numbers have the types of `trainer.recipe.strict`. A document is
returned as it was read, keys that the schema does not name included.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from trainer.recipe.reading import parse_json, read_bytes, read_json

if TYPE_CHECKING:
    from pydantic import BaseModel, TypeAdapter, ValidationError

T = TypeVar("T")
M = TypeVar("M", bound="BaseModel")

MOST_BYTES_OF_ROWS, MOST_ROWS = 64_000_000, 1_000_000
# What pydantic's errors mean, for people who look at the file.
EXPECTED = {
    "missing": "this key",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "an object",
    "list_type": "a list",
    "none_required": "null",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "string_pattern_mismatch": "text like {pattern}",
    "extra_forbidden": "no such key",
}
LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Text:
    """A marker for `Annotated`: text that a regular expression matches."""

    pattern: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {**handler(source), "pattern": self.pattern}


def read_document(path: Path, schema: type[T]) -> T:
    """Return the JSON object in a file, which satisfies the schema.

    Raises:
        ValueError: it does not; names the file and the key, says what was found and what was expected.
        OSError: the file cannot be read.
    """
    return judge(read_json(path), schema, str(path))


def read_model(path: Path, model: type[M]) -> M:
    """Return the pydantic model in a JSON file.

    Raises:
        ValueError: the file does not hold it; names the file and the key.
        OSError: the file cannot be read.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        raise ValueError(f"{path}: {describe_refusal(error)}") from None


def read_rows(path: Path, schema: type[T]) -> list[T]:
    """Return the JSON objects in a file that is appended to, one a line. A last line that is half written is left out.

    Raises:
        ValueError: a line does not satisfy the schema, or there are too many; names the file, the line and the key.
        OSError: the file cannot be read.
    """
    content = read_bytes(path, MOST_BYTES_OF_ROWS)
    if content.count(b"\n") > MOST_ROWS:
        raise ValueError(f"{path}: found more than {MOST_ROWS:,} lines")
    rows: list[T] = []
    for number, line in enumerate(BytesIO(content), start=1):
        place = f"{path}:{number}"
        try:
            document = parse_json(line, place)
        except ValueError:
            if line.endswith(b"\n"):
                raise
            break
        rows.append(judge(document, schema, place))
    return rows


def judge(document: object, schema: type[T], place: str) -> T:
    """Return a document that satisfies a schema.

    Args:
        place: Where the document is from, for the error.

    Raises:
        ValueError: it does not; names the place and the key.
    """
    from pydantic import ValidationError

    try:
        adapter(cast(Hashable, schema)).validate_python(document, strict=True)
    except ValidationError as error:
        raise ValueError(f"{place}: {describe_refusal(error)}") from None
    return document  # type: ignore[return-value]  # validated, as it was read


@cache
def adapter(schema: Hashable) -> "TypeAdapter[object]":
    """Return the validator of a schema. pydantic is imported by the first one: not every command reads a document."""
    from pydantic import TypeAdapter

    return TypeAdapter(cast(type[object], schema))


def describe_refusal(error: "ValidationError") -> str:
    """Return the first reason in one line: the key, what was expected, and what was found."""
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    expected = EXPECTED.get(first["type"], first["msg"]).format_map(first.get("ctx", {}))
    found = "nothing" if first["type"] == "missing" else shortened(repr(first["input"]))
    return f"{key}: expected {expected}, found {found}" if key else f"expected {expected}, found {found}"


def shortened(text: str) -> str:
    """Return a text that fits into a message."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."
