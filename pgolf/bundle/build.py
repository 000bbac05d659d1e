"""Builds train_gpt.py for one recipe: the modules it needs, flattened, pruned, minified and compressed."""

import ast
import json
import sys
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pgolf.bundle.cache import read_cached
from pgolf.bundle.fields import drop_fields, given_fields
from pgolf.bundle.flatten import flatten
from pgolf.bundle.modules import TrainerCode, names_in_use, reachable_modules, trainer_code, trainer_sources
from pgolf.bundle.own_code import local_files, with_own_copies
from pgolf.bundle.specialize import Specializer, component_names, constructed_components
from pgolf.bundle.stub import self_extracting
from pgolf.bundle.unreachable import reachable_statements, used_imports, without_annotations, without_field_types
from pgolf.bundle.values import fill_placeholder, placeholder
from pgolf.bundle.whole_folder import write_folder
from pgolf.errors import MachineError
from pgolf.rulesets.ruleset import Ruleset
from pgolf.specs.experiment import Experiment, recipe_json
from trainer.recipe.decode import decode_recipe
from trainer.recipe.files import LOCAL_FOLDER
from trainer.recipe.local import local_codes
from trainer.recipe.program import Program
from trainer.recipe.recipe import Recipe

ROOT, MAIN = "trainer.standalone", "standalone_main"
PROGRAM, READABLE, REQUIREMENTS = "train_gpt.py", "train_gpt.readable.py", "requirements.txt"


@dataclass(frozen=True)
class Bundle:
    """A recipe's single-file program and its inputs."""

    recipe: Recipe
    code: TrainerCode
    embedded: str
    """JSON of what the program is built from: the recipe, seeds, device and limit."""

    @cached_property
    def submitted(self) -> Recipe:
        """The recipe as the program contains it: without references, which are no part of a submission."""
        recipe = decode_recipe(json.loads(self.embedded)["recipe"])
        return replace(recipe, evaluation=replace(recipe.evaluation, references={}))

    @cached_property
    def packed(self) -> bytes:
        """train_gpt.py as it counts against the limit; the same bytes for the same recipe, code and libraries."""
        return read_cached(
            f"{self.minified_key}{self.embedded}{self.has_brotli}",
            lambda: self_extracting(self.program, self.has_brotli),
        )

    @cached_property
    def readable(self) -> str:
        """The same program uncompressed, with its original names and docstrings."""
        return self.with_values(ast.unparse(program_tree(self.submitted)))

    @property
    def program(self) -> str:
        """The minified program."""
        minified = read_cached(self.minified_key, lambda: minified_program(self.submitted).encode()).decode()
        return self.with_values(minified)

    @cached_property
    def minified_key(self) -> str:
        """Cache key of the minified program: everything that determines it."""
        bundler = [file.read_text() for file in sorted(Path(__file__).parent.glob("*.py"))]
        tools = (sys.version, version("python_minifier"), version("brotli"))
        names = sorted(names_in_use(self.submitted)), sorted(given_fields(self.submitted))
        return json.dumps((*tools, bundler, trainer_sources(), *names))

    def with_values(self, program: str) -> str:
        """Return a program with its placeholder replaced by the values of this bundle."""
        document = json.loads(self.embedded)
        values = Program(
            name=document["name"],
            seed=document["seeds"][0],
            device=document["device"],
            limit_bytes=document["run"]["limit_bytes"],
            recipe=self.submitted,
            local={f"{LOCAL_FOLDER}/{name}": text for name, text in document["local"].items()},
        )
        return fill_placeholder(program, values)

    @property
    def has_brotli(self) -> bool:
        return "brotli" in self.code.libraries

    @property
    def requirements(self) -> str:
        """requirements.txt: the libraries that the program imports, in their installed versions.

        A local label such as `+cpu` names a build that the package index does not have, and is left out.
        """
        return "".join(f"{name}=={version(name).partition('+')[0]}\n" for name in self.code.libraries)

    def write(self, folder: Path) -> dict[str, int]:
        """Write program, readable program and requirements into a folder, and return their bytes by name.

        Raises:
            MachineError: they cannot be written.
        """
        files = {
            PROGRAM: self.packed,
            READABLE: self.readable.encode(),
            REQUIREMENTS: self.requirements.encode(),
        }
        try:
            write_folder(folder, files, last=PROGRAM)
        except OSError as error:
            raise MachineError.from_os_error(error, folder) from error
        return {name: len(content) for name, content in files.items()}


def bundle_of(spec: Experiment, ruleset: Ruleset) -> Bundle:
    """Return the bundle of a spec's recipe."""
    document = {
        "name": spec.name,
        "seeds": list(spec.seeds),
        "device": "cpu" if spec.launch.gpu is None else "cuda",
        "recipe": with_relative_data(with_own_copies(recipe_json(spec.recipe))),
        "local": {name: file.read_text(encoding="utf-8") for name, file in local_files(spec.recipe).items()},
        "run": {"ruleset": ruleset.label, "limit_bytes": ruleset.limits.bytes},
    }
    return Bundle(spec.recipe, trainer_code(spec.recipe), embedded_json(document))


def embedded_json(document: dict[str, Any]) -> str:
    """Serialize a document to be embedded in a program."""
    return json.dumps(document, separators=(",", ":"))


def with_relative_data(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe with the local data folder replaced by `data`."""
    data = recipe["data"]
    return recipe | {"data": data | {"folder": "data"}} if "folder" in data else recipe


def program_tree(recipe: Recipe, is_annotated: bool = True) -> ast.Module:
    """Return a recipe's program as one module, with docstrings, and with a placeholder for the recipe's values."""
    names, used = component_names(), names_in_use(recipe)
    while True:
        trees = {n: Specializer(names, used).visit(tree) for n, tree in reachable_modules(ROOT, used).items()}
        made = constructed_components(trees.values(), names)
        if made <= used:
            break
        used |= made
    imports, body = flatten(trees, ROOT)
    body = without_annotations(body) if is_annotated else without_field_types(without_annotations(body))
    start = ast.parse(f"if __name__ == '__main__':\n    sys.exit({MAIN}({placeholder(recipe)}))").body
    body = reachable_statements([*body, *start], {MAIN})
    if not local_codes(recipe):  # the user's own code may read any field of what it is given
        drop_fields(body, names, given_fields(recipe))
    return ast.fix_missing_locations(ast.Module([*used_imports(imports, body), *body], []))


def minified_program(recipe: Recipe) -> str:
    """Return a recipe's program, minified."""
    import python_minifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # python_minifier's parser warns
        source = ast.unparse(program_tree(recipe, is_annotated=False))
        return str(
            python_minifier.minify(source, remove_literal_statements=True, rename_globals=True, hoist_literals=False)
        )
