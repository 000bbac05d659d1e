"""A new spec file to edit, and beside it the JSON schema by which an editor completes and checks it."""

import json
import os
import re
import shlex
from pathlib import Path

from pgolf.errors import MachineError, UsageError
from pgolf.specs.experiment import Experiment, name_from
from pgolf.specs.loading import find_spec, load_spec, on_its_bases
from pgolf.specs.schema import schema_text
from pgolf.specs.yaml_documents import read_yaml
from trainer.recipe.writing import create_whole, write_whole

SUFFIXES = (".yaml", ".yml")
SCHEMA = Path(".pgolf") / "spec.schema.json"
# The schema is that of the installed version, so each checkout has its own, like the caches of other tools.
IGNORE_ALL = "# Written by pgolf; `pgolf spec schema` prints spec.schema.json.\n*\n"
ALREADY_THERE = "{file} is already there; choose another name, or delete it first"
TEXT = """\
# yaml-language-server: $schema={schema}
# `pgolf preflight {file}` checks it; `pgolf spec show {file}` prints every value and where it came from.
spec_version: 1
extends: {base}
name: {name}
question: What happens if ...?  # write the question that the runs answer
{changes}"""


def write_new_spec(path: Path, base: str) -> tuple[Path, Path]:
    """Write a spec that builds on another one, and the schema beside it; return both files.

    Args:
        path: the file, or its name without `.yaml`.
        base: the name of a shipped spec, or a file.

    Raises:
        UsageError: the file is already there, the path is a folder, or there is no such base.
        SpecError: nothing can build on the base, because too many specs extend one another already.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the file a name, as in {path / 'my-run'}")
    file = path if path.suffix in SUFFIXES else path.with_name(f"{path.name}.yaml")
    schema = file.parent / SCHEMA
    text = TEXT.format(
        schema=SCHEMA.as_posix(),
        file=shlex.quote(str(file)),
        base=scalar(base_beside(file, base)),
        name=name_from(file.stem, "my-run"),
        changes=changes_to(load_spec(base).spec),
    )
    if os.path.lexists(file):
        raise UsageError(ALREADY_THERE.format(file=file))
    try:
        schema.parent.mkdir(parents=True, exist_ok=True)
        if not schema.exists():
            write_whole(schema.with_name(".gitignore"), IGNORE_ALL.encode())
        write_whole(schema, schema_text().encode())
        create_whole(file, text.encode())  # last: if the command is interrupted before, it can be repeated
    except FileExistsError as error:
        raise UsageError(ALREADY_THERE.format(file=error.filename)) from None
    except OSError as error:
        raise MachineError.from_os_error(error, file) from error
    return file, schema


def base_beside(file: Path, base: str) -> str:
    """Return what a spec in a file writes under `extends:` to build on a base.

    Raises:
        SpecError: nothing can build on the base, because too many specs extend one another already.
    """
    found = find_spec(base)
    on_its_bases(read_yaml(found), [file, found])
    is_file = "/" in base or base.endswith(SUFFIXES)
    return Path(os.path.relpath(found, file.parent)).as_posix() if is_file else base


def changes_to(base: Experiment) -> str:
    """Return a change to begin with: half as much again of the learning rate, where the base has one."""
    rate = None if base.is_script else getattr(base.recipe.optimizer, "matrix_lr", None)
    if rate is None:
        return ""
    return f"recipe:\n  optimizer: {{matrix_lr: {1.5 * rate:.4g}}}  # {base.name}: {rate:g}\n"


def scalar(text: str) -> str:
    """Return a text as a YAML scalar, quoted unless it is plainly a name or a path."""
    return text if re.fullmatch(r"[\w.][\w./-]*", text) else json.dumps(text)
