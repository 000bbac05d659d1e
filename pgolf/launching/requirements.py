"""What a job needs of the machine it runs on: libraries by the names they are installed under, GPUs by their kind."""

import re

# Under which names libraries are installed that are imported under another.
DISTRIBUTIONS = {
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "dotenv": "python-dotenv",
    "flash_attn_interface": "flash-attn-3",
    "flash_attn": "flash-attn",
    "huggingface_hub": "huggingface-hub",
}


def distribution_of(library: str) -> str:
    """The name under which a package that is imported is installed."""
    return DISTRIBUTIONS.get(library, library)


def is_device(asked: str, name: str) -> bool:
    """Whether a device's name is that of the kind asked for: "A100-80GB:2" and "NVIDIA A100-SXM4-80GB", not "A10"."""
    wanted = asked.partition(":")[0].rstrip("!+").upper().replace("-", " ").split()
    words = re.findall(r"[A-Z0-9]+", name.upper())
    return asked.partition(":")[0].endswith("+") or all(word in words for word in wanted)
