"""The nearest key, and the spec path of a pydantic error location."""

import pytest

from pgolf.specs.suggestions import nearest, spec_path, valid_keys


@pytest.mark.parametrize(
    ("word", "choices", "expected"),
    [
        ("widht", ["width", "height"], "width"),
        ("kv_head", ["heads", "kv_heads"], "kv_heads"),
        ("zzz", ["width", "height"], None),
        ("x", [], None),
    ],
)
def test_the_nearest_choice_is_found(word: str, choices: list[str], expected: str | None) -> None:
    assert nearest(word, choices) == expected


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (("recipe", "codec", "brotli", "quality"), ("recipe", "codec", "quality")),
        (
            ("recipe", "quantizer", "clip", "deviations", "k", "default"),
            ("recipe", "quantizer", "clip", "k", "default"),
        ),
        (("recipe", "quantizer", "bits", "brotli"), ("recipe", "quantizer", "bits", "brotli")),
        (("recipe", "model", "attention", "rope", "dims"), ("recipe", "model", "attention", "rope", "dims")),
        (("seeds", 1), ("seeds", 1)),
        (("recipe", "evaluation", "chunked"), ("recipe", "evaluation")),
    ],
)
def test_tags_of_unions_are_not_part_of_a_path(location: tuple[str | int, ...], path: tuple[str | int, ...]) -> None:
    assert spec_path(location) == path


@pytest.mark.parametrize(
    ("location", "keys"),
    [
        (("recipe", "codec", "zlib"), {"kind", "level"}),
        (("recipe", "codec", "brotli"), {"kind", "quality"}),
        (("recipe", "evaluation", "chunked"), {"kind", "window", "temperature", "tail", "references"}),
        (
            ("recipe", "model", "attention", "grouped_query", "rope"),
            {"dims", "base", "trained_tokens", "loop_divisors", "published_truncated"},
        ),
        (("launch",), {"on", "gpu", "processes", "threads", "options"}),
        (("recipe", "quantizer", "bits"), set()),
    ],
)
def test_the_valid_keys_are_those_of_the_mapping(location: tuple[str | int, ...], keys: set[str]) -> None:
    assert set(valid_keys(location)) == keys
