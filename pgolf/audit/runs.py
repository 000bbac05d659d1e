"""The audit of one of pgolf's own runs: its files, its clocks, its ledger, its data and its scoring protocol."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from math import isclose, log
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pgolf.audit.own_limits import own_limit_verdicts
from pgolf.audit.probes import (
    SCORE_TOLERANCE,
    STREAM_TOKENS,
    make_questions,
    model_answerer,
    probe_tokens,
    run_probes,
    unknown_verdicts,
)
from pgolf.audit.score_ledger import StoredLedger, read_ledger
from pgolf.audit.verdicts import Verdict, make_verdict, sort_verdicts
from pgolf.data.encoding import original_text
from pgolf.data.locate import LocatedData, locate_folder
from pgolf.data.overlap import measure_overlap
from pgolf.data.shards import read_shard, split_documents
from pgolf.data.tokenizers import load_tokenizer_file
from pgolf.errors import DataError
from pgolf.findings import Severity
from pgolf.preflight.rules import canonical_data, lossless_tokenizer
from pgolf.report.sweep_names import flat_spec
from pgolf.rulesets.judging import judge_seed
from pgolf.rulesets.limits import STEP_SECONDS, bytes_over, is_contest_machine, is_over_time
from pgolf.rulesets.ruleset import Ruleset
from pgolf.run_files import RecipeResult, RunDocument
from pgolf.run_limits import size_of_run
from pgolf.run_reading import read_present, read_recipe_result
from pgolf.rundir import RunDirectory
from trainer.recipe.files import DataFiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pgolf.data.manifests import Manifest

# Relative; sums of nats in another order differ by less.
SUM_TOLERANCE = 1e-9
MAX_DECODED_TOKENS = 1_000_000
# Rules on the two splits of the data.
SPLIT_RULES = ("VAL-IS-CANONICAL", "TRAIN-VAL-DISJOINT")


def audit_run(run: RunDirectory, ruleset: Ruleset, *, is_executed: bool = True) -> list[Verdict]:
    """Return the verdicts of all rules on a finished run.

    Raises:
        RunDamaged: its documents cannot be read.
    """
    run.check_documents()
    result = read_recipe_result(run.files.result)
    verdicts = [*size_verdicts(run, result), *clock_verdicts(result, ruleset)]
    batch_tokens = flat_spec(run.read_spec()).get("recipe.schedule.batch_tokens")
    size = size_of_run(read_present(run.files.run, RunDocument), result, batch_tokens)
    verdicts += own_limit_verdicts(ruleset, [size], judge_seed(ruleset, result["headline"]["val_loss"], size), "files")
    verdicts += order_verdicts(run.read_spec().get("recipe"))
    verdicts += construction_verdicts(run.files.local.is_dir())
    ledger = None
    try:
        ledger = read_ledger(run.files.ledger, targets_of(result))
    except (OSError, ValueError) as error:
        message = f"the ledger cannot be read: {error}"
        verdicts.append(make_verdict("BPB-IDENTITY", "unknown", message, "files", "ledger.npz"))
    else:
        verdicts += ledger_verdicts(ledger, result)
    verdicts += data_verdicts(run, ruleset, ledger)
    if is_executed:
        verdicts += probe_verdicts(run, ledger)
    else:
        verdicts += unknown_verdicts("the protocol was not probed")
    return sort_verdicts(verdicts)


def targets_of(result: RecipeResult) -> int:
    """Return the number of targets behind the headline: that of the last metric with its score, else of its stage."""
    headline = result["headline"]
    alike = [metric for metric in result["metrics"] if metric["stage"] == headline["stage"]]
    same = [metric for metric in alike if metric["val_bpb"] == headline["val_bpb"]]
    return (same or alike)[-1]["tokens"]


def size_verdicts(run: RunDirectory, result: RecipeResult) -> Iterator[Verdict]:
    """Compare the bytes of the artifact's files with the limit and with the result."""
    claimed = result["artifact"]
    if not run.files.model.is_file():
        yield make_verdict("SIZE-CAP", "unknown", f"{run.files.model} does not exist", "files")
        return
    model = run.files.model.stat().st_size
    code = run.files.program.stat().st_size if run.files.program.is_file() else None
    total = model + (claimed["code_bytes"] if code is None else code)
    limit = claimed["limit_bytes"]
    message = f"{model:,} bytes of model and {total - model:,} of code are {total:,}; {limit_text(limit)}"
    within: Severity = "unknown" if code is None else "pass"
    yield make_verdict(
        "SIZE-CAP", "fail" if bytes_over(total, limit) else within, message, "files", "artifact/model.bin"
    )
    is_same = model == claimed["model_bytes"] and code in (None, claimed["code_bytes"])
    rule = "SIZE-CODE-IS-SHIPPED-CODE"
    message = f"result.json gives {claimed['model_bytes']:,} bytes of model and {claimed['code_bytes']:,} of code"
    if not is_same:
        yield make_verdict(rule, "fail", f"{message}; the files have {model:,} and {code or 0:,}", "files")
    elif code is None:
        message = f"this run keeps no train_gpt.py; result.json gives {claimed['code_bytes']:,} bytes of code"
        yield make_verdict(rule, "unknown", message, "files")
    else:
        yield make_verdict(rule, "pass", f"{message}, as the files have", "files", "artifact/train_gpt.py")


