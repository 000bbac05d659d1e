"""The audit of one of pgolf's own runs: its files counted anew, its ledger, its data, and its protocol probed."""

from collections.abc import Iterator
from functools import partial
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgolf.audit.probes import SAME_SCORE, STREAM_TOKENS, probe_tokens, probed, questions_about, trainer_of, unanswered
from pgolf.audit.verdicts import Verdict, in_order, settled
from pgolf.data.overlap import measure_overlap
from pgolf.data.shards import read_shard, split_documents
from pgolf.data.tokenizers import load_tokenizer_file
from pgolf.data.verify import check_files
from pgolf.errors import DataError
from pgolf.findings import Severity
from pgolf.preflight.rules import canonical_data, lossless_tokenizer
from pgolf.report.scripts import CLOCK_GRAIN_SECONDS
from pgolf.rulesets.ruleset import Ruleset
from pgolf.rundir import RunDirectory, read_or_empty
from trainer.recipe.files import DataFiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pgolf.data.manifests import Manifest

# Sums of nats in another order.
SAME = 1e-9
DECODED_TOKENS = 1_000_000
# What a run does after training that reads training text or changes weights.
CALIBRATION_PHASES = ("calibrate_seconds",)
EVALUATION_PHASES = ("decode_seconds", "evaluate_seconds")


def audit_run(run: RunDirectory, ruleset: Ruleset, *, is_executed: bool = True) -> list[Verdict]:
    """Every rule's verdict on a finished run.

    Raises: RunFailed when its result is not readable.
    """
    result = run.read_result()
    verdicts = [*sizes(run, result), *clocks(result, ruleset), *by_construction(run.files.local.is_dir())]
    verdicts += ledger_verdicts(run, result)
    verdicts += data_verdicts(run, ruleset)
    if is_executed:
        verdicts += executed(run)
    else:
        verdicts += unanswered("the protocol was not probed")
    return in_order(verdicts)


def sizes(run: RunDirectory, result: dict[str, Any]) -> Iterator[Verdict]:
    """The artifact's files, counted."""
    claimed = result["artifact"]
    if not run.files.model.is_file():
        yield settled("SIZE-CAP", "unknown", f"{run.files.model} is gone", "files")
        return
    model = run.files.model.stat().st_size
    code = run.files.program.stat().st_size if run.files.program.is_file() else None
    total = model + (claimed["code_bytes"] if code is None else code)
    limit = claimed["limit_bytes"]
    words = f"{model:,} bytes of model and {total - model:,} of code are {total:,} of {limit:,}"
    yield settled("SIZE-CAP", "fail" if total > limit else "pass", words, "files", "artifact/model.bin")
    is_same = model == claimed["model_bytes"] and code in (None, claimed["code_bytes"])
    rule, words = (
        "SIZE-CODE-IS-SHIPPED-CODE",
        f"the result says {claimed['model_bytes']:,} and {claimed['code_bytes']:,}",
    )
    if not is_same:
        yield settled(rule, "fail", f"{words}, the files have {model:,} and {code or 0:,}", "files")
    elif code is None:
        words = f"train_gpt.py is not kept with this run; the result counts {claimed['code_bytes']:,} bytes"
        yield settled(rule, "unknown", words, "files")
    else:
        yield settled(rule, "pass", f"{words}; so have the files", "files", "artifact/train_gpt.py")


def clocks(result: dict[str, Any], ruleset: Ruleset) -> Iterator[Verdict]:
    """Totals of the phases, against both clocks."""
    clock = result["clock"]
    train = clock.get("train_seconds", 0.0)
    calibrate = sum(clock.get(phase, 0.0) for phase in CALIBRATION_PHASES)
    evaluate = sum(clock.get(phase, 0.0) for phase in EVALUATION_PHASES)
    is_contest = (
        "H100" in str(result.get("environment", {}).get("device")) and result["environment"].get("processes") == 8
    )
    over: Severity = "fail" if is_contest else "warn"
    for rule, seconds, limit, what in (
        ("TRAIN-600", train, ruleset.train_seconds, "training"),
        ("TRAIN-600-INCLUDES-CALIBRATION", train + calibrate, ruleset.train_seconds, "training and calibration"),
        ("EVAL-600", evaluate, ruleset.evaluate_seconds, "decoding and scoring"),
    ):
        is_over = seconds > limit + CLOCK_GRAIN_SECONDS
        words = f"{what}: {seconds:.1f} s of {limit:.0f} on {result.get('environment', {}).get('device', 'unknown')}"
        yield settled(rule, over if is_over else "pass", words, "files", "result.json: clock")
    if not is_contest:
        words = f"ran on {result.get('environment', {}).get('device')}, not on {ruleset.hardware}"
        yield settled("HARDWARE", "warn", words, "files", "result.json: environment")


