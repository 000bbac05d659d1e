"""The Modal launcher: each run is one detached call of a function in its own container, with its files on Volumes.

The call continues when this computer is switched off. Modal repeats it after a preemption, and it finds its checkpoint
by the run's id. The container ends by itself when the spending cap is used up.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import Field

from launchers import modal_storage as storage
from pgolf.errors import DataError, LauncherError, Unreachable
from pgolf.findings import Finding
from pgolf.gpus import parse_gpus
from pgolf.launching import Handle, Job, JobStatus
from pgolf.launching.doctor import doctor_arguments, doctor_findings
from pgolf.launching.endings import ended_status
from pgolf.launching.handles import create_handle, record_state, run_of, update_handle
from pgolf.launching.polling import PolledLauncher, RemoteOptions
from pgolf.launching.shipping import (
    apply_update,
    attempt_settings,
    fetching,
    fingerprint_of,
    mirrored_files,
    shards_of,
    text_update,
)
from pgolf.rundir import RunDirectory
from trainer.recipe.exit_codes import ALREADY_RUNNING, INTERRUPTED, TIMED_OUT

GPU_KINDS = (
    "T4", "L4", "A10", "L40S", "A100", "A100-40GB", "A100-80GB", "RTX-PRO-6000",
    "H100", "H100!", "H200", "B200", "B200+",
)  # fmt: skip
MAX_GPUS, MAX_A10 = 8, 4
MAX_SECONDS = 86_400
# Without a cap a run may take this many times its planned duration, and half an hour more.
PLAN_FACTOR, PLAN_MARGIN_SECONDS = 3, 1800
MAX_JOBS = 100
CORES_PER_GPU = 4
TOKEN_FIX = "Run `modal token new`, or set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, or MODAL_PROFILE"
DOCTOR_SECONDS = 600
# Sent to the worker, which can import neither pgolf nor trainer.
EXIT_CODES = {
    "already_running": ALREADY_RUNNING,
    "bad_data": DataError.exit_code,
    "interrupted": INTERRUPTED,
    "timed_out": TIMED_OUT,
}


class ModalLauncher(PolledLauncher):
    """Runs jobs in Modal's containers."""

    name: ClassVar[str] = "modal"
    summary: ClassVar[str] = "GPUs rented from Modal, billed by the second"
    is_remote: ClassVar[bool] = True

    class Options(RemoteOptions):
        """launch.options of this launcher."""

        data_volume: str = "pgolf-data"
        """Volume for shards; created if it does not exist."""
        runs_volume: str = "pgolf-runs"
        """Volume for run directories; created if it does not exist."""
        environment: str | None = None
        """Modal environment; null for that of the profile."""
        secrets: list[str] = Field(default_factory=list)
        """Names of Modal secrets to give to the container."""
        packages: list[str] = Field(default_factory=list)
        """More packages for the image, by name or wheel URL; nothing is compiled."""
        cores: Annotated[int, Field(ge=1, le=64)] | None = None
        """Physical cores; null for 4 per GPU, or one per process without GPUs."""
        memory_gib: Annotated[int, Field(ge=1, le=1024)] | None = None
        """Memory to reserve; null for Modal's default."""
        region: str | None = None
        """Region; null for any, which is cheapest."""
        retries: Annotated[int, Field(ge=0, le=10)] = 3
        """How many times a crashed container is replaced. Preemptions do not count."""
        commit_seconds: Annotated[float, Field(gt=0)] = 10.0
        """Seconds between commits of the container's files: a crash can lose that much, and the log lags by it."""

    def check(self, job: Job) -> list[Finding]:
        options = self.Options.model_validate(job.options)
        findings = [check_gpu(job.gpu), check_limit(job)]
        try:
            with translated_errors():
                check_secrets(options)
        except LauncherError as error:
            return [*findings, Finding("fail", "credentials", str(error))]
        return [*findings, Finding("pass", "credentials", "Modal accepts the token and has the secrets")]

    def doctor(self, gpu: str | None, options: dict[str, Any]) -> list[Finding]:
        import modal

        from launchers import modal_worker
        from launchers.modal_image import CODE_FOLDER, PINNED, image_of

        known = self.Options.model_validate(options)
        first = check_gpu(gpu)
        if first.severity == "fail":
            return [first]
        with translated_errors():
            check_secrets(known)
            app = modal.App("pgolf-doctor")
            function = app.function(
                image=image_of(tuple(PINNED), known.packages), gpu=gpu, timeout=DOCTOR_SECONDS, retries=0
            )(modal_worker.run_doctor)
            with app.run(environment_name=known.environment):
                stdout, stderr = function.remote(CODE_FOLDER, doctor_arguments(str(modal_worker.SCRATCH_FOLDER), gpu))
        return [first, check_prices(), *doctor_findings(stdout, stderr)]

    def capacity(self, job: Job) -> int:
        return MAX_JOBS

    def submit(self, job: Job) -> Handle:
        options, run = self.Options.model_validate(job.options), job.run
        place = {"volume": options.runs_volume, "path": run.remote_id}
        handle = create_handle(self.name, run, options=job.options, **place, state="queued", call_id=None)
        with translated_errors():
            runs, data = runs_volume(options), volume_of(options.data_volume, options)
            storage.send_run(runs, run, storage.send_data(data, run))
            storage.withdraw_stop(runs, run.remote_id)
            living = [call for call in storage.calls_of(runs, run.remote_id) if not has_ended(call)]
            update_handle(handle, **({"call_id": living[0]} if living else spawn(job, options, runs, data)))
        self.poll_again(handle)
        return handle

    def poll(self, handle: Handle) -> JobStatus:
        """Return the status of the call, with log, metrics and state.json here as of the last commit."""
        run, options = run_of(handle), self.Options.model_validate(handle["options"])
        try:
            with translated_errors():
                call = call_of(handle["call_id"])
                mirror_files(run, runs_volume(options))
        except Unreachable as error:
            return JobStatus("unreachable", message=str(error))
        status = call.status
        if other := call.returned.get("other_call"):
            # Two commands submitted this run at the same moment, and the other one's call is running.
            update_handle(handle, call_id=other)
            return JobStatus("running")
        if status.state == "ended":
            status = ended_status(run, status.exit_code, status.message)
        if status.state == "running" and not run.files.state.exists():
            status = JobStatus("queued")
        return record_state(run, status)

    def fetch(self, handle: Handle, run: RunDirectory) -> None:
        options = self.Options.model_validate(handle["options"])
        with fetching(run) as folder, translated_errors():
            hashes = call_of(handle["call_id"]).returned.get("files", {})
            storage.receive_run(runs_volume(options), run.remote_id, folder, options.ledger, hashes)

    def cancel(self, handle: Handle) -> None:
        """Ask the container to write a checkpoint and end. One that is queued, or was asked before, ends at once."""
        import modal

        options = self.Options.model_validate(handle["options"])
        with translated_errors():
            volume = runs_volume(options)
            has_begun = handle["call_id"] in storage.calls_of(volume, handle["path"])
            if not storage.request_stop(volume, handle["path"]) or not has_begun:
                modal.FunctionCall.from_id(handle["call_id"]).cancel(terminate_containers=True)
        self.poll_again(handle)


