"""The rules of preflight. Each checks a few numbers and returns one finding."""

import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from pgolf.data.manifests import Manifest
from pgolf.findings import Finding, Severity
from pgolf.gpus import parse_gpus
from pgolf.launching import distribution_of
from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.duration import DurationEstimate, planned_tokens
from pgolf.preflight.memory import disk_bytes, memory_bytes
from pgolf.rulesets.limits import CONTEST_GPUS, CONTEST_KIND, bytes_over, is_over_cap, is_over_time, is_smoke_test
from pgolf.rulesets.ruleset import Ruleset
from pgolf.specs.parts import Launch
from trainer.recipe.averaging import AveragingRecipe, Candidates, Swa
from trainer.recipe.cgroups import Memory
from trainer.recipe.data import DataRecipe, Embedded
from trainer.recipe.evaluation import DocumentLora
from trainer.recipe.filling import largest_code_bytes
from trainer.recipe.inventory import inventory
from trainer.recipe.optimizer import MuonAdamW
from trainer.recipe.quantizer import Gptq, StraightThrough, TrainingText, is_quantized
from trainer.recipe.recipe import Recipe

MANY_EPOCHS = 10.0
LITTLE_QUANTIZED = 0.5
GPU_MEMORY_BYTES = {"A100": 80e9, "H100": 80e9, "H200": 141e9, "B200": 192e9, "L40S": 48e9, "A10G": 24e9, "T4": 16e9}
LATE_STEPS = 100_000
RESERVE_DISK_BYTES = 100_000_000
# The estimate of activations is rough, but it is not wrong by this factor.
HOPELESS_MEMORY = 4


def is_contest_hardware(launch: Launch) -> bool:
    """Return whether a spec asks for the hardware that the contest's time limits refer to."""
    gpus = launch.gpus
    return gpus is not None and (gpus.kind, gpus.number) == (CONTEST_KIND, CONTEST_GPUS) and gpus.suffix != "+"


def libraries(names: Sequence[str], launcher: str) -> Finding:
    """Check that the packages the code imports are installed here; a failure only if the run is local."""
    missing = [name for name in names if find_spec(name) is None]
    if not names:
        return Finding("pass", "libraries", "the code imports no packages besides the standard library")
    if not missing:
        return Finding("pass", "libraries", f"installed: {', '.join(names)}")
    message = f"packages that the code imports are not installed here: {', '.join(missing)}"
    fix = f"pip install {' '.join(map(distribution_of, missing))}"
    return Finding("fail" if launcher == "local" else "warn", "libraries", message, fix)


def artifact_size(model: ByteEstimate, code_bytes: int, limit_bytes: int | None) -> Finding:
    """Check that code and model fit the limit, if there is one."""
    low, estimate, high = (size + code_bytes for size in (model.low, model.estimate, model.high))
    limit = "no limit" if limit_bytes is None else f"limit {limit_bytes:,}"
    message = f"{estimate:,} bytes predicted ({low:,} to {high:,}), {limit}; {model.basis}"
    fix = "use fewer parameters, fewer bits, or a larger clip k"
    if bytes_over(low, limit_bytes):
        return Finding("fail", "artifact_size", f"{message}; even the lower bound is over the limit", fix)
    if bytes_over(high, limit_bytes):
        risk = (
            "the estimate is over the limit"
            if bytes_over(estimate, limit_bytes)
            else "the upper bound is over the limit"
        )
        return Finding("warn", "artifact_size", f"{message}; {risk}", fix)
    return Finding("pass", "artifact_size", message)


def data_present(manifest: Manifest | None, problem: str | None, data: DataRecipe | None = None) -> Finding:
    """Check that the tokens are on this machine and match their manifest; `data` is the slot of a recipe."""
    if manifest is None:
        transform = "" if data is None or data.transform is None else f" --transform {data.transform}"
        command = f"pgolf data prepare TEXT --out DIR{transform}"
        fix = f"make shards with `{command}`, or use the embedded corpus with --with tiny"
        return Finding("fail", "data", problem or "no data", fix)
    train, validation = manifest.train, manifest.validation
    message = (
        f"{manifest.name}: {train.tokens:,} training and {validation.tokens:,} validation tokens "
        f"({validation.bytes:,} bytes); all hashes match"
    )
    if isinstance(data, Embedded):  # the spec asks for it, so it is no mistake that it is not the contest's
        message += "; not the contest's text: compare bpb only between runs with the same data hash"
    return Finding("pass", "data", message)