def by_construction(has_own_code: bool) -> Iterator[Verdict]:
    """What the trainer cannot do, as long as no code of the user's own takes part."""
    if has_own_code:
        words = "code of the user's own takes part (local/); the trainer's construction proves nothing"
        for rule in ("NO-PREQUANT-TTT", "NO-VAL-CALIBRATION", "NO-TRAIN-DATA-AT-EVAL"):
            yield settled(rule, "unknown", words, "construction")
        return
    for rule, words in (
        ("NO-PREQUANT-TTT", "the process that trains and packs never opens a validation shard"),
        ("NO-VAL-CALIBRATION", "calibration draws from the training loader"),
        ("NO-TRAIN-DATA-AT-EVAL", "the process that scores never opens a training shard"),
    ):
        yield settled(rule, "pass", words, "construction")


def ledger_verdicts(run: RunDirectory, result: dict[str, Any]) -> Iterator[Verdict]:
    """The headline computed anew from every target's nats and bytes."""
    import numpy as np

    try:
        with np.load(run.files.ledger, allow_pickle=False) as ledger:
            nats, counts = ledger["nll"], ledger["bytes"]
    except (OSError, KeyError, ValueError) as error:
        yield settled("BPB-IDENTITY", "unknown", f"the ledger cannot be read: {error}", "files", "ledger.npz")
        return
    headline = result["headline"]
    expected = next(m["tokens"] for m in reversed(result["metrics"]) if m["val_bpb"] == headline["val_bpb"])
    is_whole = len(nats) == len(counts) == expected and bool(np.isfinite(nats).all())
    words = f"{len(nats):,} targets have one score each"
    words = words if is_whole else f"{len(nats):,} scores for {expected:,} targets, or some are no numbers"
    yield settled("LOG-COMPLETE", "pass" if is_whole else "fail", words, "files", "ledger.npz")
    total, text = float(nats.sum(dtype=np.float64)), int(counts.sum(dtype=np.int64))
    bpb, implied = total / log(2) / text, len(nats) * headline["val_loss"] / log(2) / headline["val_bpb"]
    is_same = abs(bpb - headline["val_bpb"]) <= SAME * bpb and abs(implied - text) <= SAME * text
    words = f"{len(nats):,} targets of {total:,.1f} nats over {text:,} bytes are {bpb:.9f} bpb"
    words += f", {headline['val_bpb']:.9f} is claimed"
    yield settled("BPB-IDENTITY", "pass" if is_same else "fail", words, "files", "ledger.npz")


def data_verdicts(run: RunDirectory, ruleset: Ruleset) -> list[Verdict]:
    """The data of a run: its hashes, its documents, its bytes. Unknown where it is not on this machine."""
    rules = ("VAL-IS-CANONICAL", "TRAIN-VAL-DISJOINT", "SPACE-ONCE", "LOSSLESS")
    about = run.read_run()
    folder = Path(about.get("data_folder") or "/nowhere")
    if not (folder / "manifest.json").is_file():
        return [settled(rule, "unknown", f"the data of this run is not at {folder}", "files") for rule in rules]
    try:
        manifest = check_files(folder)
        if manifest.sha256 != about.get("data_sha256"):
            words = (
                f"{folder} has manifest {manifest.sha256[:12]} now, the run had {str(about.get('data_sha256'))[:12]}"
            )
            return [settled(rule, "unknown", words, "files") for rule in rules]
        return [*data_facts(folder, manifest, ruleset), *recounted(run, folder, manifest)]
    except (DataError, OSError) as error:
        return [settled(rule, "unknown", str(error), "files") for rule in rules]


def data_facts(folder: Path, manifest: "Manifest", ruleset: Ruleset) -> Iterator[Verdict]:
    """Canonical text, and no validation document in training."""
    canonical = canonical_data(manifest, ruleset)
    yield settled("VAL-IS-CANONICAL", canonical.severity, canonical.message, "files", "manifest.json")
    begin = load_tokenizer_file(DataFiles(folder).tokenizer).bos_id()
    overlap = measure_overlap(folder, manifest, begin)
    found = overlap.finding()
    # One document that small corpora have twice is a question, and no leaky export.
    severity: Severity = "warn" if found.severity == "fail" and overlap.overlapping == 1 else found.severity
    yield settled("TRAIN-VAL-DISJOINT", severity, found.message, "files", str(folder))


