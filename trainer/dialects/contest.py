"""Log lines as the challenge's baseline prints them; the readers in this package understand them."""

from collections.abc import Iterator, Mapping
from typing import Any

# Labels of the scores of the packed model, by stage.
PACKED_LABELS = {"roundtrip": "quantized_{protocol}", "ttt": "legal_ttt"}


def header_lines(parameters: int, processes: int, seed: int) -> Iterator[str]:
    """Yield the first lines of a log."""
    yield f"model_params:{parameters}"
    yield f"world_size:{processes}"
    yield f"seed:{seed}"


def step_line(step: int, total: int, train_loss: float, train_seconds: float) -> str:
    """Return the line of a training step."""
    milliseconds = 1000 * train_seconds
    return (
        f"step:{step}/{total} train_loss:{train_loss:.4f} "
        f"train_time:{milliseconds:.0f}ms step_avg:{milliseconds / max(1, step):.2f}ms"
    )


def unpacked_score_line(metric: Mapping[str, Any], steps: int, train_seconds: float) -> str:
    """Return the line of a score before quantization, which the baseline prints as that of its last step."""
    return (
        f"step:{steps}/{steps} val_loss:{metric['val_loss']:.4f} val_bpb:{metric['val_bpb']:.4f} "
        f"train_time:{1000 * train_seconds:.0f}ms"
    )


def score_line(metric: Mapping[str, Any]) -> str:
    """Return the line of a score of the packed model, with every digit of the result."""
    label = PACKED_LABELS[metric["stage"]].format(**metric)
    return (
        f"{label}_exact val_loss:{metric['val_loss']} val_bpb:{metric['val_bpb']} "
        f"eval_time:{1000 * metric['seconds']:.0f}ms"
    )


def size_lines(artifact: Mapping[str, Any], codec: str) -> Iterator[str]:
    """Yield the lines of the artifact's bytes."""
    yield f"Code size: {artifact['code_bytes']} bytes"
    yield f"Serialized model quantized+{codec}: {artifact['model_bytes']} bytes"
    yield f"Total submission size quantized+{codec}: {artifact['total_bytes']} bytes"