def canonical_data(manifest: Manifest, ruleset: Ruleset) -> Finding:
    """Check that scores on this data are comparable with the contest's."""
    known = ruleset.data.get(manifest.name)
    if known is None:
        message = f"{manifest.name} is not the contest's data: compare bpb only between runs with the same data hash"
        return Finding("warn", "canonical_data", message)
    found = f"{manifest.name} has {manifest.validation.tokens:,} validation tokens"
    if not known.has_tokens(manifest.validation.tokens):
        least, most = known.validation_tokens
        message = f"{found}; the published export has {least:,} to {most:,}"
        return Finding("fail", "canonical_data", message, f"pgolf data fetch {manifest.name}")
    return Finding("pass", "canonical_data", f"{found}, like the published export")


def lossless_tokenizer(manifest: Manifest) -> Finding:
    """Check that bytes per token are counted on the original text."""
    if manifest.tokenizer.lossless:
        return Finding("pass", "lossless_tokenizer", "decoding the tokens reproduces every document exactly")
    if manifest.tokenizer.lossless is None:
        message = "whether the tokens decode to the original documents is not known, because the export was fetched"
        return Finding("pass", "lossless_tokenizer", message)
    message = "the tokenizer changes some documents; bpb is computed from the bytes of the decoded text"
    return Finding("warn", "lossless_tokenizer", message)


def epochs(recipe: Recipe, manifest: Manifest) -> tuple[float | None, Finding]:
    """Return the epochs over the training tokens, and a finding; None if the budget is in seconds."""
    tokens = planned_tokens(recipe)
    if tokens is None:
        return None, Finding("pass", "epochs", "epochs are not known before the run: the budget is in seconds")
    count = tokens / manifest.train.tokens
    message = f"training reads {tokens:,.0f} tokens, {count:.2f} epochs of {manifest.train.tokens:,} training tokens"
    if count > MANY_EPOCHS:
        return count, Finding("warn", "epochs", message, "use more training data or a smaller budget")
    return count, Finding("pass", "epochs", message)


def training_clock(recipe: Recipe, ruleset: Ruleset) -> Finding:
    """Check the budget against the contest's training time."""
    limit, budget = ruleset.limits.train_seconds, recipe.budget
    if limit is None:
        return Finding("pass", "training_clock", f"{ruleset.label} sets no limit of training time")
    if budget.clock == "seconds":
        message = f"the budget is {budget.train:g} s; the rules allow {limit:g} s of training"
        if is_over_time(budget.train, limit):
            return Finding("fail", "training_clock", message, f"--set recipe.budget.train={limit:g}")
        return Finding("pass", "training_clock", message)
    tokens = planned_tokens(recipe) or 0.0
    message = f"fits into {limit:g} s on {ruleset.machine} at {tokens / limit:,.0f} tokens/s or more"
    return Finding("pass", "training_clock", message)


def evaluation_clock(duration: DurationEstimate, ruleset: Ruleset, launch: Launch) -> Finding:
    """Check the evaluation time on the planned hardware; a failure only if that is the contest's hardware."""
    seconds, limit = duration.evaluate_seconds, ruleset.limits.evaluate_seconds
    if seconds is None:
        return Finding("pass", "evaluation_clock", "the evaluation time is not known without validation data")
    message = f"evaluation takes about {seconds:,.0f} s on the planned hardware; "
    if limit is None:
        return Finding("pass", "evaluation_clock", f"{message}{ruleset.label} sets no limit of evaluation time")
    message += f"the rules allow {limit:g} s on {ruleset.machine}"
    if is_over_time(seconds, limit):
        severity: Severity = "fail" if is_contest_hardware(launch) else "warn"
        return Finding(severity, "evaluation_clock", message, "use a longer stride, or a protocol without adaptation")
    return Finding("pass", "evaluation_clock", message)


def adaptation_order(evaluation: DocumentLora) -> Finding:
    """Check that a decoder could follow the order in which documents are adapted to."""
    if evaluation.order == "stream":
        return Finding("pass", "adaptation_order", "documents are adapted to in the order of the text")
    message = (
        "documents are adapted to in the order of their lengths, as in the records; no decoder could follow it, "
        "because it does not know the lengths before it has the documents"
    )
    return Finding("warn", "adaptation_order", message, "--set recipe.evaluation.order=stream")


def quantized_share(recipe: Recipe) -> Finding:
    """Check that most weights are quantized."""
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    matrices = [tensor for tensor in tensors if tensor.group != "control"]
    quantized = sum(tensor.size for tensor in matrices if is_quantized(recipe.quantizer, tensor))
    share = quantized / sum(tensor.size for tensor in matrices)
    message = f"{share:.0%} of the weights in matrices and embeddings are quantized"
    if share < LITTLE_QUANTIZED:
        largest = recipe.quantizer.float_up_to
        message += f"; tensors of up to {largest:,} weights stay in floating point"
        return Finding("warn", "quantized_share", message, "--set recipe.quantizer.float_up_to=0")
    return Finding("pass", "quantized_share", message)