def limit_text(limit_bytes: int | None) -> str:
    """Return the limit of bytes in words."""
    return "there is no limit" if limit_bytes is None else f"the limit is {limit_bytes:,}"


def clock_verdicts(result: RecipeResult, ruleset: Ruleset) -> Iterator[Verdict]:
    """Compare the seconds of the run's phases with both limits. Off the contest's hardware a violation is a warning."""
    clock = cast(Mapping[str, float], result["clock"])
    environment = result["environment"]
    device = environment["device"]
    is_contest = is_contest_machine([device], environment.get("processes"))
    over: Severity = "fail" if is_contest else "warn"
    limits = ruleset.limits
    for rule, phases, limit, what in (
        ("TRAIN-600", ("train",), limits.train_seconds, "training"),
        ("TRAIN-600-INCLUDES-CALIBRATION", ("train", "calibrate"), limits.train_seconds, "training and calibration"),
        ("EVAL-600", ("decode", "evaluate"), limits.evaluate_seconds, "decoding and scoring"),
    ):
        if limit is None:
            yield make_verdict(rule, "pass", f"{ruleset.label} sets no limit on {what}", "files")
            continue
        keys = [f"{phase}_seconds" for phase in phases]
        seconds, missing = sum(clock.get(key, 0.0) for key in keys), [key for key in keys if key not in clock]
        is_over = is_over_time(seconds, limit, STEP_SECONDS)
        message = f"{what} took {seconds:.1f} s on {device}; the limit is {limit:g} s"
        if missing:
            message = f"{message}, without {', '.join(missing)}, which result.json does not have"
        within: Severity = "unknown" if missing else "pass"
        yield make_verdict(rule, over if is_over else within, message, "files", "result.json: clock")
    for changed in result.get("resumed_under", []):
        words = ", ".join(f"{key} {value}" for key, value in changed.items())
        message = f"began on {device} and was resumed on other hardware: {words}"
        yield make_verdict("HARDWARE", "warn", message, "files", "result.json: resumed_under")
    if not is_contest and ruleset.hardware is not None:
        message = f"ran on {device}, not on {ruleset.hardware}"
        yield make_verdict("HARDWARE", "warn", message, "files", "result.json: environment")


def order_verdicts(recipe: Any) -> Iterator[Verdict]:
    """Yield whether a decoder could follow the order in which a run adapted to documents."""
    if recipe is None or recipe.get("evaluation", {}).get("kind") != "document_lora":
        return
    if recipe["evaluation"].get("order", "stream") == "stream":
        message = "documents were adapted to in the order of the text"
        yield make_verdict("ADAPTATION-ORDER", "pass", message, "files", "spec.json")
    else:
        message = "documents were adapted to in the order of their lengths, which no decoder could follow"
        yield make_verdict("ADAPTATION-ORDER", "warn", message, "files", "spec.json")


