"""The preflight of a recipe."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pgolf.bundle.build import bundle_of
from pgolf.bundle.own_code import local_files
from pgolf.data.locate import LocatedData, locate_data, resolve_vocabulary
from pgolf.data.overlap import judge_overlap
from pgolf.data.prepare import ignore_progress
from pgolf.errors import DataError
from pgolf.findings import Finding
from pgolf.preflight import rules
from pgolf.preflight.correction import correct_estimate
from pgolf.preflight.duration import DurationEstimate, estimate_duration, planned_tokens
from pgolf.preflight.memory import disk_bytes, memory_bytes
from pgolf.preflight.preflight import Preflight
from pgolf.preflight.size import estimate_model_bytes, filled_model_bytes
from pgolf.preflight.stopping import stop_rule
from pgolf.rulesets.judging import judge_size
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.specs.experiment import Experiment
from pgolf.specs.identity import spec_sha256
from trainer.recipe.cgroups import read_memory
from trainer.recipe.cores import allowed_cores, thread_count
from trainer.recipe.data import Embedded, Shards
from trainer.recipe.evaluation import DocumentLora
from trainer.recipe.inventory import inventory, parameter_groups
from trainer.recipe.recipe import Recipe

CODE_BASIS = "train_gpt.py beside model.bin: the trainer with this recipe, in one file"


def examine_recipe(
    spec: Experiment,
    *,
    runs_dir: Path,
    runs: int = 1,
    step_seconds: float | None = None,
    on_progress: Callable[[str], None] = ignore_progress,
) -> Preflight:
    """Return the preflight of an experiment that trains a recipe; see `examine`."""
    ruleset = load_ruleset(spec.ruleset)
    located, problem = find_data(spec, on_progress)
    recipe = resolve_vocabulary(spec.recipe, located, ruleset)
    if recipe is not None:
        spec = spec.with_recipe(recipe)
    bundle = bundle_of(spec, ruleset)
    known = Preflight(
        spec=spec,
        ruleset=ruleset,
        located=located,
        findings=[
            rules.data_present(located.manifest if located else None, problem, spec.recipe.data),
            rules.libraries(bundle.code.libraries, spec.launch.on),
        ],
        code_sha256=bundle.code.sha256,
        code_bytes=len(bundle.packed),
        code_basis=CODE_BASIS,
        libraries=bundle.code.libraries,
        own_files=local_files(spec.recipe),
        packed_program=bundle.packed,
        planned_tokens=planned_tokens(spec.recipe),
    )
    if recipe is None:
        message = "the vocabulary size is known neither from the data nor from the rules"
        return known.with_findings(Finding("fail", "vocabulary", message, "recipe.data.vocabulary_size: N"))
    known = examine_shape(known, runs_dir)
    if located:
        known = examine_data(known, located, runs_dir)
    known = known.with_findings(*judge_size(ruleset, known.size()))
    return examine_time(known, runs_dir, runs, step_seconds)


def examine_shape(known: Preflight, runs_dir: Path) -> Preflight:
    """Add what follows from the recipe alone: parameters, bytes, memory."""
    recipe, ruleset, launch = known.spec.recipe, known.ruleset, known.spec.launch
    model_bytes = filled_model_bytes(recipe, known.code_bytes) or correct_estimate(
        estimate_model_bytes(recipe), recipe, runs_dir
    )
    memory = (
        rules.memory(recipe, read_memory(), launch.world_size)
        if launch.gpu is None
        else rules.gpu_memory(recipe, launch.gpu)
    )
    groups = parameter_groups(inventory(recipe.model, recipe.vocabulary_size))
    needed = memory_bytes(recipe, launch.gpu)
    return replace(known, groups=groups, model_bytes=model_bytes, memory_bytes=needed).with_findings(
        rules.artifact_size(model_bytes, known.code_bytes, ruleset.limits.bytes),
        rules.schedule_fits(recipe),
        rules.late_stages(recipe),
        rules.processes(recipe, launch),
        rules.training_clock(recipe, ruleset),
        rules.calibration_clock(recipe, ruleset),
        rules.quantized_share(recipe),
        *([rules.adaptation_order(recipe.evaluation)] if isinstance(recipe.evaluation, DocumentLora) else []),
        *([rules.filled_bytes(recipe, known.code_bytes)] if recipe.quantizer.fill_bytes else []),
        memory,
    )


def examine_data(known: Preflight, located: LocatedData, runs_dir: Path) -> Preflight:
    """Add what follows from recipe and data: identity, epochs, disk."""
    recipe, ruleset, manifest = known.spec.recipe, known.ruleset, located.manifest
    epochs, finding = rules.epochs(recipe, manifest)
    identity = spec_sha256(recipe, ruleset.label, manifest.sha256)
    disk = disk_bytes(recipe, manifest.validation.tokens)
    return replace(known, identity=identity, epochs=epochs, disk_bytes=disk).with_findings(
        *([] if is_embedded(recipe) else [rules.canonical_data(manifest, ruleset)]),
        rules.lossless_tokenizer(manifest),
        judge_overlap(located.folder, manifest),
        finding,
        rules.disk(recipe, manifest, runs_dir),
    )


def is_embedded(recipe: Recipe) -> bool:
    """Return whether a recipe asks for pgolf's own text, which nobody takes for the contest's."""
    return isinstance(recipe.data, Embedded)


def examine_time(known: Preflight, runs_dir: Path, runs: int, step_seconds: float | None) -> Preflight:
    """Add seconds and dollars."""
    launch = known.spec.launch
    duration = estimate_duration(
        known.spec.recipe,
        runs_dir=runs_dir,
        spec_sha256=known.identity,
        gpu=launch.gpu,
        processes=launch.world_size,
        cores=min(allowed_cores(), launch.world_size * thread_count({"threads": launch.threads}, launch.world_size)),
        validation_tokens=validation_tokens(known),
        step_seconds=step_seconds,
    )
    known = replace(known, duration=duration, step_seconds=measured_step_seconds(known.spec.recipe, duration))
    known = known.with_findings(
        rules.evaluation_clock(duration, known.ruleset, launch),
        *([] if (stop := stop_rule(known, runs_dir)) is None else [stop]),
    )
    return known.priced(runs)


def measured_step_seconds(recipe: Recipe, duration: DurationEstimate) -> float | None:
    """Return seconds a step; None where the duration is assumed."""
    steps = recipe.planned_steps
    if duration.train_seconds is None or not steps or not duration.is_measured:
        return None
    return duration.train_seconds / steps


def validation_tokens(known: Preflight) -> int | None:
    """Return the validation tokens of the data that is here, else those that the ruleset states for its name."""
    if known.located is not None:
        return known.located.manifest.validation.tokens
    data = known.spec.recipe.data
    facts = known.ruleset.data.get(Path(data.folder).name) if isinstance(data, Shards) else None
    return None if facts is None else facts.validation_tokens[1]


def find_data(spec: Experiment, on_progress: Callable[[str], None]) -> tuple[LocatedData | None, str | None]:
    """Return the data of a spec, or what is wrong with it."""
    try:
        return locate_data(spec.recipe.data, on_progress), None
    except DataError as error:
        return None, str(error)
