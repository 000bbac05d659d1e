"""Why a script would fail as it starts: values that it cannot parse, a CUDA device or paths that are not there."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pgolf.findings import Finding, Severity
from pgolf.scripts.program import ScriptProgram
from pgolf.scripts.reads import is_external
from pgolf.specs.experiment import Experiment
from trainer.recipe.files import DATA_PLACEHOLDER

# Names of variables that say where a script reads from.
INPUT_NAME = re.compile(
    r"(?:[A-Z0-9]+_)*(?:DATA|DATASETS?|TOKENIZER|TRAIN|VAL|VALID|VALIDATION)_?(?:PATH|DIR|FOLDER|ROOT|FILES?|GLOB)"
)
# A relative or absolute path, or a pattern of file names. Source code of a composed default has spaces or brackets.
PATH_TEXT = re.compile(r"(?:\.{1,2}|[\w.*-]+)?(?:/[\w.*-]+)+/?|\.{1,2}/?")
# Present on a machine with a driver for devices that torch calls CUDA: on Linux, in WSL, on Jetson, for ROCm.
DRIVER_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/nvhost-gpu", "/dev/nvgpu", "/dev/kfd")
EXPECTED = {"int": "a whole number", "float": "a number", "json.loads": "JSON"}


def start_findings(spec: Experiment, program: ScriptProgram) -> Iterator[Finding]:
    """Yield a failure for what surely fails as the script starts, a warning for what may."""
    yield from required(spec, program)
    yield from values(spec, program)
    yield from switches(spec, program)
    yield from cuda(spec, program)
    yield from inputs(spec, program)


def required(spec: Experiment, program: ScriptProgram) -> Iterator[Finding]:
    """Yield the variables that the script reads without a default and that nothing sets."""
    given = {*spec.program.env, spec.program.seed_variable}
    for name in program.reads.names:
        reads = [variable for variable in program.reads.variables if variable.name == name]
        if name in given or is_external(name) or any(variable.default is not None for variable in reads):
            continue
        is_certain = any(parse.is_certain for parse in program.parsing.parses if parse.name == name)
        verb = "fails" if is_certain else "may fail"
        message = f"{name} is not set, and {reads[0].place} {verb} without it"
        yield Finding("fail" if is_certain else "warn", "values", message, f"program.env.{name}")


def values(spec: Experiment, program: ScriptProgram) -> Iterator[Finding]:
    """Yield the values in `program.env` that the script cannot parse."""
    for name, text in spec.program.env.items():
        if DATA_PLACEHOLDER in text:
            continue
        parses = [each for each in program.parsing.parses if each.name == name]
        failing = [(each, part) for each in parses if (part := each.unparsable(text)) is not None]
        if failing:
            parse, part = next((pair for pair in failing if pair[0].is_certain), failing[0])
            message = f"{name}={text}: {parse.place} reads it with {parse.parser}(), which does not parse {part!r}"
            severity: Severity = "fail" if parse.is_certain else "warn"
            several = "" if parse.separator is None else f", or several separated by {parse.separator!r}"
            yield Finding(severity, "values", message, f"program.env.{name}: {EXPECTED[parse.parser]}{several}")


def switches(spec: Experiment, program: ScriptProgram) -> Iterator[Finding]:
    """Yield the words for true or false in `program.env` that the script takes for the opposite."""
    for each in program.parsing.switches:
        text = spec.program.env.get(each.name)
        if text is not None and (taken := each.mistaken(text)) is not None:
            words = " or ".join(repr(word) for word in sorted(each.words))
            message = f"{each.name}={text} means {str(taken).lower()}: {each.place} compares it with {words}"
            yield Finding("warn", "values", message, f"program.env.{each.name}: write it as the script does")


def cuda(spec: Experiment, program: ScriptProgram) -> Iterator[Finding]:
    """Yield a finding if the script needs CUDA and none is requested, or this machine has none."""
    demand = program.cuda
    if demand is None or spec.launch.gpu is not None:
        return  # the launcher checks the devices that are requested
    needs = f"{demand.place} {'needs' if demand.is_certain else 'may need'} CUDA ({demand.source})"
    fix = "--set launch.gpu=H100:1, on a machine that has it"
    if spec.launch.on != "local":
        message = f"{needs}, but launch.gpu is null, so no GPU is requested of {spec.launch.on}"
        yield Finding("warn", "cuda", message, fix)
    elif not has_cuda_here():
        yield Finding("fail" if demand.is_certain else "warn", "cuda", f"{needs}; this machine has no CUDA device", fix)


def has_cuda_here() -> bool:
    """Return whether this machine may have a CUDA device that processes see."""
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    return not is_hidden and any(map(os.path.exists, DRIVER_FILES))


def inputs(spec: Experiment, program: ScriptProgram) -> Iterator[Finding]:
    """Yield a warning if the script reads from paths that are not there.

    It is no failure: a script may make or download what it does not find.
    """
    paths = {name: input_path(name, spec, program) for name in program.reads.names}
    missing = [name for name, path in paths.items() if path is not None and not is_there(path, spec, program)]
    if not missing:
        return
    listed = ", ".join(describe_input(name, spec, program) for name in missing)
    where = f"a folder of its own that holds only {program.name} and program.files"
    verb = "does" if len(missing) == 1 else "do"
    message = f"{program.name} reads from {listed}, which {verb} not exist where it runs: {where}"
    yield Finding(
        "warn", "inputs", message, f"program.env.{missing[0]}: an absolute path, or {{data}} with program.data"
    )


def input_path(name: str, spec: Experiment, program: ScriptProgram) -> str | None:
    """Return the path that a variable will hold; None if it is no input, or its path is not known."""
    path = spec.program.env.get(name, program.reads.first(name).default)
    is_input = INPUT_NAME.fullmatch(name) is not None and not is_external(name)
    return path if is_input and path is not None and PATH_TEXT.fullmatch(path) else None


def describe_input(name: str, spec: Experiment, program: ScriptProgram) -> str:
    """Return a variable's value, and the line of its default."""
    if name in spec.program.env:
        return f"{name}={spec.program.env[name]}"
    variable = program.reads.first(name)
    return f"{variable.default} (the default of {name}, {variable.place})"


def is_there(path: str, spec: Experiment, program: ScriptProgram) -> bool:
    """Return whether a path may exist where the script runs, as far as it is known here.

    A run has a working folder of its own, with the script and `program.files` in it. Absolute paths are looked up only
    for runs on this machine.
    """
    if Path(path).is_absolute():
        return spec.launch.on != "local" or any(Path("/").glob(path.strip("/")))
    if path.startswith("..") or "chdir" in "".join(program.texts.values()):
        return True
    sought = PurePosixPath(os.path.normpath(path))
    shipped = [PurePosixPath(name) for name in program.files]
    folders = {parent for name in shipped for parent in name.parents}
    return any(name.match(str(sought)) if "*" in path else name == sought for name in [*shipped, *folders])