def construction_verdicts(has_own_code: bool) -> Iterator[Verdict]:
    """Yield what the trainer cannot do by its construction; with the user's own code these rules are unknown."""
    if has_own_code:
        message = "with the user's own code the trainer's construction proves nothing"
        for rule in ("NO-PREQUANT-TTT", "NO-VAL-CALIBRATION", "NO-TRAIN-DATA-AT-EVAL"):
            yield make_verdict(rule, "unknown", message, "construction")
        return
    for rule, message in (
        (
            "NO-PREQUANT-TTT",
            "the process that trains and packs reads validation shards only to check them; its model never sees them",
        ),
        ("NO-VAL-CALIBRATION", "calibration draws from the training loader"),
        ("NO-TRAIN-DATA-AT-EVAL", "the process that scores never opens a training shard"),
    ):
        yield make_verdict(rule, "pass", message, "construction")


def ledger_verdicts(ledger: StoredLedger, result: RecipeResult) -> Iterator[Verdict]:
    """Recompute the headline from the nats and bytes of every target."""
    import numpy as np

    nats, counts = ledger.nats, ledger.counts
    headline, expected = result["headline"], targets_of(result)
    is_whole = len(nats) == len(counts) == expected and bool(np.isfinite(nats).all())
    message = f"each of {len(nats):,} targets has one score"
    message = message if is_whole else f"{len(nats):,} scores for {expected:,} targets, or some scores are not finite"
    yield make_verdict("LOG-COMPLETE", "pass" if is_whole else "fail", message, "files", "ledger.npz")
    total, text = float(nats.sum(dtype=np.float64)), int(counts.sum(dtype=np.int64))
    bpb, implied = total / log(2) / max(text, 1), len(nats) * headline["val_loss"] / log(2) / headline["val_bpb"]
    is_same = isclose(bpb, headline["val_bpb"], rel_tol=SUM_TOLERANCE) and isclose(implied, text, rel_tol=SUM_TOLERANCE)
    message = f"{len(nats):,} targets with {total:,.1f} nats over {text:,} bytes are {bpb:.9f} bpb"
    message += f"; result.json gives {headline['val_bpb']:.9f}"
    yield make_verdict("BPB-IDENTITY", "pass" if is_same else "fail", message, "files", "ledger.npz")


def data_verdicts(run: RunDirectory, ruleset: Ruleset, ledger: StoredLedger | None) -> list[Verdict]:
    """Return the verdicts on the data of a run; unknown where it is not on this machine."""
    try:
        data = data_of_run(run)
        return [*split_verdicts(data, ruleset), *byte_count_verdicts(ledger, data.folder, data.manifest)]
    except (DataError, OSError) as error:
        rules = (*SPLIT_RULES, "SPACE-ONCE", "LOSSLESS")
        return [make_verdict(rule, "unknown", str(error), "files") for rule in rules]


def data_of_run(run: RunDirectory) -> LocatedData:
    """Return the data that a run had.

    Raises:
        DataError: it is not on this machine, or is damaged or other data now.
    """
    about = run.read_run()
    folder = Path(about.get("data_folder") or "/nowhere")
    if not (folder / "manifest.json").is_file():
        raise DataError(f"the data of this run is not at {folder}")
    data = locate_folder(folder)
    if data.manifest.sha256 != about.get("data_sha256"):
        had = str(about.get("data_sha256"))
        raise DataError(f"{folder} has manifest {data.manifest.sha256[:12]}; the run had {had[:12]}")
    return data


def split_verdicts(data: LocatedData, ruleset: Ruleset) -> Iterator[Verdict]:
    """Check that the validation text is canonical and measure how much of it is in the training text."""
    folder, manifest = data.folder, data.manifest
    canonical = canonical_data(manifest, ruleset)
    yield make_verdict("VAL-IS-CANONICAL", canonical.severity, canonical.message, "files", "manifest.json")
    overlap = measure_overlap(folder, manifest).finding(folder)
    verdict = make_verdict("TRAIN-VAL-DISJOINT", overlap.severity, overlap.message, "files", str(folder))
    yield replace(verdict, fix=overlap.fix)


