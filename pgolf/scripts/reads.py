"""What a script reads of the environment: the variables, each with its default and its place."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

# What Python, torch, CUDA and their companions read themselves.
OF_LIBRARIES = re.compile(
    r"(?:CUDA|CUBLAS|CUDNN|NVIDIA|NCCL|GLOO|TORCH|TORCHINDUCTOR|TORCHELASTIC|PYTORCH|TRITON|FLASH_ATTENTION|FLASH_ATTN"
    r"|PYTHON|OMP|MKL|KMP|OPENBLAS|NUMEXPR|HF|TOKENIZERS|TRANSFORMERS|WANDB|UV|XDG|LD)_[A-Z0-9_]+"
    r"|TMPDIR|CC|CXX|HOME|PATH|USER"
)
# What torchrun, schedulers and shells set.
OF_LAUNCHERS = re.compile(
    r"(?:(?:LOCAL|GROUP|ROLE|NODE)_)?RANK|(?:(?:LOCAL|GROUP|ROLE)_)?WORLD_SIZE|MASTER_(?:ADDR|PORT)|HOSTNAME"
    r"|(?:SLURM|MODAL|RUNPOD|SSH|CONDA|VIRTUAL)_[A-Z0-9_]+|[a-z]+_proxy"
    r"|LANG|LC_[A-Z]+|TERM|SHELL|PWD|OLDPWD|LOGNAME|TZ|SHLVL|_"
)


@dataclass(frozen=True, slots=True)
class Variable:
    """One place where a variable is read."""

    name: str
    default: str | None
    """As it is written; None where the script fails without it."""
    file: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(slots=True)
class Reads:
    """What some files read of the environment."""

    variables: list[Variable] = field(default_factory=list)
    """In the order of the files and lines."""
    patterns: dict[str, str] = field(default_factory=dict)
    """Regular expressions of names that are put together when the script runs, and where."""
    walks: list[str] = field(default_factory=list)
    """Places that go through all variables there are, or hand the environment on to what cannot be followed."""

    @property
    def names(self) -> list[str]:
        """Each name once."""
        return list(dict.fromkeys(variable.name for variable in self.variables))

    def first(self, name: str) -> Variable:
        """The first place where a variable is read."""
        return next(variable for variable in self.variables if variable.name == name)

    def knows(self, name: str) -> bool:
        """Whether the script, its launcher or a library may read a variable."""
        is_put_together = any(re.fullmatch(pattern, name) for pattern in self.patterns)
        return name in self.names or is_put_together or is_of_machine(name)

    def unset(self, given: Iterable[str]) -> list[Variable]:
        """Variables that are left to their defaults, each once; what the machine sets is none of them."""
        known = set(given)
        return [self.first(name) for name in self.names if name not in known and not is_of_machine(name)]


def is_of_machine(name: str) -> bool:
    """Whether a variable is the launcher's or a library's business."""
    return any(kind.fullmatch(name) for kind in (OF_LAUNCHERS, OF_LIBRARIES))
