"""`python -P adapter_child.py ADAPTER FOLDER`: a stranger's scoring functions, asked about some token streams.

The adapter is a Python file with two functions. `score(tokens)` gives the nats of every token but the first, by the
whole protocol behind the headline, adaptation included. `distributions(tokens, positions)` gives, for each of some
positions, the log probabilities of the whole vocabulary that the token there is scored by, within the same stream.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any


def load_adapter(path: Path) -> Any:
    """The adapter's module."""
    spec = importlib.util.spec_from_file_location("pgolf_adapter", path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} cannot be imported")
    sys.path.insert(0, str(path.parent))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    missing = [name for name in ("score", "distributions") if not callable(getattr(module, name, None))]
    if missing:
        sys.exit(f"{path} has no function {' and no function '.join(missing)}")
    return module


def main() -> None:
    """Nothing; answers.npz is in the folder."""
    import numpy as np

    adapter, folder = load_adapter(Path(sys.argv[1])), Path(sys.argv[2])
    with np.load(folder / "questions.npz") as questions:
        streams, asked = questions["streams"], questions["asked"]
    nats = [np.asarray(adapter.score(tokens.copy()), dtype=np.float32).reshape(-1) for tokens in streams]
    if wrong := [len(each) for each in nats if len(each) != streams.shape[1] - 1]:
        sys.exit(
            f"score gives {wrong[0]} numbers for {streams.shape[1]} tokens; expected one for every token but the first"
        )
    rows = []
    for number, tokens in enumerate(streams):
        positions = [int(position) for stream, position in asked if stream == number]
        if positions:
            found = np.asarray(adapter.distributions(tokens.copy(), positions), dtype=np.float64)
            if found.ndim != 2 or len(found) != len(positions):
                words = f"distributions gives shape {found.shape} for {len(positions)} positions"
                sys.exit(f"{words}; expected (positions, vocabulary)")
            rows.append(found)
    np.savez(folder / "answers.npz", nats=np.stack(nats), log_probabilities=np.concatenate(rows))


if __name__ == "__main__":
    main()
