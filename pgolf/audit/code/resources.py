"""Signatures of forbidden resources: the network, missing modules, the wrong shards, an ignored clock."""

import ast
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase

from pgolf.audit.code.adaptation import is_packing
from pgolf.audit.code.flow import Flow, names_in
from pgolf.audit.code.program import Program, Scope, call_name
from pgolf.audit.code.suspicion import Suspicion, suspect
from pgolf.scripts.settings import UNKNOWN

NETWORK = {
    "requests",
    "urllib.request",
    "urllib3",
    "http.client",
    "huggingface_hub",
    "httpx",
    "aiohttp",
    "wget",
    "gdown",
    "ftplib",
    "paramiko",
    "boto3",
}
DOWNLOADERS = re.compile(r"\b(curl|wget|git\s+clone|pip\s+install|huggingface-cli|gsutil|aws\s+s3)\b")
FETCHING = {
    "create_connection",
    "urlopen",
    "urlretrieve",
    "hf_hub_download",
    "snapshot_download",
    "load_dataset",
    "from_pretrained",
}
KNOWN = {
    "torch", "numpy", "sentencepiece", "brotli", "zstandard", "flash_attn", "flash_attn_interface", "triton",
    "tiktoken", "tqdm", "huggingface_hub", "datasets", "transformers", "scipy", "einops", "setuptools", "psutil",
    "pynvml", "lrzip", "constriction", "numba", "bitsandbytes", "safetensors", "kernels", "yaml", "requests",
    "matplotlib", "pandas", "cutlass", "wandb", "fla", "mamba_ssm", "xformers", "cupy", "ninja", "packaging", "jax",
    "mlx", "regex", "tokenizers", "zstd", "causal_conv1d", "liger_kernel", "modal", "cython",
}  # fmt: skip
STOP_STEP = re.compile(
    r"force_?stop|stop_?at_?step|ignore_?(wall|clock)|fixed_?steps|no_?wallclock|hard_?stop_?step", re.IGNORECASE
)
WRITING = {"dumps", "save", "savez", "savez_compressed", "dump"}
JSON_SETTINGS = {"indent", "ensure_ascii", "allow_nan", "separators", "sort_keys"}
LIMIT = re.compile(r"wallclock|budget|max_s|seconds|time_limit|cap")
SCORING = re.compile(r"eval|score|ttt|adapt|slide|sliding", re.IGNORECASE)


def find_network_use(program: Program) -> Iterator[Suspicion]:
    """Yield imports and calls that use the network."""
    for scope in program.scopes:
        for node in scope.nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                if found := next((name for name in names if name in NETWORK or name.split(".")[0] in NETWORK), None):
                    yield suspect(program, scope, node, "SELF-CONTAINED", f"imports {found}")
            elif isinstance(node, ast.Call) and call_name(node) in FETCHING:
                yield suspect(program, scope, node, "SELF-CONTAINED", f"{call_name(node)} fetches files")
            elif isinstance(node, ast.Call) and re.search(r"subprocess|os\.system|popen", ast.unparse(node.func)):
                message = " ".join(texts_of(program, node))
                if DOWNLOADERS.search(message):
                    yield suspect(program, scope, node, "SELF-CONTAINED", f"runs `{message[:80]}`")


