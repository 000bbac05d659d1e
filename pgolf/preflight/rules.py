"""The rules of preflight: each looks at numbers and gives one finding."""

import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from pgolf.data.manifests import Manifest
from pgolf.findings import Finding, Severity
from pgolf.launching import distribution_of
from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.duration import DurationEstimate, planned_tokens
from pgolf.preflight.memory import disk_bytes, memory_bytes
from pgolf.rulesets.ruleset import Ruleset
from pgolf.specs.parts import Launch
from trainer.recipe.averaging import AveragingRecipe, Candidates, Swa
from trainer.recipe.inventory import inventory
from trainer.recipe.optimizer import MuonAdamW
from trainer.recipe.quantizer import Gptq, StraightThrough, TrainingText, is_quantized
from trainer.recipe.recipe import Recipe

MANY_EPOCHS = 10.0
CONTEST_GPU = "H100:8"
LITTLE_QUANTIZED = 0.5
GPU_MEMORY_BYTES = {"A100": 80e9, "H100": 80e9, "H200": 141e9, "B200": 192e9, "L40S": 48e9, "A10G": 24e9, "T4": 16e9}
LATE_STEPS = 100_000
RESERVE_DISK_BYTES = 100_000_000
# The estimate of activations is rough; beyond this factor no error in it helps.
HOPELESS_MEMORY = 4


def is_contest_hardware(launch: Launch) -> bool:
    """Whether the rules' seconds are meant for what a spec asks for."""
    return (launch.gpu or "").replace("!", "") == CONTEST_GPU


def libraries(names: Sequence[str], launcher: str) -> Finding:
    """Whether what the trainer imports is installed; elsewhere the launcher says so."""
    missing = [name for name in names if find_spec(name) is None]
    if not missing:
        return Finding("pass", "libraries", f"{', '.join(names)} are installed")
    message = f"this needs {', '.join(missing)}, not installed here"
    fix = f"pip install {' '.join(map(distribution_of, missing))}"
    return Finding("fail" if launcher == "local" else "warn", "libraries", message, fix)


def artifact_size(model: ByteEstimate, code_bytes: int, limit_bytes: int) -> Finding:
    """Whether code and model fit."""
    low, estimate, high = (size + code_bytes for size in (model.low, model.estimate, model.high))
    message = f"{estimate:,} bytes expected ({low:,} to {high:,}) of {limit_bytes:,}; {model.basis}"
    fix = "fewer parameters, fewer bits, or a larger clip k"
    if low > limit_bytes:
        return Finding("fail", "artifact_size", message, fix)
    if high > limit_bytes:
        likely = "more likely over than not" if estimate > limit_bytes else "the interval reaches over the limit"
        return Finding("warn", "artifact_size", f"{message}; {likely}", fix)
    return Finding("pass", "artifact_size", message)


def data_present(manifest: Manifest | None, problem: str | None) -> Finding:
    """Whether the tokens are here and are the ones of their manifest."""
    if manifest is None:
        fix = "pgolf data prepare TEXT --out DIR makes shards; --with tiny uses the embedded corpus"
        return Finding("fail", "data", problem or "no data", fix)
    train, validation = manifest.train, manifest.validation
    message = (
        f"{manifest.name}: {train.tokens:,} training and {validation.tokens:,} validation tokens "
        f"({validation.bytes:,} bytes), hashes right"
    )
    return Finding("pass", "data", message)


def canonical_data(manifest: Manifest, ruleset: Ruleset) -> Finding:
    """Whether a score on this data may stand beside the contest's."""
    known = ruleset.data.get(manifest.name)
    if known is None:
        message = f"{manifest.name} is not the contest's data; bpb compares only between runs with the same data hash"
        return Finding("warn", "canonical_data", message)
    found = f"{manifest.validation.tokens:,} validation tokens"
    if not known.has_tokens(manifest.validation.tokens):
        least, most = known.validation_tokens
        message = f"{found}, the canonical export has {least:,} to {most:,}"
        return Finding("fail", "canonical_data", message, f"pgolf data fetch {manifest.name}")
    return Finding("pass", "canonical_data", f"{found}, as published")


def lossless_tokenizer(manifest: Manifest) -> Finding:
    """Whether the bytes that are scored are the bytes of the text."""
    if manifest.tokenizer.lossless:
        return Finding("pass", "lossless_tokenizer", "every document comes back unchanged from its tokens")
    if manifest.tokenizer.lossless is None:
        return Finding("pass", "lossless_tokenizer", "a fetched export; its documents are not known here")
    message = "the tokenizer changes some documents; bytes are those of the decoded text"
    return Finding("warn", "lossless_tokenizer", message)


def epochs(recipe: Recipe, manifest: Manifest) -> tuple[float | None, Finding]:
    """How often the budget goes through the training tokens."""
    tokens = planned_tokens(recipe)
    if tokens is None:
        return None, Finding("pass", "epochs", "not known before the run: the budget is in seconds")
    count = tokens / manifest.train.tokens
    message = f"{tokens:,.0f} tokens are {count:.2f} epochs of {manifest.train.tokens:,}"
    if count > MANY_EPOCHS:
        return count, Finding("warn", "epochs", message, "more training data, or a smaller budget")
    return count, Finding("pass", "epochs", message)


