"""The command of a bundle: the trainer with one recipe in it.

`train_gpt.py --data FOLDER --out RUN_DIR` creates the run directory and runs it; with --model FILE it only scores that
artifact. `train_gpt.py RUN_DIR` runs an existing run directory, as the trainer does.
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from trainer.command import main
from trainer.recipe.files import LOCAL_FOLDER, DataFiles, RunFiles, read_json, write_json

NOT_ITS_RECIPE, NOT_A_DATA_FOLDER, NOT_A_RUN_FOLDER = 2, 5, 6


def standalone_main(embedded: str) -> int:
    """Run the embedded recipe, and return the exit code. `embedded` is the JSON of the recipe and its run."""
    document = json.loads(embedded)
    if not any(argument.split("=")[0] == "--data" for argument in sys.argv[1:]):
        return main() if is_own_recipe(document["recipe"]) else NOT_ITS_RECIPE
    parser = argparse.ArgumentParser(description=f"Train, quantize, pack and score {document['name']}.")
    parser.add_argument("--data", type=Path, required=True, help="folder of shards with manifest.json")
    parser.add_argument("--out", type=Path, default=Path("run"), help="run directory (%(default)s)")
    parser.add_argument("--model", type=Path, help="only score this artifact")
    parser.add_argument("--seed", type=int, default=document["seeds"][0], help="random seed (%(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default=document["device"], help="(%(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="number of processes (%(default)s)")
    arguments = parser.parse_args()
    try:
        prepare(arguments, embedded)
    except RunMismatch as error:
        print(f"trainer: {error}", file=sys.stderr)
        return NOT_ITS_RECIPE
    except (OSError, ValueError) as error:
        print(f"trainer: {error}", file=sys.stderr)
        return NOT_A_RUN_FOLDER if isinstance(error, PermissionError) else NOT_A_DATA_FOLDER
    mode = [] if arguments.model is None else ["--score"]
    sys.argv[1:] = [str(arguments.out), "--processes", str(arguments.processes), *mode]
    return main()


class RunMismatch(Exception):
    """The run directory holds another run."""


def is_own_recipe(recipe: dict[str, Any]) -> bool:
    """Return whether the run directory on the command line has this recipe, except for the data folder.

    A bundle lacks the code of other recipes.
    """
    for argument in sys.argv[1:]:
        spec = RunFiles(Path(argument)).spec
        if spec.is_file() and any(
            read_json(spec)["recipe"].get(slot) != recipe[slot] for slot in recipe if slot != "data"
        ):
            print(f"trainer: {spec} holds another recipe than this file", file=sys.stderr)
            return False
    return True


def prepare(arguments: argparse.Namespace, embedded: str) -> None:
    """Create the run directory. An existing one is only checked.

    Raises:
        RunMismatch: it has another seed, other data or another artifact.
    """
    document = json.loads(embedded)
    files = RunFiles(arguments.out.resolve())
    manifest = read_json(DataFiles(arguments.data).manifest)
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    asked = {"seed": arguments.seed, "data_sha256": hashlib.sha256(canonical.encode()).hexdigest()}
    if files.run.exists():
        found = read_json(files.run)
        for key, value in asked.items():
            if found.get(key) != value:
                raise RunMismatch(f"{files.root} has {key} {found.get(key)}, not {value}")
        if arguments.model is not None and files.model.read_bytes() != arguments.model.read_bytes():
            raise RunMismatch(f"{files.root} holds another artifact than {arguments.model}")
        return
    files.root.mkdir(parents=True, exist_ok=True)
    for name, text in document["local"].items():
        if Path(name).name != name:
            raise RunMismatch(f"{name!r} is not a file name")
        (files.root / LOCAL_FOLDER).mkdir(exist_ok=True)
        (files.root / LOCAL_FOLDER / name).write_text(text, encoding="utf-8")
    write_json(files.spec, {"name": document["name"], "seed": arguments.seed, "recipe": document["recipe"]})
    run = {
        "run_id": f"{document['name']}/seed-{arguments.seed}",
        "name": document["name"],
        **asked,
        "spec_sha256": hashlib.sha256(embedded.encode()).hexdigest(),
        "code_sha256": hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
        "data_folder": str(arguments.data.resolve()),
        "device": arguments.device,
        "launcher": "standalone",
        "code_bytes": Path(__file__).stat().st_size,
        "code_basis": "this file",
        "environment": None,
    }
    if arguments.model is not None:
        files.artifact.mkdir(exist_ok=True)
        shutil.copyfile(arguments.model, files.model)
    write_json(files.run, document["run"] | run)
