"""The variables that a script reads, compared with a run of it under an environment that records reads."""

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pgolf.bundle.stub import self_extracting
from pgolf.scripts import variables
from pgolf.scripts.program import ScriptProgram, Unreadable, neighbours, read_program
from pgolf.scripts.reads import EnvironmentReads, Variable


def variables_read(texts: Mapping[str, str]) -> EnvironmentReads:
    return variables.variables_read({name: ast.parse(text) for name, text in texts.items()})


EVERY_WAY = """
import os
import os as system
from os import environ, environ as surroundings, getenv as ask

class Hyperparameters:
    layers = int(os.environ.get("IN_A_CLASS", 9))

def env(name, default=3, cast=int):
    return cast(os.environ.get(name, default))

def flag(name, default=False):
    return bool(env(name, default))

def inside():
    return system.environ["IN_A_FUNCTION"]

class Reader:
    def read(self, key, fallback="7"):
        return surroundings.get(key, fallback)

def number(key, default):
    raw = os.environ.get(key)
    return default if raw is None else int(raw)

def strict(name, *, default=11):
    return os.environ.get(name, default)

get = os.environ.get
alone = lambda name, default: environ.get(name, default)
copy = dict(os.environ)
CONSTANT = "BY_A_CONSTANT"
inside()
env("BY_A_HELPER", 1), env("WITH_ITS_DEFAULT"), env(default=5, name="BY_KEYWORD"), flag("BY_TWO_HELPERS", True)
strict("BY_A_KEYWORD_ONLY"), number("GIVEN_BACK", 8), number(default=6, key="GIVEN_BACK_BY_NAME")
ask("BY_GETENV"), get("BY_A_METHOD"), alone("BY_A_LAMBDA", 4), Reader().read("BY_A_READER"), environ.get(CONSTANT)
copy.get("OF_A_COPY"), system.environ.setdefault("SET_IF_ABSENT", "x"), "IF_IT_IS_THERE" in os.environ
for name in ("ONE_OF_TWO", "THE_OTHER"):
    os.environ.get(name)
"""

WATCHED = """
import os, sys
class Watching(dict):
    def __getitem__(self, key): seen.add(key); return super().__getitem__(key)
    def get(self, key, default=None): seen.add(key); return super().get(key, default)
    def setdefault(self, key, default=None): seen.add(key); return super().setdefault(key, default)
    def __contains__(self, key): seen.add(key); return super().__contains__(key)
seen = set()
os.environ = Watching(IN_A_FUNCTION="1")
os.getenv = os.environ.get
exec(compile(sys.stdin.read(), "script.py", "exec"))
print(*sorted(seen))
"""


def test_the_variables_found_are_those_that_a_run_reads() -> None:
    """OF_A_COPY is read from a plain copy of the environment, which does not record."""
    ended = subprocess.run([sys.executable, "-c", WATCHED], input=EVERY_WAY, capture_output=True, text=True, check=True)
    assert {*ended.stdout.split()} | {"OF_A_COPY"} == {*variables_read({"script.py": EVERY_WAY}).names}


@pytest.mark.parametrize(
    ("name", "default"),
    {
        "IN_A_CLASS": "9",
        "BY_A_KEYWORD_ONLY": "11",
        "IN_A_FUNCTION": None,
        "BY_A_HELPER": "1",
        "WITH_ITS_DEFAULT": "3",
        "BY_KEYWORD": "5",
        "BY_TWO_HELPERS": "1",
        "GIVEN_BACK": "8",
        "GIVEN_BACK_BY_NAME": "6",
        "BY_GETENV": "",
        "BY_A_LAMBDA": "4",
        "BY_A_READER": "7",
        "SET_IF_ABSENT": "x",
    }.items(),
)
def test_defaults_come_from_the_call_or_else_from_the_helper(name: str, default: str | None) -> None:
    assert variables_read({"script.py": EVERY_WAY}).first(name).default == default


def test_places_are_lines_of_the_file() -> None:
    found = variables_read({"a.py": "import os\n\nx = os.environ.get('DEPTH', 1)\n"}).variables
    assert found == [Variable("DEPTH", "1", "a.py", 3)]
    assert found[0].place == "a.py:3"


def test_a_composed_name_is_recorded_as_a_pattern() -> None:
    reads = variables_read({"a.py": "import os\nfor i in range(3):\n    os.environ.get(f'LR_{i}', 1)\n"})
    assert reads.may_read("LR_2")
    assert not reads.may_read("LR2")


def test_iterating_over_all_variables_is_reported() -> None:
    reads = variables_read({"a.py": "import os\nargs = {k.lower(): v for k, v in os.environ.items()}\n"})
    assert reads.escapes == ["a.py:2"]


@pytest.mark.parametrize("name", ["RANK", "MASTER_PORT", "NCCL_DEBUG", "OMP_NUM_THREADS", "HF_TOKEN"])
def test_variables_of_launchers_and_libraries_count_as_read(name: str) -> None:
    assert variables_read({"a.py": "x = 1"}).may_read(name)


def test_given_variables_and_those_of_the_machine_are_not_unset() -> None:
    reads = variables_read({"a.py": "import os\nos.environ['A'], os.environ.get('B', 2), os.environ.get('RANK')\n"})
    assert [variable.name for variable in reads.unset(["A"])] == ["B"]


