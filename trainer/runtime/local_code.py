"""Components from the user's own Python files."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from trainer.runtime.failure import TrainingFailed


def make_local(file: str, class_name: str, *arguments: Any, **options: Any) -> Any:
    """Return an instance of a class in the user's file.

    Raises:
        TrainingFailed: it cannot be made; names file and class.
    """
    made = load_local_class(file, class_name)
    try:
        return made(*arguments, **options)
    except Exception as error:
        raise TrainingFailed(f"{class_name} of {Path(file).resolve()}: {type(error).__name__}: {error}") from error


def load_local_class(file: str, class_name: str) -> Any:
    """Execute a file and return its class of that name. The path is relative to the run directory.

    Raises:
        TrainingFailed: there is no such file or class, or the file cannot be executed.
    """
    path = Path(file).resolve()
    name = f"local_{path.stem}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.exists():
        raise TrainingFailed(f"{path} is not a Python file that can be loaded")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise TrainingFailed(f"{path} cannot be executed: {type(error).__name__}: {error}") from error
    if not hasattr(module, class_name):
        names = [key for key, value in vars(module).items() if isinstance(value, type) and value.__module__ == name]
        raise TrainingFailed(f"{path} has no class {class_name}; it has {', '.join(names) or 'none'}")
    return getattr(module, class_name)
