"""One file that trains and scores one recipe: the modules it needs, flattened, pruned, minified and compressed."""

import ast
import hashlib
import json
import sys
import warnings
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import platformdirs

from pgolf.bundle.flatten import flattened
from pgolf.bundle.modules import TrainerCode, module_file, names_in_use, reachable, trainer_code
from pgolf.bundle.own_code import local_files, with_own_copies
from pgolf.bundle.specialise import Specialiser, component_names, constructed
from pgolf.bundle.stub import self_extracting
from pgolf.bundle.unreachable import reachable_statements, without_annotations
from pgolf.rulesets.ruleset import Ruleset
from pgolf.specs.experiment import Experiment, recipe_json
from trainer.recipe.files import write_whole
from trainer.recipe.recipe import Recipe

ROOT, MAIN = "trainer.standalone", "standalone_main"
PROGRAM = "train_gpt.py"


@dataclass(frozen=True)
class Bundle:
    """A program and what it was made of."""

    recipe: Recipe
    code: TrainerCode
    embedded: str
    """JSON: the recipe, and what a run directory begins with."""

    @cached_property
    def packed(self) -> bytes:
        """train_gpt.py, as it counts against the limit. The same for the same recipe, code and libraries."""
        return cached(
            f"{self.minified_key}{self.embedded}{self.has_brotli}",
            lambda: self_extracting(self.program, self.has_brotli),
        )

    @cached_property
    def readable(self) -> str:
        """The same program with its own names and docstrings, and not compressed."""
        return with_recipe(ast.unparse(program_tree(self.recipe)), self.embedded)

    @property
    def program(self) -> str:
        """The minified program."""
        minified = cached(self.minified_key, lambda: minified_program(self.recipe).encode()).decode()
        return with_recipe(minified, self.embedded)

    @cached_property
    def minified_key(self) -> str:
        """What the minified program follows from."""
        bundler = [file.read_text() for file in sorted(Path(__file__).parent.glob("*.py"))]
        tools = (sys.version, version("python_minifier"), version("brotli"))
        root = module_file(ROOT).read_text()  # the only module that the package's own start does not reach
        return json.dumps((*tools, bundler, root, self.code.sha256, sorted(names_in_use(self.recipe))))

    @property
    def has_brotli(self) -> bool:
        return "brotli" in self.code.libraries

    @property
    def requirements(self) -> str:
        """requirements.txt: the libraries that the program imports, as they are here."""
        return "".join(f"{name}=={version(name)}\n" for name in self.code.libraries)


def bundle_of(spec: Experiment, ruleset: Ruleset) -> Bundle:
    """The bundle of a spec's recipe."""
    document = {
        "name": spec.name,
        "seeds": list(spec.seeds),
        "device": "cpu" if spec.launch.gpu is None else "cuda",
        "recipe": anywhere(with_own_copies(recipe_json(spec.recipe))),
        "local": {name: file.read_text(encoding="utf-8") for name, file in local_files(spec.recipe).items()},
        "run": {"ruleset": ruleset.label, "limit_bytes": ruleset.artifact_limit_bytes},
    }
    return Bundle(spec.recipe, trainer_code(spec.recipe), embedded_json(document))


def embedded_json(document: dict[str, Any]) -> str:
    """The one way in which a document is written into a program."""
    return json.dumps(document, separators=(",", ":"))


def anywhere(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe without the folder in which its data happen to be here."""
    data = recipe["data"]
    return recipe | {"data": data | {"folder": "data"}} if "folder" in data else recipe


def program_tree(recipe: Recipe) -> ast.Module:
    """The program of a recipe as one module, with docstrings."""
    components, used = component_names(), names_in_use(recipe)
    while True:
        trees = {n: Specialiser(components, used).visit(tree) for n, tree in reachable(ROOT, used).items()}
        made = constructed(trees.values(), components)
        if made <= used:
            break
        used |= made
    imports, body = flattened(trees, ROOT)
    body = reachable_statements(without_annotations(body), {MAIN})
    start = ast.parse(f"if __name__ == '__main__':\n    sys.exit({MAIN}(EMBEDDED))").body
    return ast.fix_missing_locations(ast.Module([*imports, *body, *start], []))


def minified_program(recipe: Recipe) -> str:
    """The program of a recipe in few characters."""
    import python_minifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the minifier's own parsing
        source = ast.unparse(program_tree(recipe))
        return str(
            python_minifier.minify(
                source,
                remove_literal_statements=True,
                rename_globals=True,
                hoist_literals=False,
                preserve_globals=["EMBEDDED"],
            )
        )


def with_recipe(program: str, embedded: str) -> str:
    """A program that knows its recipe."""
    return f"EMBEDDED={embedded!r}\n{program}\n"


def cached(key: str, make: "Any") -> bytes:
    """What was made for a key before, on this machine, or is made now. A cache that cannot be written is none."""
    folder = Path(platformdirs.user_cache_dir("pgolf")) / "bundles"
    path = folder / hashlib.sha256(key.encode()).hexdigest()
    try:
        return path.read_bytes()
    except OSError:
        pass
    made: bytes = make()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, made)
    except OSError:
        pass
    return made