def training_clock(recipe: Recipe, ruleset: Ruleset) -> Finding:
    """What the budget means on the contest's hardware."""
    limit, hardware = ruleset.train_seconds, ruleset.hardware
    budget = recipe.budget
    if budget.clock == "seconds":
        if budget.train > limit:
            fix = f"--set recipe.budget.train={limit:.0f}"
            return Finding(
                "fail", "training_clock", f"{budget.train:.0f} s is over the {limit:.0f} s of the rules", fix
            )
        return Finding("pass", "training_clock", f"{budget.train:.0f} s of {limit:.0f} s")
    tokens = planned_tokens(recipe) or 0.0
    message = f"fits {limit:.0f} s on {hardware} from {tokens / limit:,.0f} tokens/s upward"
    return Finding("pass", "training_clock", message)


def evaluation_clock(duration: DurationEstimate, ruleset: Ruleset, launch: Launch) -> Finding:
    """Whether scoring ends in time on the hardware it is planned for."""
    seconds, limit = duration.evaluate_seconds, ruleset.evaluate_seconds
    if seconds is None:
        return Finding("pass", "evaluation_clock", "not known without validation data")
    message = f"about {seconds:,.0f} s here; the rules give {limit:.0f} s on {ruleset.hardware}"
    if seconds > limit:
        severity: Severity = "fail" if is_contest_hardware(launch) else "warn"
        return Finding(severity, "evaluation_clock", message, "a longer stride, or the chunked protocol")
    return Finding("pass", "evaluation_clock", message)


def quantized_share(recipe: Recipe) -> Finding:
    """Whether the quantizer has something to do."""
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    matrices = [tensor for tensor in tensors if tensor.group != "control"]
    quantized = sum(tensor.size for tensor in matrices if is_quantized(recipe.quantizer, tensor))
    share = quantized / sum(tensor.size for tensor in matrices)
    message = f"{share:.0%} of the weights of matrices and tables are quantized"
    if share < LITTLE_QUANTIZED:
        largest = recipe.quantizer.float_up_to
        message += f"; those of up to {largest:,} weights stay float"
        return Finding("warn", "quantized_share", message, "--set recipe.quantizer.float_up_to=0")
    return Finding("pass", "quantized_share", message)


def calibration_clock(recipe: Recipe, ruleset: Ruleset) -> Finding:
    """Whether reading training text after the last step has time of its own."""
    quantizer, averaging, budget = recipe.quantizer, recipe.averaging, recipe.budget
    reads = isinstance(quantizer, Gptq) and isinstance(quantizer.calibration, TrainingText)
    reads |= isinstance(averaging, Candidates)
    if not reads:
        return Finding("pass", "calibration_clock", "no training text is read after the last step")
    message = "training text is read after the last step, which the rules count as training"
    if budget.clock == "seconds" and not budget.reserve_seconds:
        fix = "--set recipe.budget.reserve_seconds=15"
        return Finding("warn", "calibration_clock", f"{message}, and no time is reserved for it", fix)
    if budget.clock != "seconds":
        message += f"; leave room for it within {ruleset.train_seconds:.0f} s, as the budget is in {budget.clock}"
    return Finding("pass", "calibration_clock", message)


def late_stages(recipe: Recipe) -> Finding:
    """Whether the learning rate comes down to where rounding and averaging begin."""
    steps, training = recipe.planned_steps, recipe.quantizer.training
    if steps is None:
        return Finding("pass", "late_stages", "not known before the run: the budget is in seconds")
    # The rate is lowest at the end; a budget of more steps than that need not be walked through.
    late = range(max(0, steps - LATE_STEPS), steps)
    rates = [(step, recipe.schedule.multiplier(step / steps)) for step in late]
    never = []
    if isinstance(training, StraightThrough) and not any(rate <= training.below_lr for _, rate in rates):
        never.append(f"weights are never rounded: the rate stays above {training.below_lr} of its peak")
    every, below = late_average(recipe.averaging)
    if every and not any(rate < below and (step + 1) % every == 0 for step, rate in rates):
        never.append(f"no step enters the mean of late weights: every {every}, below {below} of the peak rate")
    if never:
        fix = "a longer schedule.fraction, or a higher below_lr"
        return Finding("warn", "late_stages", "; ".join(never), fix)
    return Finding("pass", "late_stages", "everything that waits for a low learning rate will happen")


def late_average(averaging: AveragingRecipe) -> tuple[int, float]:
    """Every how many steps, and below which rate, weights enter a mean; 0 where there is none."""
    match averaging:
        case Swa():
            return averaging.every_steps, averaging.below_lr
        case Candidates():
            return averaging.swa_every_steps or 0, averaging.swa_below_lr
        case _:
            return 0, 0.0