def recounted(run: RunDirectory, folder: Path, manifest: "Manifest") -> Iterator[Verdict]:
    """The ledger's bytes beside those of the text, decoded document by document. Independent of any byte table."""
    import numpy as np

    tokenizer = load_tokenizer_file(DataFiles(folder).tokenizer)
    with np.load(run.files.ledger, allow_pickle=False) as ledger:
        counts = ledger["bytes"]
    stream = validation_tokens(folder, manifest)
    tokens = stream[: min(len(counts) + 1, DECODED_TOKENS)]
    documents = list(split_documents(tokens, tokenizer.bos_id()))
    whole = documents if len(tokens) == len(stream) else documents[:-1]  # the last one is cut off
    length = sum(len(document) + 1 for document in whole)
    text = sum(len(tokenizer.decode(document.tolist()).encode()) for document in whole)
    counted = int(counts[: length - 1].sum(dtype=np.int64)) if whole else 0
    words = f"{len(whole):,} documents decode to {text:,} bytes, the ledger counts {counted:,}"
    severity: Severity = "unknown" if not whole else "pass" if text == counted else "fail"
    yield settled("SPACE-ONCE", severity, words, "files", "ledger.npz", "tokenizer.model")
    lossless = lossless_tokenizer(manifest)
    is_known = manifest.tokenizer.lossless is not None
    yield settled("LOSSLESS", lossless.severity if is_known else "unknown", lossless.message, "files")


def validation_tokens(folder: Path, manifest: "Manifest") -> "NDArray[np.uint16]":
    """The validation stream."""
    import numpy as np

    return np.concatenate([read_shard(folder / shard.file) for shard in manifest.validation.shards])


def executed(run: RunDirectory) -> list[Verdict]:
    """The protocol of the packed model, probed on the beginning of the validation text."""
    folder = Path(run.read_run().get("data_folder") or "/nowhere")
    if run.files.local.is_dir():
        return unanswered("code of the user's own takes part, and is not run by an audit")
    if not run.files.model.is_file() or not (folder / "manifest.json").is_file():
        return unanswered("the packed model or its data are not on this machine")
    try:
        tokens, begin = probe_tokens(folder)
    except (DataError, OSError) as error:
        return unanswered(str(error))
    found = probed(
        questions_about(tokens, begin, protocol_edges(run)),
        trainer_of(run.files.model),
        partial(as_ledger, run, tokens, begin),
    )
    if any("damaged" in verdict.message or "ArtifactRefused" in verdict.message for verdict in found):
        words = f"model.bin cannot be decoded: {found[0].message}"
        found.append(settled("METRIC-STAGE", "fail", words, "executed", "artifact/model.bin"))
    return found


def as_ledger(run: RunDirectory, tokens: "NDArray[np.uint16]", begin: int, nats: Any) -> list[Verdict]:
    """Whether model.bin scores the beginning of the text as the ledger says.

    Compared are the targets of the first window that all protocols score before anything is learned: they depend on
    nothing that comes after them.
    """
    import numpy as np

    window = read_or_empty(run.files.result).get("metrics", [{}])[-1].get("window", STREAM_TOKENS)
    documents = np.flatnonzero(tokens == begin)
    count = int(min(window, len(tokens) - 1, documents[1] if len(documents) > 1 else len(tokens)))
    try:
        with np.load(run.files.ledger, allow_pickle=False) as ledger:
            kept = ledger["nll"][:count]
    except (OSError, KeyError, ValueError) as error:
        return [settled("METRIC-STAGE", "unknown", f"the ledger cannot be read: {error}", "executed", "ledger.npz")]
    scored = nats[0][: len(kept)]
    is_same = bool(np.allclose(scored, kept, rtol=SAME_SCORE, atol=SAME_SCORE))
    words = f"model.bin scores the first {len(kept)} targets at {float(scored.sum()):.3f} nats"
    words += f", the ledger says {float(kept.sum()):.3f}"
    return [
        settled("METRIC-STAGE", "pass" if is_same else "fail", words, "executed", "artifact/model.bin", "ledger.npz")
    ]


def protocol_edges(run: RunDirectory) -> list[int]:
    """Where the run's protocol changes windows and chunks."""
    protocol = read_or_empty(run.files.spec).get("recipe", {}).get("evaluation", {})
    steps = [protocol.get(key) for key in ("window", "stride", "chunk_tokens")]
    return [step * times for step in steps if isinstance(step, int) for times in (1, 2) if step * times < STREAM_TOKENS]