def filled_bytes(recipe: Recipe, code_bytes: int) -> Finding:
    """Check that the weights can have as many bytes as `fill_bytes` asks for."""
    wanted = recipe.quantizer.fill_bytes
    most = largest_code_bytes(recipe.quantizer, inventory(recipe.model, recipe.vocabulary_size))
    if code_bytes < wanted < code_bytes + most:
        return Finding("pass", "filled_bytes", f"clips are scaled until the artifact fills {wanted:,} bytes")
    room = f"code and model have {code_bytes:,} to {code_bytes + most:,.0f} bytes, whatever the clips"
    fix = f"--set recipe.quantizer.fill_bytes=N with N between {code_bytes:,} and {code_bytes + most:,.0f}, or 0"
    return Finding("warn", "filled_bytes", f"fill_bytes is {wanted:,}, but {room}; they are kept", fix)


def calibration_clock(recipe: Recipe, ruleset: Ruleset) -> Finding:
    """Check that time is reserved for reading training text after the last step."""
    quantizer, averaging, budget = recipe.quantizer, recipe.averaging, recipe.budget
    texts = [quantizer.calibration] if isinstance(quantizer, Gptq) else []
    texts += [quantizer.steps.calibration] if quantizer.steps is not None else []
    if not any(isinstance(text, TrainingText) for text in texts) and not isinstance(averaging, Candidates):
        return Finding("pass", "calibration_clock", "no training text is read after the last step")
    limit = ruleset.limits.train_seconds
    if limit is None:
        return Finding("pass", "calibration_clock", f"{ruleset.label} sets no limit of training time")
    message = "training text is read after the last step, and the rules count that time as training"
    if budget.clock == "seconds" and not budget.reserve_seconds:
        fix = "--set recipe.budget.reserve_seconds=15"
        return Finding("warn", "calibration_clock", f"{message}, and no time is reserved for it", fix)
    if budget.clock != "seconds":
        message += f"; the budget is in {budget.clock}, so leave time for it within the {limit:g} s"
    return Finding("pass", "calibration_clock", message)


def late_stages(recipe: Recipe) -> Finding:
    """Check that the learning rate falls low enough for quantization-aware training and averaging to start."""
    steps, training = recipe.planned_steps, recipe.quantizer.training
    if steps is None:
        message = "whether the learning rate falls low enough is not known before the run: the budget is in seconds"
        return Finding("pass", "late_stages", message)
    # The rate is lowest at the end, so the last LATE_STEPS steps are enough.
    late = range(max(0, steps - LATE_STEPS), steps)
    rates = [(step, recipe.schedule.multiplier(step / steps)) for step in late]
    never = []
    if isinstance(training, StraightThrough) and not any(rate <= training.below_lr for _, rate in rates):
        never.append(
            f"quantization-aware training never starts: the learning-rate multiplier stays above {training.below_lr}"
        )
    every, below = late_average(recipe.averaging)
    if every and not any(rate < below and (step + 1) % every == 0 for step, rate in rates):
        never.append(
            f"SWA averages no weights: none of its steps (every {every}) has a learning-rate multiplier below {below}"
        )
    if never:
        fix = "use a longer schedule.fraction or a higher below_lr"
        return Finding("warn", "late_stages", "; ".join(never), fix)
    return Finding("pass", "late_stages", "the learning rate falls low enough for every late stage")


def late_average(averaging: AveragingRecipe) -> tuple[int, float]:
    """Return the step interval of SWA, 0 without SWA, and the multiplier below which it averages."""
    match averaging:
        case Swa():
            return averaging.every_steps, averaging.below_lr
        case Candidates():
            return averaging.swa_every_steps or 0, averaging.swa_below_lr
        case _:
            return 0, 0.0


def schedule_fits(recipe: Recipe) -> Finding:
    """Check that the run has steps, and more of them than its momentum warmup unless it only tests that all works."""
    steps = recipe.planned_steps
    warmup = recipe.optimizer.momentum.warmup_steps if isinstance(recipe.optimizer, MuonAdamW) else 0
    if steps is None:
        return Finding("pass", "schedule", "the number of steps is not known before the run: the budget is in seconds")
    if steps == 0:
        return Finding("warn", "schedule", "the budget allows 0 steps: the untrained weights will be scored")
    if is_smoke_test(steps):
        return Finding("pass", "schedule", f"the run has {steps:,} steps: a smoke test, not a result")
    if warmup > steps:
        message = f"momentum warms up over {warmup} steps, but the run has only {steps}"
        fix = f"--set recipe.optimizer.momentum.warmup_steps={steps // 4}"
        return Finding("warn", "schedule", message, fix)
    return Finding("pass", "schedule", f"the run has {steps:,} steps")