def schedule_fits(recipe: Recipe) -> Finding:
    """Whether the run has enough steps for its warm-ups to mean anything."""
    steps = recipe.planned_steps
    warmup = recipe.optimizer.momentum.warmup_steps if isinstance(recipe.optimizer, MuonAdamW) else 0
    if steps is None:
        return Finding("pass", "schedule", "steps are not known before the run: the budget is in seconds")
    if steps == 0:
        return Finding("warn", "schedule", "the budget pays for no step; random weights will be scored")
    if warmup > steps:
        message = f"momentum warms up over {warmup} steps, the run has {steps}"
        fix = f"--set recipe.optimizer.momentum.warmup_steps={steps // 4}"
        return Finding("warn", "schedule", message, fix)
    return Finding("pass", "schedule", f"{steps:,} steps")


def processes(recipe: Recipe, launch: Launch) -> Finding:
    """Whether the processes of a run can share each of its steps equally."""
    size, micro_steps = launch.world_size, recipe.schedule.micro_steps
    if launch.gpu is not None and launch.processes not in (1, launch.devices):
        fix = f"--set launch.processes={launch.devices}"
        message = f"{launch.processes} processes for {launch.devices} GPUs; there is one for each"
        return Finding("fail", "processes", message, fix)
    if size > 1 and isinstance(recipe.optimizer, MuonAdamW) and recipe.optimizer.published_stale_gradients:
        message = f"published_stale_gradients adds up the gradients of one process, and there are {size}"
        return Finding("fail", "processes", message, "--set recipe.optimizer.published_stale_gradients=false")
    if micro_steps % size == 0:
        return Finding("pass", "processes", f"{size}, with {micro_steps // size} forward passes a step each")
    message = f"{size} processes cannot share the {micro_steps} forward passes of a step equally"
    tokens, rest = divmod(recipe.schedule.batch_tokens, size)
    is_possible = not rest and tokens % recipe.schedule.sequence_tokens == 0
    fix = f"--set recipe.schedule.micro_batch_tokens={tokens}" if is_possible else f"a batch of {size} equal parts"
    return Finding("fail", "processes", message, fix)


def gpu_memory(recipe: Recipe, gpu: str) -> Finding:
    """Whether training fits into the memory of a GPU, one process each."""
    needed, kind = memory_bytes(recipe, gpu), gpu.partition(":")[0].rstrip("!")
    message, size = f"about {needed / 1e9:.1f} GB to train on each {kind}", GPU_MEMORY_BYTES.get(kind)
    if size is None:
        return Finding("pass", "memory", f"{message}; how much it has is not known here")
    message += f", which has {size / 1e9:.0f} GB"
    if needed > size:
        return Finding("warn", "memory", message, "--set recipe.schedule.micro_batch_tokens=... to something smaller")
    return Finding("pass", "memory", message)


def memory(recipe: Recipe, available_bytes: int | None, processes: int = 1) -> Finding:
    """Whether training fits into this machine's memory."""
    needed = processes * memory_bytes(recipe, None)
    message = f"about {needed / 1e9:.1f} GB to train" + (f" in {processes} processes" if processes > 1 else "")
    if available_bytes is None:
        return Finding("pass", "memory", message)
    message += f", {available_bytes / 1e9:.1f} GB free"
    if needed > available_bytes:
        fix = "--set recipe.schedule.micro_batch_tokens=... to something smaller"
        is_hopeless = needed > HOPELESS_MEMORY * available_bytes
        return Finding("fail" if is_hopeless else "warn", "memory", message, fix)
    return Finding("pass", "memory", message)


def disk(recipe: Recipe, manifest: Manifest, runs_dir: Path) -> Finding:
    """Whether checkpoints and ledger fit on the disk."""
    existing = next(folder for folder in (runs_dir, *runs_dir.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    needed = disk_bytes(recipe, manifest.validation.tokens) + RESERVE_DISK_BYTES
    message = f"about {needed / 1e9:.2f} GB for a run, {free / 1e9:.1f} GB free in {existing}"
    if needed > free:
        return Finding("fail", "disk", message, "free some space, or --runs-dir on another disk")
    return Finding("pass", "disk", message)


def spend(usd: float | None, cap: float | None, has_price: bool = True, is_own: bool = False) -> Finding:
    """Whether the plan stays under the spending cap, which needs a price to be kept."""
    fix = "launch.options.usd_per_hour, or prices.yaml (`pgolf doctor` says where)"
    if not has_price:
        message = "no price is known for this launch" + ("" if cap is None else f"; a cap of ${cap:.2f} cannot be kept")
        return Finding("fail" if cap is not None else "pass" if is_own else "warn", "spend", message, fix)
    if usd is None:
        return Finding("warn", "spend", "how long it takes is not known, and so not what it costs")
    message = f"${usd:.2f}" + ("" if cap is None else f" of ${cap:.2f}")
    if cap is not None and usd > cap:
        return Finding("fail", "spend", message, "fewer seeds, a smaller budget, or a higher spend.usd")
    return Finding("pass", "spend", message)
