"""What experiments say besides what they run: where, for how much, and when to stop."""

import json
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from pgolf.gpus import GPU_PATTERN, GpuRequest, parse_gpus


def finite_json(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the options.

    Raises:
        ValueError: one of them is a number that JSON does not have, such as infinity.
    """
    json.dumps(options, allow_nan=False)
    return options


class SpecPart(BaseModel):
    """A frozen part of a spec that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class Launch(SpecPart):
    """Where and on what hardware a run happens. Not part of its identity."""

    on: str = "local"
    """Name of a launcher; `pgolf launchers` lists them."""
    gpu: Annotated[str, Field(pattern=GPU_PATTERN)] | None = None
    """GPU type and count, such as "H100:8"; null runs on the CPU."""
    processes: Annotated[int, Field(ge=1, le=1024)] = 1
    """Number of processes that share one run on CPUs. With GPUs there is one process a GPU."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Number of CPU threads of each process; null takes OMP_NUM_THREADS. Without either, the processes of a recipe
    divide the allowed cores, and those of a script have one each if there are several. A resumed run keeps its number.
    """
    options: Annotated[dict[str, JsonValue], AfterValidator(finite_json)] = {}
    """Options of the launcher itself; `pgolf launchers` lists them."""

    @property
    def gpus(self) -> GpuRequest | None:
        """The GPUs that are asked for; None for the CPU."""
        return None if self.gpu is None else parse_gpus(self.gpu)

    @property
    def devices(self) -> int:
        """Number of devices requested; the CPU counts as one."""
        return 1 if self.gpus is None else self.gpus.number

    @property
    def world_size(self) -> int:
        """Number of processes that share one run."""
        return max(self.processes, self.devices)


class Spend(SpecPart):
    """Spending limit."""

    usd: Annotated[float, Field(gt=0)] | None = None
    """Spending cap in dollars for all runs of one command; null sets no cap."""


class WorseThan(SpecPart):
    """A finished run to compare with while training."""

    run: str
    """A run id, a part of one, or a run folder. A path is relative to the current folder."""
    by_bpb: Annotated[float, Field(gt=0)]
    """Margin in bits per byte. The run stops when its training loss, averaged over ten logged steps, is this far above
    the other run's at the same number of tokens."""


class Stop(SpecPart):
    """When a run ends itself early. Not part of its identity."""

    slower_than: Annotated[float, Field(gt=1)] | None = None
    """Stop when steps 11 to 50 take this many times the planned seconds a step; null never stops. Needs a plan that was
    measured on earlier runs."""
    worse_than: WorseThan | None = None
    """Stop when training falls behind another run; null compares with none."""