def processes(recipe: Recipe, launch: Launch) -> Finding:
    """Check that the processes of a run can share each step equally."""
    size, micro_steps = launch.world_size, recipe.schedule.micro_steps
    if launch.gpu is not None and launch.processes not in (1, launch.devices):
        fix = f"--set launch.processes={launch.devices}"
        message = f"launch.processes is {launch.processes}, but {launch.devices} GPUs need one process each"
        return Finding("fail", "processes", message, fix)
    if size > 1 and isinstance(recipe.optimizer, MuonAdamW) and recipe.optimizer.published_stale_gradients:
        message = f"published_stale_gradients works with one process only, but the launch has {size}"
        return Finding("fail", "processes", message, "--set recipe.optimizer.published_stale_gradients=false")
    if micro_steps % size == 0:
        return Finding(
            "pass", "processes", f"processes: {size}; forward passes per step in each: {micro_steps // size}"
        )
    message = f"{size} processes cannot share the {micro_steps} forward passes of a step equally"
    tokens, rest = divmod(recipe.schedule.batch_tokens, size)
    is_possible = not rest and tokens % recipe.schedule.window_tokens == 0
    fix = (
        f"--set recipe.schedule.micro_batch_tokens={tokens}"
        if is_possible
        else f"set recipe.schedule.batch_tokens to a multiple of {size * recipe.schedule.window_tokens:,}"
    )
    return Finding("fail", "processes", message, fix)


def gpu_memory(recipe: Recipe, gpu: str) -> Finding:
    """Check that training fits into the memory of each GPU."""
    needed, kind = memory_bytes(recipe, gpu), parse_gpus(gpu).kind
    message, size = f"training needs about {needed / 1e9:.1f} GB on each {kind}", GPU_MEMORY_BYTES.get(kind)
    if size is None:
        return Finding("pass", "memory", f"{message}; the memory of this GPU is not known here")
    message += f", which has {size / 1e9:.0f} GB"
    if needed > size:
        return Finding("warn", "memory", message, "set recipe.schedule.micro_batch_tokens to a smaller number")
    return Finding("pass", "memory", message)


def memory(recipe: Recipe, available: Memory | None, processes: int = 1) -> Finding:
    """Check that training fits into the memory that this machine has and that its containers allow."""
    needed = processes * memory_bytes(recipe, None)
    message = f"training needs about {needed / 1e9:.1f} GB" + (f" in {processes} processes" if processes > 1 else "")
    if available is None:
        return Finding("pass", "memory", message)
    message += f"; {available.free / 1e9:.1f} GB are free"
    if available.is_limited:
        message += f" of the {available.total / 1e9:.1f} GB that the container allows"
    if needed > available.free:
        fix = "set recipe.schedule.micro_batch_tokens to a smaller number"
        is_hopeless = needed > HOPELESS_MEMORY * available.free
        return Finding("fail" if is_hopeless else "warn", "memory", message, fix)
    return Finding("pass", "memory", message)


def disk(recipe: Recipe, manifest: Manifest, runs_dir: Path) -> Finding:
    """Check that a run directory fits on the disk."""
    existing = next(folder for folder in (runs_dir, *runs_dir.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    needed = disk_bytes(recipe, manifest.validation.tokens) + RESERVE_DISK_BYTES
    message = f"a run needs about {needed / 1e9:.2f} GB of disk; {free / 1e9:.1f} GB are free in {existing}"
    if needed > free:
        return Finding("fail", "disk", message, "free some space, or choose another disk with --runs-dir")
    return Finding("pass", "disk", message)


def spend(usd: float | None, cap: float | None, has_price: bool = True, is_own: bool = False) -> Finding:
    """Check the predicted cost against the spending cap, which cannot be enforced without a price."""
    fix = "set launch.options.usd_per_hour, or add the price to prices.yaml (`pgolf doctor` prints its path)"
    if not has_price:
        message = "no price is known for this launch" + (
            "" if cap is None else f"; the cap of ${cap:.2f} cannot be enforced"
        )
        return Finding("fail" if cap is not None else "pass" if is_own else "warn", "spend", message, fix)
    if usd is None:
        return Finding("warn", "spend", "the cost is not known, because the duration is not known")
    message = f"predicted cost ${usd:.2f}" + ("" if cap is None else f", cap ${cap:.2f}")
    if is_over_cap(usd, cap):
        return Finding("fail", "spend", message, "use fewer seeds, a smaller budget or a higher spend.usd")
    return Finding("pass", "spend", message)
