"""Schemas of the files in a run directory: what a document must hold before a command uses it.

The trainer writes more keys than are named here; these are the ones that commands read. A key that older versions did
not write is `NotRequired`.
"""

from typing import Annotated, Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic refuses the one of typing before Python 3.12

from pgolf.documents import Text
from trainer.recipe.strict import Amount, Count, NonNegative, Strict, Whole

Number = Annotated[float, Strict(ge=-1e15, le=1e15)]
Score = Annotated[float, Strict(gt=0, le=1e6)]
"""Nats per token or bits per byte."""
ProcessId = Annotated[int, Strict(ge=1, le=2**31)]
"""0 and below name groups of processes, to which a signal must not go."""
ExitCode = Annotated[int, Strict(ge=-255, le=255)]
Folder = Annotated[str, Text(r"^[^\x00]+$")]
Gpu = Annotated[str, Text(r"^[A-Za-z0-9-]+[!+]?(:[1-9][0-9]?)?$")]


class Parent(TypedDict):
    """The run whose weights a run starts from."""

    spec_sha256: str


class Environment(TypedDict):
    device: str
    torch: NotRequired[str | None]
    processes: NotRequired[Count]
    threads: NotRequired[Count | None]
    processor: NotRequired[str | None]
    gpu: NotRequired[str | None]


class Identity(TypedDict):
    """What run.json and result.json both say."""

    name: str
    seed: Whole
    spec_sha256: str
    code_sha256: str | None
    data_sha256: str | None
    parent: NotRequired[Parent | None]


class RunDocument(Identity):
    """run.json."""

    run_id: str
    launcher: str
    device: str
    data_folder: Folder | None
    environment: Environment | None
    resumed_under: NotRequired[list[dict[str, Any]]]
    gpu: NotRequired[Gpu | None]
    torch: NotRequired[str | None]
    threads: NotRequired[Count | None]
    usd_per_hour: NotRequired[NonNegative | None]
    token: NotRequired[str]
    created: NotRequired[str]
    script: NotRequired[str]
    train_seconds_allowed: NotRequired[NonNegative | None]
    train_tokens: NotRequired[Amount | None]
    data: NotRequired[str | None]
    rules: NotRequired[dict[str, Any]]


class Headline(TypedDict):
    stage: str
    protocol: str
    val_bpb: Score
    val_loss: Score
    label: NotRequired[str]
    line: NotRequired[Whole]


class Metric(TypedDict):
    stage: str
    protocol: str
    val_bpb: Score
    val_loss: Score
    window: NotRequired[Count]
    quantizer: NotRequired[str]


class CountedMetric(Metric):
    """A metric of the bundled trainer."""

    tokens: Amount
    bytes: Amount
    seconds: NonNegative


class Repacked(TypedDict):
    clip_times: Number
    bytes_before: Amount


class Sizes(TypedDict):
    code_bytes: Amount
    limit_bytes: Amount | None
    repacked: NotRequired[Repacked]


class Artifact(Sizes):
    """The artifact of any run; of a script its model may not be known."""

    model_bytes: Amount | None
    total_bytes: Amount | None
    basis: NotRequired[str | None]
    files: NotRequired[dict[str, Amount]]
    logged_total_bytes: NotRequired[Amount | None]


class PackedArtifact(Sizes):
    """The artifact of the bundled trainer."""

    model_bytes: Amount
    total_bytes: Amount


class Clock(TypedDict):
    train_seconds: NonNegative
    calibrate_seconds: NotRequired[NonNegative]
    decode_seconds: NotRequired[NonNegative]
    evaluate_seconds: NonNegative


class Hardware(TypedDict):
    devices: list[str]
    cores: NotRequired[Count | None]


class StepSeconds(TypedDict):
    planned: NonNegative | None
    first: NonNegative | None


class NotFiniteSteps(TypedDict):
    """Logged steps of a script whose loss is not a number."""

    first: Whole
    last: Whole
    count: Count
    is_at_end: bool


class ResultFacts(Identity):
    run_id: str
    ruleset: str
    headline: Headline
    environment: Environment
    deterministic: bool
    hardware: NotRequired[Hardware]
    step_seconds: NotRequired[StepSeconds | None]
    resumed_from_step: NotRequired[Whole | None]
    source: NotRequired[str]
    logged_seed: NotRequired[int | None]
    ended: NotRequired[str | None]
    not_finite: NotRequired[NotFiniteSteps | None]
    resumed_under: NotRequired[list[dict[str, Any]]]
    settings: NotRequired[dict[str, Any]]