def byte_count_verdicts(ledger: StoredLedger | None, folder: Path, manifest: "Manifest") -> Iterator[Verdict]:
    """Compare the ledger's bytes with those of the decoded documents, which needs no byte table."""
    import numpy as np

    lossless = lossless_tokenizer(manifest)
    is_known = manifest.tokenizer.lossless is not None
    yield make_verdict("LOSSLESS", lossless.severity if is_known else "unknown", lossless.message, "files")
    if ledger is None:
        yield make_verdict("SPACE-ONCE", "unknown", "the ledger cannot be read", "files", "ledger.npz")
        return
    tokenizer, counts = load_tokenizer_file(DataFiles(folder).tokenizer), ledger.counts
    stream = validation_tokens(folder, manifest)
    tokens = stream[: min(len(counts) + 1, MAX_DECODED_TOKENS)]
    documents = list(split_documents(tokens, tokenizer.bos_id()))
    whole = documents if len(tokens) == len(stream) else documents[:-1]  # the last document is cut off
    length = sum(len(document) + 1 for document in whole)
    decoded = (original_text(tokenizer.decode(document.tolist()), manifest.transform) for document in whole)
    text = sum(len((document or "").encode()) for document in decoded)  # 0 bytes if it is not CaseOps text
    counted = int(counts[: length - 1].sum(dtype=np.int64)) if whole else 0
    message = f"{len(whole):,} documents decode to {text:,} bytes; the ledger counts {counted:,}"
    severity: Severity = "unknown" if not whole else "pass" if text == counted else "fail"
    yield make_verdict("SPACE-ONCE", severity, message, "files", "ledger.npz", "tokenizer.model")


def validation_tokens(folder: Path, manifest: "Manifest") -> "NDArray[np.uint16]":
    """Return the tokens of all validation shards."""
    import numpy as np

    return np.concatenate([read_shard(folder / shard.file) for shard in manifest.validation.shards])


def probe_verdicts(run: RunDirectory, ledger: StoredLedger | None) -> list[Verdict]:
    """Probe the packed model's scoring protocol on the first tokens of the validation text."""
    folder = Path(run.read_run().get("data_folder") or "/nowhere")
    if run.files.local.is_dir():
        return unknown_verdicts("the run includes the user's own code, which an audit does not execute")
    if not run.files.model.is_file() or not (folder / "manifest.json").is_file():
        return unknown_verdicts("the packed model or its data is not on this machine")
    try:
        tokens, begin = probe_tokens(folder)
    except (DataError, OSError) as error:
        return unknown_verdicts(str(error))
    return run_probes(
        make_questions(tokens, begin, protocol_edges(run)),
        model_answerer(run.files.model),
        None if ledger is None else partial(compare_with_ledger, run, ledger, tokens, begin),
    ).verdicts


def compare_with_ledger(
    run: RunDirectory, ledger: StoredLedger, tokens: "NDArray[np.uint16]", begin: int, nats: Any
) -> list[Verdict]:
    """Check that model.bin gives the ledger's scores for the first window of the text.

    Every protocol scores these targets before it learns anything, so that they depend on nothing that follows them. In
    the order by length other documents come first.
    """
    import numpy as np

    evaluation: Any = (run.read_spec().get("recipe") or {}).get("evaluation", {})
    if evaluation.get("order") == "published_by_length":
        message = "documents were scored in the order of their lengths, in which the first one of the text has no place"
        return [make_verdict("METRIC-STAGE", "unknown", message, "executed", "ledger.npz")]

    window = read_recipe_result(run.files.result)["metrics"][-1].get("window", STREAM_TOKENS)
    documents = np.flatnonzero(tokens == begin)
    count = int(min(window, len(tokens) - 1, documents[1] if len(documents) > 1 else len(tokens)))
    kept = ledger.nats[:count]
    scored = nats[0][: len(kept)]
    is_same = bool(np.allclose(scored, kept, rtol=SCORE_TOLERANCE, atol=SCORE_TOLERANCE))
    message = f"model.bin scores the first {len(kept)} targets with {float(scored.sum()):.3f} nats"
    message += f"; the ledger has {float(kept.sum()):.3f}"
    return [
        make_verdict(
            "METRIC-STAGE", "pass" if is_same else "fail", message, "executed", "artifact/model.bin", "ledger.npz"
        )
    ]


def protocol_edges(run: RunDirectory) -> list[int]:
    """Return the first positions at which the run's protocol changes windows or chunks."""
    recipe = run.read_spec().get("recipe")
    protocol = recipe.get("evaluation", {}) if recipe else {}
    chunks = protocol.get("chunk_tokens")
    lengths = [chunk["tokens"] for chunk in chunks] if isinstance(chunks, list) else [chunks]
    steps = [protocol.get("window"), protocol.get("stride"), *lengths]
    return [step * times for step in steps if step is not None for times in (1, 2) if step * times < STREAM_TOKENS]