def texts_of(program: Program, node: ast.Call) -> Iterator[str]:
    """Yield the strings in a call and in the settings that it names."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value
        elif isinstance(part, ast.Name):
            value = program.settings.value(part)
            yield from (str(each) for each in value) if isinstance(value, list) else (str(value),)


def find_missing_modules(program: Program, present: set[str]) -> Iterator[Suspicion]:
    """Yield imports, outside of `try`, of modules that are neither in the folder nor known packages."""
    for scope in program.scopes:
        for node in scope.nodes:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            if any(isinstance(each, ast.Try) for each in program.enclosing(node)):
                continue
            is_relative = isinstance(node, ast.ImportFrom) and node.level > 0
            names = (
                [node.module or alias.name for alias in node.names]
                if isinstance(node, ast.ImportFrom)
                else [a.name for a in node.names]
            )
            for name in dict.fromkeys(each.split(".")[0] for each in names):
                is_known = name in sys.stdlib_module_names or name in KNOWN or name == "__future__"
                if name not in present and (is_relative or not is_known):
                    message = f"imports {name}, which is neither in the folder nor a package that records use"
                    yield suspect(program, scope, node, "RUNS-IN-FOLDER", message)


def find_training_on_validation(program: Program) -> Iterator[Suspicion]:
    """Yield patterns of training shards that match the validation shards."""
    for scope in program.scopes:
        for node in scope.nodes:
            pairs: list[tuple[str, ast.expr]] = []
            if isinstance(node, ast.Assign):
                pairs = [(name, node.value) for target in node.targets for name in names_in(target)]
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                pairs = [(name, node.value) for name in names_in(node.target)]
            for name, value in pairs:
                if re.search(r"train", name) and not re.search(r"val", name) and mentions_validation(value):
                    message = f"{name} reads the validation shards"
                    yield suspect(program, scope, node, "NO-VAL-IN-ARTIFACT", message)


def find_packed_validation(program: Program, flow: Flow) -> Iterator[Suspicion]:
    """Yield calls that write validation text into a file or an artifact."""
    for scope in program.scopes:
        for node in scope.nodes:
            if not isinstance(node, ast.Call) or call_name(node) not in WRITING or is_json(node):
                continue
            if any(flow.holds(each, scope) for each in node.args[:1]):
                message = f"`{ast.unparse(node)[:80]}` packs validation text"
                yield suspect(program, scope, node, "NO-VAL-IN-ARTIFACT", message)


def is_json(node: ast.Call) -> bool:
    """Return whether a call writes JSON, by its module or by settings that only JSON has."""
    return "json" in ast.unparse(node.func) or any(keyword.arg in JSON_SETTINGS for keyword in node.keywords)


def mentions_validation(node: ast.expr) -> bool:
    """Return whether a path or pattern matches validation shards."""
    texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return any(re.search(r"fineweb_val|_val_\*", text) or is_wide(text) for text in texts)


def is_wide(pattern: str) -> bool:
    """Return whether a glob pattern for other shards matches validation shards too."""
    return (
        "*" in pattern
        and fnmatchcase("fineweb_val_000000.bin", pattern.rpartition("/")[2])
        and pattern not in ("*", "*.bin")
    )


def find_late_training_reads(program: Program, flow: Flow) -> Iterator[Suspicion]:
    """Yield reads of training text in scoring functions or after the model is packed."""
    for scope in program.scopes:
        packed = [node for node in scope.nodes if isinstance(node, ast.Call) and is_packing(node)]
        first = min(((node.lineno, node.col_offset) for node in packed), default=None)
        is_scorer = bool(SCORING.search(scope.name)) and "train" not in scope.name
        for node in scope.nodes:
            if not isinstance(node, ast.Call) or node in packed:
                continue
            is_late = first is not None and (node.lineno, node.col_offset) > first
            if (is_late or is_scorer) and reads_training(program, flow, scope, node):
                when = "after packing" if is_late else f"in {scope.name}"
                message = f"`{ast.unparse(node)[:80]}` reads training text {when}"
                yield suspect(program, scope, node, "NO-TRAIN-DATA-AT-EVAL", message)
                break


def reads_training(program: Program, flow: Flow, scope: Scope, node: ast.Call) -> bool:
    """Return whether a call reads training text."""
    if call_name(node) == "load_state_dict":  # this loads weights and no text
        return False
    receiver = node.func.value if isinstance(node.func, ast.Attribute) else None
    draws = receiver is not None and call_name(node).startswith(("next", "load", "read", "sample", "get_batch"))
    if draws and receiver is not None and flow.holds(receiver, scope):
        return True
    if any(reads_own_training(flow, callee) for callee in program.called(node)):
        return True
    is_reader = bool(
        re.search(r"load|read|memmap|fromfile|hessian|calib|collect|adapt|finetune|fine_tune|train", call_name(node))
    )
    return is_reader and any(flow.holds(argument, scope) for argument in node.args)


def reads_own_training(flow: Flow, callee: Scope) -> bool:
    """Return whether a function opens training shards that no caller passes."""
    return any(
        isinstance(node, ast.Call)
        and re.search(r"load|read|memmap|fromfile", call_name(node))
        and any(flow.holds(each, callee) and not flow.comes_from_callers(each, callee) for each in node.args)
        for node in callee.nodes
    )


def find_ignored_clocks(program: Program) -> Iterator[Suspicion]:
    """Yield tests that by default stop training at a step regardless of the clock, or ignore the time limit."""
    for scope in program.scopes:
        for node in scope.nodes:
            if isinstance(node, ast.If | ast.While | ast.IfExp) and (
                name := next(filter(STOP_STEP.search, sorted(names_in(node.test))), None)
            ):
                if re.search(r"time|clock|elapsed|seconds", ast.unparse(node.test).replace(name, "")):
                    continue
                value = program.settings.named(name)
                is_set = value is UNKNOWN or bool(value)
                if is_set and not (isinstance(value, int) and value < 0):
                    message = f"{name} stops training at a step without reading the clock"
                    yield suspect(program, scope, node, "TRAIN-600", message)
            elif isinstance(node, ast.If) and (name := clock_that_is_off(program, node.test)) is not None:
                message = f"{name} is 0 by default, which the test takes as no time limit"
                yield suspect(program, scope, node, "TRAIN-600", message)


def clock_that_is_off(program: Program, test: ast.expr) -> str | None:
    """Return the name of the time limit that a test ignores by default; None if it does not."""
    if (
        not re.search(r"time|clock|elapsed|perf_counter", ast.unparse(test))
        or program.settings.value(test) is not False
    ):
        return None
    return next(
        (name for name in sorted(names_in(test)) if LIMIT.search(name) and program.settings.named(name) == 0), None
    )


def find_leaky_exports(program: Program) -> Iterator[Suspicion]:
    """Yield data preparation whose default puts most validation documents into the training text."""
    for scope in program.scopes:
        for node in scope.nodes:
            if (
                isinstance(node, ast.Call)
                and call_name(node) == "add_argument"
                and "val-docs" in ast.unparse(node).replace("_", "-")
            ):
                default = next((each.value for each in node.keywords if each.arg == "default"), None)
                if isinstance(default, ast.Constant) and default.value == 10_000:
                    message = "--val-docs is 10,000 by default, which leaves 40,000 validation documents in training"
                    yield suspect(program, scope, node, "TRAIN-VAL-DISJOINT", message)
