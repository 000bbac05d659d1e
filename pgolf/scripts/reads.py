"""The environment variables that a script reads, each with its default and its place."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

# Variables that Python, torch, CUDA and related libraries read themselves.
OF_LIBRARIES = re.compile(
    r"(?:CUDA|CUBLAS|CUDNN|NVIDIA|NCCL|GLOO|TORCH|TORCHINDUCTOR|TORCHELASTIC|PYTORCH|TRITON|FLASH_ATTENTION|FLASH_ATTN"
    r"|PYTHON|OMP|MKL|KMP|OPENBLAS|NUMEXPR|HF|TOKENIZERS|TRANSFORMERS|WANDB|UV|XDG|LD)_[A-Z0-9_]+"
    r"|TMPDIR|CC|CXX|HOME|PATH|USER"
)
# Variables that torchrun, schedulers and shells set.
OF_LAUNCHERS = re.compile(
    r"(?:(?:LOCAL|GROUP|ROLE|NODE)_)?RANK|(?:(?:LOCAL|GROUP|ROLE)_)?WORLD_SIZE|MASTER_(?:ADDR|PORT)|HOSTNAME"
    r"|(?:SLURM|MODAL|RUNPOD|SSH|CONDA|VIRTUAL)_[A-Z0-9_]+|[a-z]+_proxy"
    r"|LANG|LC_[A-Z]+|TERM|SHELL|PWD|OLDPWD|LOGNAME|TZ|SHLVL|_"
)


@dataclass(frozen=True, slots=True)
class Variable:
    """A place where a variable is read."""

    name: str
    default: str | None
    """As written in the script; None if the script fails without the variable."""
    file: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(slots=True)
class EnvironmentReads:
    """The environment variables that a set of files reads."""

    variables: list[Variable] = field(default_factory=list)
    """In the order of the files and lines."""
    patterns: dict[str, str] = field(default_factory=dict)
    """Regular expressions of names that the script composes at run time, with their places."""
    escapes: list[str] = field(default_factory=list)
    """Places that iterate over all variables, or pass the environment to code that cannot be followed."""

    @property
    def names(self) -> list[str]:
        """The names of the variables, each once."""
        return list(dict.fromkeys(variable.name for variable in self.variables))

    def first(self, name: str) -> Variable:
        """Return the first place where a variable is read."""
        return next(variable for variable in self.variables if variable.name == name)

    def may_read(self, name: str) -> bool:
        """Return whether the script, its launcher or a library may read a variable."""
        is_composed = any(re.fullmatch(pattern, name) for pattern in self.patterns)
        return name in self.names or is_composed or is_external(name)

    def unset(self, given: Iterable[str]) -> list[Variable]:
        """Return the variables that are not given, each once, without those that launchers or libraries use."""
        known = set(given)
        return [self.first(name) for name in self.names if name not in known and not is_external(name)]


def is_external(name: str) -> bool:
    """Return whether a variable is set by launchers or read by libraries."""
    return any(kind.fullmatch(name) for kind in (OF_LAUNCHERS, OF_LIBRARIES))
