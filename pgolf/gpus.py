"""GPUs as `launch.gpu` asks for them: "H100:8", "H100!:8", "B200+:8"."""

import re
from dataclasses import dataclass

GPU_PATTERN = r"^[A-Za-z0-9-]+[!+]?(:[1-9][0-9]?)?$"


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """GPUs that are asked for."""

    kind: str
    number: int
    suffix: str = ""
    """"!": no other kind in its place; "+": or a better kind. Launchers that cannot choose ignore both."""

    def includes(self, name: str) -> bool:
        """Return whether a GPU's name is of the kind: "A100-80GB" is "NVIDIA A100-SXM4-80GB", and not "A10".

        With "+" every name is, because pgolf does not rank kinds.
        """
        words = re.findall(r"[A-Z0-9]+", name.upper())
        return self.suffix == "+" or all(word in words for word in self.kind.upper().replace("-", " ").split())


def parse_gpus(text: str) -> GpuRequest:
    """Return what a `launch.gpu` asks for; without a number, one GPU."""
    word, _, number = text.partition(":")
    kind = word.rstrip("!+")
    return GpuRequest(kind, int(number or 1), word.removeprefix(kind))