def check_gpu(gpu: str | None) -> Finding:
    """Return whether Modal has such GPUs, and whether it may give others in their place."""
    if gpu is None:
        return Finding("pass", "device", "a container without a GPU")
    gpus = parse_gpus(gpu)
    kind = gpus.kind + gpus.suffix
    if kind not in GPU_KINDS:
        return Finding("fail", "device", f"Modal has no GPU {kind!r}; it has {', '.join(GPU_KINDS)}", "set launch.gpu")
    most = MAX_A10 if kind == "A10" else MAX_GPUS
    if gpus.number > most:
        return Finding("fail", "device", f"{gpu}: a Modal container has at most {most} {kind}", "set launch.gpu")
    if kind == "H100":
        exact = f'--set launch.gpu="{gpu.replace("H100", "H100!")}"'
        return Finding("warn", "device", f"for {gpu} Modal may give H200s, which changes run times", exact)
    return Finding("pass", "device", f"{gpu} in one container")


def check_limit(job: Job) -> Finding:
    """Return the time limit of the container and where it comes from."""
    by_plan = f"{PLAN_FACTOR} times the plan; set spend.usd for another limit"
    basis = by_plan if job.limit_seconds is None else "what spend.usd pays for"
    return Finding("pass", "time_limit", f"Modal ends a run after {limit_of(job):,} s: {basis}")


def limit_of(job: Job) -> int:
    """Return the time limit of a container in seconds."""
    if job.limit_seconds is not None:
        return max(1, min(MAX_SECONDS, int(job.limit_seconds)))
    if job.planned_seconds is None:
        return MAX_SECONDS
    return min(MAX_SECONDS, int(PLAN_FACTOR * job.planned_seconds + PLAN_MARGIN_SECONDS))


def check_secrets(options: ModalLauncher.Options) -> None:
    """Check that Modal accepts the token and has every secret.

    Raises:
        LauncherError: a secret is missing; names it.
        modal.exception.Error: the token is refused.
    """
    import modal
    from modal.exception import NotFoundError

    modal.App.lookup("pgolf", create_if_missing=True, environment_name=options.environment)
    for name in options.secrets:
        try:
            modal.Secret.from_name(name, environment_name=options.environment).hydrate()
        except NotFoundError:
            raise LauncherError(
                f"Modal has no secret {name!r}; create it with `modal secret create {name} KEY=VALUE`, or remove it "
                "from launch.options.secrets"
            ) from None


def check_prices() -> Finding:
    """Return Modal's current prices as Modal states them, to compare with the table that preflight uses."""
    import modal
    from modal.exception import Error

    try:
        rates = " ".join(str(modal.Workspace.from_context().billing.rates()).split())
    except Error as error:
        message = f"Modal did not return its current prices ({error}); preflight uses pgolf's dated table"
        return Finding("warn", "prices", message, "compare with modal.com/pricing")
    return Finding("pass", "prices", f"Modal's current prices: {rates}")