def test_a_stub_is_unwrapped_and_lines_are_those_of_its_content() -> None:
    inner = "import os\nprint(os.environ.get('DEPTH', '3'))\n" + "# padding\n" * 200
    program = ScriptProgram({"train_gpt.py": self_extracting(inner, has_brotli=False)})
    assert program.reads.first("DEPTH").place == "train_gpt.py (unwrapped):2"


def test_libraries_are_the_required_imports(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("import numpy\n")
    (tmp_path / "train.py").write_text(
        "import os, torch\nimport helper\nfrom yaml import load\n"
        "try:\n    import flash_attn\nexcept ImportError: pass\n"
        "def later():\n    import wandb\n"
    )
    program = read_program(tmp_path / "train.py", [tmp_path / "helper.py"])
    assert program.libraries == ("numpy", "torch", "yaml")


def test_the_hash_depends_on_names_and_contents_and_not_on_the_order_of_the_files() -> None:
    one, other = ("a.py", b"x = 1\n"), ("b.py", b"x = 2\n")
    hashes = [ScriptProgram(dict(files)).sha256 for files in ((one, other), (other, one))]
    assert len({*hashes}) == 1
    swapped = ScriptProgram({"a.py": other[1], "b.py": one[1]})
    renamed = ScriptProgram({"a.py": one[1], "c.py": other[1]})
    assert len({hashes[0], swapped.sha256, renamed.sha256}) == 3


def test_a_file_outside_the_scripts_folder_cannot_be_shipped(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "train.py").write_text("")
    (tmp_path / "outside.py").write_text("")
    with pytest.raises(ValueError, match="outside"):
        read_program(tmp_path / "inner" / "train.py", [tmp_path / "outside.py"])


def test_a_script_that_is_not_python_is_named_with_its_line() -> None:
    with pytest.raises(Unreadable, match=r"train\.py:2:5: found .*, expected .*; give a file that Python 3 can run"):
        assert ScriptProgram({"train.py": b"x = 1\ny = = 2\n"}).reads


ESCAPES = {
    "fields of settings": "from pydantic_settings import BaseSettings\nclass S(BaseSettings):\n    lr: float = 1\n",
    "handed to a function": "import os\nf(os.environ)\n",
    "a chain": "import os\nfrom collections import ChainMap\nc = ChainMap(os.environ, {})\n",
    "several names at once": "import os\na, b = os.environ, 1\na['LR']\n",
    "by its name": "import os\ngetattr(os, 'environ')['LR']\n",
    "the reader itself": "import os\nlist(map(os.environ.get, ['LR']))\n",
    "as keywords": "import os\nConfig(**os.environ)\n",
}


@pytest.mark.parametrize("text", ESCAPES.values(), ids=ESCAPES.keys())
def test_places_where_the_environment_cannot_be_followed_are_reported(text: str) -> None:
    assert variables_read({"a.py": text}).escapes


FOLLOWED = {
    "an attribute": "import os\nclass A:\n    def f(self):\n        self.e = os.environ\n        self.e.get('LR')\n",
    "a union": "import os\ne = os.environ | {}\ne['LR']\n",
    "a spread": "import os\nd = {**x, **os.environ}\nd['LR']\n",
    "a keyword": "import os\nos.getenv(key='LR')\n",
    "a walrus": "import os\nif e := os.environ:\n    e['LR']\n",
    "an annotation": "import os\ne: dict = os.environ\ne['LR']\n",
    "an option": "import click\n@click.option('--lr', envvar='LR')\ndef f(lr): pass\n",
    "a table": "import os\nD = {'LR': 1}\nfor k, d in D.items(): os.environ.get(k, d)\n",
    "rows": "import os\nfor k, d in [('LR', 1)]: os.environ.get(k, d)\n",
    "a method called get": (
        "import os\nclass E:\n    def get(self, k): return os.environ.get(k)\nE().get('LR')\n{}.get('x')\n"
    ),
    "what children get": (
        "import os, subprocess\ne = os.environ.copy()\nsubprocess.run([], env=e)\nos.environ.get('LR')\n"
    ),
}


@pytest.mark.parametrize("text", FOLLOWED.values(), ids=FOLLOWED.keys())
def test_the_environment_is_followed_through_common_constructs(text: str) -> None:
    reads = variables_read({"a.py": text})
    assert (reads.names, reads.escapes, reads.patterns) == (["LR"], [], {})


def test_a_name_for_the_environment_imported_from_another_file_is_followed() -> None:
    files = {"train.py": "from cfg import env as e\ne['LR']\n", "cfg.py": "import os\nenv = os.environ\n"}
    assert variables_read(files).names == ["LR"]


def test_sums_and_products_of_constants_are_evaluated() -> None:
    text = "import os\nos.environ.get('A', 64 * 1024), os.environ.get('B', -1), os.environ.get('C', N * 2)\n"
    reads = variables_read({"a.py": text + "os.environ.get('D', 9 - 2)\n"})
    assert [reads.first(name).default for name in "ABCD"] == ["65536", "-1", "N * 2", "7"]


def test_neighbours_are_the_directly_or_indirectly_imported_files(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import os, one\nfrom package.inner import thing\n")
    (tmp_path / "one.py").write_text("def f():\n    import two\n")
    (tmp_path / "two.py").write_text("import torch\n")
    (tmp_path / "three.py").write_text("")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    assert {path.name for path in neighbours(tmp_path / "train.py")} == {"one.py", "two.py", "package"}
