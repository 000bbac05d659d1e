"""A bundle from the cache is the bundle made anew, and nothing but the same inputs finds it."""

import shutil
from pathlib import Path

import pytest

from pgolf.bundle import build, modules
from pgolf.bundle.build import Bundle, bundle_of
from pgolf.bundle.cache import read_cached
from pgolf.bundle.values import placeholder
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.scripts.source import decode_source
from pgolf.scripts.unwrapping import layers
from pgolf.specs.loading import load_spec


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pgolf" / "bundles"


def micro_bundle(*assignments: str) -> Bundle:
    return bundle_of(load_spec("quickstart", ["micro"], assignments).spec, load_ruleset("parameter_golf"))


def test_a_cached_bundle_has_the_bytes_of_a_fresh_one_and_costs_no_second_build(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = micro_bundle()
    program, code = fresh.packed, fresh.code
    names = {path.name for path in cache.iterdir()}
    assert len(names) == 3  # reached modules, minified program, packed program
    for name in ("minified_program", "self_extracting"):
        monkeypatch.delattr(build, name)
    monkeypatch.delattr(modules, "reachable_modules")
    assert (micro_bundle().packed, micro_bundle().code) == (program, code)
    assert {path.name for path in cache.iterdir()} == names


@pytest.mark.parametrize("changed", ["averaging/ema.py", "standalone.py"])
def test_a_changed_source_is_not_found_in_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    source = Path(shutil.copytree(modules.TRAINER, tmp_path / "trainer"))
    monkeypatch.setattr(modules, "TRAINER", source)
    monkeypatch.setattr(build, "minified_program", lambda recipe: (source / changed).read_text() + placeholder(recipe))
    before, found = micro_bundle().packed, {*cache.iterdir()}
    assert micro_bundle().packed == before
    with (source / changed).open("a") as file:
        file.write("# changed\n")
    after = micro_bundle().packed
    assert after != before
    assert len({*cache.iterdir()} - found) == 3


def test_a_recipe_of_the_same_components_with_another_value_is_not_found_in_the_cache(cache: Path) -> None:
    bundles = [micro_bundle(), micro_bundle("recipe.optimizer.matrix_lr=0.0625")]
    programs = [layers(decode_source(bundle.packed))[-1] for bundle in bundles]
    assert ["matrix_lr=0.0625" in program for program in programs] == [False, True]
    assert bundles[0].minified_key == bundles[1].minified_key, "the code is minified once for both"


@pytest.mark.parametrize("damage", [b"", b"short", bytes(40)])
def test_a_damaged_entry_is_made_again(cache: Path, damage: bytes) -> None:
    assert read_cached("key", lambda: b"made") == b"made"
    (entry,) = cache.iterdir()
    whole = entry.read_bytes()
    for content in (damage, whole[:-1], whole[:-1] + b"\0"):
        entry.write_bytes(content)
        assert read_cached("key", lambda: b"made") == b"made"
        assert entry.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_skipped(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    assert read_cached("key", lambda: b"made") == b"made"


def test_an_empty_value_is_kept(cache: Path) -> None:
    assert read_cached("key", lambda: b"") == b""
    assert read_cached("key", lambda: b"other") == b""