def volume_of(name: str, options: ModalLauncher.Options) -> Any:
    """Return a Volume by name, created if it does not exist."""
    import modal

    return modal.Volume.from_name(name, create_if_missing=True, environment_name=options.environment)


def runs_volume(options: ModalLauncher.Options) -> Any:
    return volume_of(options.runs_volume, options)


def spawn(job: Job, options: ModalLauncher.Options, runs: Any, data: Any) -> dict[str, Any]:
    """Start a call and return what goes into the handle: its id, its app's id, its dashboard.

    Each call has its own app: once the client has gone, Modal keeps only the last call of a detached app.
    """
    import modal

    from launchers import modal_worker
    from launchers.modal_image import CODE_FOLDER, image_of

    cores = options.cores or (job.processes if job.gpu is None else CORES_PER_GPU * job.processes)
    limit = limit_of(job)
    app = modal.App(f"pgolf-{job.run.remote_id.replace('/', '-')}"[-64:])
    function = app.function(
        image=image_of(job.libraries, options.packages),
        gpu=job.gpu,
        cpu=float(cores),
        memory=None if options.memory_gib is None else 1024 * options.memory_gib,
        region=options.region,
        secrets=[modal.Secret.from_name(name, environment_name=options.environment) for name in options.secrets],
        volumes={str(modal_worker.RUNS_MOUNT): runs, str(modal_worker.DATA_MOUNT): data},
        timeout=limit,
        retries=modal.Retries(max_retries=options.retries, initial_delay=1.0, backoff_coefficient=2.0),
        single_use_containers=True,
    )(modal_worker.run_job)
    request = {
        "run_id": job.run.remote_id,
        "runs_volume": options.runs_volume,
        "code": CODE_FOLDER,
        "processes": job.processes,
        "cores": cores if job.gpu is None else None,
        "limit_seconds": limit,
        "commit_seconds": options.commit_seconds,
        "data_volume": options.data_volume,
        "data_sha256": job.run.read_run()["data_sha256"],
        "shards": shards_of(job.run),
        "settings": attempt_settings(job.run),
        "exit_codes": EXIT_CODES,
    }
    with app.run(detach=True, environment_name=options.environment):
        call = function.spawn(request)
        return {"call_id": call.object_id, "app_id": app.app_id, "dashboard": app.get_dashboard_url()}


@dataclass(frozen=True, slots=True)
class Call:
    """A Modal call as Modal describes it."""

    status: JobStatus
    returned: dict[str, Any] = field(default_factory=dict)
    """What the worker returned: `exit_code`, `message`, the SHA-256 of each of its `files`, and the id of an
    `other_call` that works on the run in its place. Empty unless it returned.
    """


def has_ended(call_id: str) -> bool:
    """Return whether a call is certainly over."""
    return call_of(call_id).status.state == "ended"


def call_of(call_id: str | None) -> Call:
    """Return where a call stands. Only what Modal says about the call can end it, because the worker raises nothing."""
    import modal
    from modal import exception as errors

    if call_id is None:
        return Call(JobStatus("ended", None, "it was never submitted; the same command submits it"))
    try:
        returned = modal.FunctionCall.from_id(call_id).get(timeout=0)
    except TimeoutError:
        return Call(JobStatus("running"))
    except errors.FunctionTimeoutError:
        return Call(JobStatus("ended", TIMED_OUT, "Modal stopped it at its time limit; the same command resumes"))
    except errors.RemoteError as error:
        return Call(JobStatus("ended", INTERRUPTED, f"Modal cancelled it: {error}"))
    except errors.InternalFailure as error:
        return Call(JobStatus("ended", 1, f"its container crashed repeatedly: {error}"))
    except (errors.NotFoundError, errors.OutputExpiredError) as error:
        return Call(JobStatus("ended", None, f"Modal no longer knows call {call_id}: {error}"))
    except errors.AuthError:
        raise
    except Exception as error:  # a network error or a busy server: nothing is known of the call
        return Call(JobStatus("unreachable", message=f"Modal did not return the status of {call_id}: {error!r}"))
    return Call(JobStatus("ended", returned["exit_code"], returned["message"]), returned)


def mirror_files(run: RunDirectory, volume: Any) -> None:
    """Bring log, metrics and state.json here up to the last commit."""
    for path in mirrored_files(run):
        content = storage.read_committed(volume, run.remote_id, path.name)
        if content is not None:
            apply_update(path, text_update(content, *fingerprint_of(path)))


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn errors of the modal package into Unreachable and LauncherError, with what to do."""
    from modal import exception as errors

    try:
        yield
    except errors.AuthError as error:
        raise LauncherError(f"Modal authentication failed: {error}. {TOKEN_FIX}") from None
    except errors.ConnectionError as error:
        raise Unreachable(f"Modal does not answer: {error}") from None
    except errors.Error as error:
        raise LauncherError(f"Modal reported an error: {error}") from None
