"""`python -P adapter_child.py ADAPTER FOLDER`: the scoring functions of an adapter, applied to the streams of an audit.

The adapter is a Python file with two functions. `score(tokens)` returns the nats of every token but the first, by the
whole protocol behind the headline, adaptation included. `distributions(tokens, positions)` returns, for each position,
the log probabilities of the whole vocabulary by which the token there is scored in that stream.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any


def load_adapter(path: Path) -> Any:
    """Return the adapter's module, or exit with an error if it lacks a function."""
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
    """Read questions.npz in the folder and write answers.npz."""
    import numpy as np

    adapter, folder = load_adapter(Path(sys.argv[1])), Path(sys.argv[2])
    with np.load(folder / "questions.npz") as questions:
        streams, asked = questions["streams"], questions["asked"]
    nats = [np.asarray(adapter.score(tokens.copy()), dtype=np.float32).reshape(-1) for tokens in streams]
    if wrong := [len(each) for each in nats if len(each) != streams.shape[1] - 1]:
        found = f"score returns {wrong[0]} numbers for {streams.shape[1]} tokens"
        sys.exit(f"{found}; expected one for every token but the first")
    rows = []
    for number, tokens in enumerate(streams):
        positions = [int(position) for stream, position in asked if stream == number]
        if positions:
            answer = np.asarray(adapter.distributions(tokens.copy(), positions), dtype=np.float64)
            if answer.ndim != 2 or len(answer) != len(positions):
                found = f"distributions returns shape {answer.shape} for {len(positions)} positions"
                sys.exit(f"{found}; expected (positions, vocabulary)")
            rows.append(answer)
    np.savez(folder / "answers.npz", nats=np.stack(nats), log_probabilities=np.concatenate(rows))


if __name__ == "__main__":
    main()