class Result(ResultFacts):
    """result.json of any run. What the log of a script does not say is null."""

    metrics: list[Metric]
    artifact: Artifact
    clock: dict[str, NonNegative | None]
    parameters: Amount | None
    steps: Whole | None


class RecipeResult(ResultFacts):
    """result.json of a run of the bundled trainer."""

    metrics: list[CountedMetric]
    artifact: PackedArtifact
    clock: Clock
    parameters: Amount
    steps: Whole


class LoggedClock(TypedDict):
    train_seconds: NonNegative | None
    evaluate_seconds: NonNegative | None
    run_seconds: NonNegative


class LoggedArtifact(TypedDict):
    basis: str | None
    files: dict[str, Amount]
    logged_total_bytes: Amount | None


class LoggedHeadline(TypedDict):
    label: str
    line: Whole


class ScriptResult(TypedDict):
    """What result.json of a script's run holds besides."""

    headline: LoggedHeadline
    artifact: LoggedArtifact
    clock: LoggedClock
    hardware: Hardware


class State(TypedDict, total=False):
    """state.json, and rank-N.json of a worker that failed."""

    phase: str | None
    stage: str | None
    step: Whole | None
    scored: Amount | None
    total: Amount | None
    progress: Number | None
    train_loss: Number | None
    train_bpb: Number | None
    step_seconds: NonNegative | None
    stage_seconds: NonNegative
    elapsed_seconds: NonNegative | None
    pid: ProcessId
    exit_code: ExitCode | None
    error: str | None
    reason: Literal["stop_rule"] | None


class LocalProcess(TypedDict):
    """A process of the machine and container that `pid_namespace` names."""

    pid: ProcessId
    started: str | None
    pid_namespace: str


class HandleDocument(TypedDict):
    """handle.json, as far as all launchers agree about it."""

    launcher: str
    run_dir: NotRequired[Folder]
    state: NotRequired[Literal["queued", "running", "ended", "given_up"] | None]
    pid: NotRequired[ProcessId | None]
    started: NotRequired[str | None]
    options: NotRequired[dict[str, Any]]
    was_asked_to_stop: NotRequired[bool]
    stopped_by: NotRequired[Literal["cancel", "interrupt"]]
    pid_namespace: NotRequired[str | None]
    owner: NotRequired[LocalProcess]


class LoggedStep(TypedDict):
    step: Whole
    elapsed_seconds: NonNegative


class MetricsRow(LoggedStep):
    """A line of metrics.jsonl."""

    tokens: NotRequired[Amount]
    train_loss: NotRequired[Number]
    train_bpb: NotRequired[Number]
    val_loss: NotRequired[Number]
    val_bpb: NotRequired[Number]


class TrainingRow(LoggedStep):
    """A line of metrics.jsonl that the bundled trainer wrote: it logs training steps only."""

    train_loss: Number


class Attempt(TypedDict):
    """A line of attempts.jsonl."""

    seconds: NonNegative


class ByteCounts(TypedDict):
    """artifact/bytes.json."""

    groups: NotRequired[dict[str, Amount]]


class Check(TypedDict):
    rule: str
    status: Literal["pass", "warn", "fail", "unknown"]
    message: str
    fix: NotRequired[str | None]


class PreflightDocument(TypedDict):
    """preflight.json."""

    checks: NotRequired[list[Check]]


class BudgetPart(TypedDict):
    clock: str
    train: NonNegative


class ChunkPart(TypedDict):
    until: Count | None
    tokens: Count


class EvaluationPart(TypedDict, total=False):
    kind: str
    window: Count
    stride: Count
    chunk_tokens: Count | list[ChunkPart]
    order: str


class RecipePart(TypedDict, total=False):
    budget: BudgetPart
    evaluation: EvaluationPart


class SpecDocument(TypedDict, total=False):
    """spec.json, as far as reports read it; `pgolf.specs.loading` reads all of it."""

    question: str | None
    ruleset: str
    recipe: RecipePart | None
    program: dict[str, Any] | None
