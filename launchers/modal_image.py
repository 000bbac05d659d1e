"""The image of a Modal container: pinned wheels and the trainer's source. Nothing is compiled when a run starts."""

from typing import Any

from pgolf.launching import distribution_of
from pgolf.launching.shipping import TRAINER_FOLDER

PYTHON = "3.11"
# A test checks that these are the versions of constraints.txt.
PINNED = {
    "torch": "2.13.0",
    "numpy": "2.4.6",
    "sentencepiece": "0.2.3",
    "brotli": "1.2.1",
    "constriction": "0.5.0",
    "zstandard": "0.25.0",
}
# Where the trainer is in the container.
CODE_FOLDER = "/pgolf/code"


def image_of(libraries: tuple[str, ...], packages: list[str]) -> Any:
    """Return the image for a recipe that imports `libraries`; `packages` are more of the user's, by name or wheel URL.

    torch brings its own CUDA; g++ is for torch.compile. A package without a wheel is an error: eight rented GPUs should
    not wait for a compiler.
    """
    import modal

    names = dict.fromkeys(["torch", "numpy", "sentencepiece", *map(distribution_of, libraries)])
    pinned = [f"{name}=={PINNED[name]}" if name in PINNED else name for name in names]
    image = modal.Image.debian_slim(python_version=PYTHON).apt_install("g++", "libc6-dev")
    image = image.uv_pip_install(*pinned, *packages, extra_options="--only-binary :all:")
    return image.add_local_dir(TRAINER_FOLDER, f"{CODE_FOLDER}/trainer", ignore=["**/__pycache__/**", "**/*.pyc"])
