"""ExperimentSpec: everything a run is made from."""

import json
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from trainer.recipe.recipe import Recipe

Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
GPU_PATTERN = r"^[A-Za-z0-9-]+[!+]?(:[1-9][0-9]?)?$"
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


def finite_json(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The options, none of which is a number that JSON does not have."""
    json.dumps(options, allow_nan=False)
    return options


class SpecPart(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Launch(SpecPart):
    """Where and on what a run happens. No part of its identity."""

    on: str = "local"
    """Name of a launcher; `pgolf launchers` lists them."""
    gpu: Annotated[str, Field(pattern=GPU_PATTERN)] | None = None
    """Kind and number, such as "H100:8"; null is the CPU."""
    processes: Annotated[int, Field(ge=1, le=1024)] = 1
    """Processes that share one run on CPUs; with GPUs there is one for each of them."""
    options: Annotated[dict[str, JsonValue], AfterValidator(finite_json)] = {}
    """What the launcher itself understands."""

    @property
    def devices(self) -> int:
        """Devices asked for; the CPU counts as one."""
        return 1 if self.gpu is None else int(self.gpu.partition(":")[2] or 1)

    @property
    def world_size(self) -> int:
        """Processes that share one run."""
        return max(self.processes, self.devices)


class Spend(SpecPart):
    """What it may cost."""

    usd: Annotated[float, Field(gt=0)] | None = None
    """Dollars for one command; null sets no cap."""


class WorseThan(SpecPart):
    """A run to compare with while training."""

    run: str
    """A run id, a part of one, or a run folder. A path is relative to the current folder."""
    by_bpb: Annotated[float, Field(gt=0)]
    """How far training may lie above it at the same tokens, averaged over ten logged steps."""


class Stop(SpecPart):
    """When a run is not worth going on with. No part of its identity."""

    slower_than: Annotated[float, Field(gt=1)] | None = None
    """Times the planned seconds a step, over steps 11 to 50; null lets it be slow. The plan must have been measured."""
    worse_than: WorseThan | None = None
    """Another run's curve; null compares with none."""


class Experiment(SpecPart):
    """What every experiment says, whatever it runs."""

    spec_version: Annotated[int, Field(ge=1, le=1)]
    """Version of this format."""
    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Short name; it begins the run's folder."""
    question: str | None = None
    """What this experiment is to find out."""
    ruleset: str = "parameter_golf"
    """The contest whose limits apply."""
    seeds: Annotated[list[Seed], Field(min_length=1)] = [1337, 42, 2024]
    """Seeds in the order in which they are used."""
    launch: Launch = Launch()
    """Where it runs."""
    spend: Spend = Spend()
    """What it may cost."""
    stop: Stop = Stop()
    """When it ends early."""


class ExperimentSpec(Experiment):
    """A typed experiment."""

    recipe: Recipe
    """What is trained and scored; the only part that reaches the artifact."""
