"""Gates of the metric: what numbers show about the bytes, the tokens and the bits per byte."""

from collections.abc import Iterator
from itertools import chain

from pgolf.audit.facts import Facts, RunFacts
from pgolf.audit.verdicts import Verdict, make_verdict
from pgolf.findings import Severity
from pgolf.records.row_problems import BYTES_TOLERANCE, MIN_TOKEN_SHARE, doubt_of_miscount
from pgolf.rulesets.ruleset import Ruleset

# Counting every leading space twice gives this multiple of the bytes of English web text (#1719, #1734: 1.1746).
SPACE_TWICE, SPACE_TOLERANCE = 1.1746, 0.006
# No valid score was below this share of the best accepted one.
IMPLAUSIBLE_SHARE = 0.9
# A tokenizer of web text has fewer bytes per token; with fewer tokens than this gives, a text is not the whole one.
MOST_BYTES_PER_TOKEN = 6.0
# Whole windows hold at least this share of the validation tokens.
WHOLE_SHARE = 0.999


def metric_verdicts(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """Yield the verdicts on the byte count, the validation text and the plausibility of the score."""
    fewest = MIN_TOKEN_SHARE * ruleset.fewest_validation_tokens
    measured = [run for run in facts.runs if run.implied_bytes is not None and (run.validation_tokens or 0) >= fewest]
    yield from chain(check_bytes(facts, measured, ruleset), check_text(facts, ruleset))
    yield check_plausibility(facts, ruleset)


def check_bytes(facts: Facts, measured: list[RunFacts], ruleset: Ruleset) -> Iterator[Verdict]:
    """Compare the bytes that tokens, loss and bits per byte imply with those of the validation text."""
    text = ruleset.validation_bytes
    if not measured or text is None:
        yield from check_bytes_per_token(facts, ruleset)
        return
    shares = [(run.implied_bytes or 0) / text for run in measured]
    # Too many bytes favor the author; too few do not, and matter only if no run has too many.
    share = max(shares) if max(shares) > 1 + BYTES_TOLERANCE else min(shares)
    worst = measured[shares.index(share)]
    implied = (worst.implied_bytes or 0) / 1e6
    message = f"{worst.validation_tokens:,} tokens at {worst.bytes_per_token:.4f} bytes per token are {implied:.2f} MB"
    message += f"; the validation text has {text / 1e6:.2f} MB"
    if abs(share - 1) <= BYTES_TOLERANCE:
        severity, message = facts.pass_if_all("implied_bytes", message)
        yield make_verdict("BPB-IDENTITY", severity, message, "numbers", worst.log)
        return
    message += f", a ratio of {share:.3f}"
    if doubt := doubt_of_miscount(share, worst.validation_tokens or 0, ruleset):
        yield make_verdict("BPB-IDENTITY", "warn", f"{message}; {doubt}", "numbers", worst.log)
        return
    problem = facts.problems.get("bytes_per_token_implausible")
    found: Severity = "fail" if problem is None else problem.severity
    yield make_verdict("BPB-IDENTITY", found, message, "numbers", worst.log)
    yield from check_cause(worst, share, found, ruleset)


def check_cause(run: RunFacts, share: float, severity: Severity, ruleset: Ruleset) -> Iterator[Verdict]:
    """Yield the known miscount that a wrong byte count looks like."""
    if abs(share - SPACE_TWICE) <= SPACE_TOLERANCE:
        message = f"{share:.4f} times the bytes of the text, which is what counting each leading space twice gives"
        yield make_verdict("SPACE-ONCE", severity, message, "numbers", run.log)
    elif share > 1 and (run.validation_tokens or 0) > 0 and not is_known(run.validation_tokens or 0, ruleset):
        message = f"{share:.4f} times the bytes of the text: an unknown tokenizer that counts bytes which do not exist"
        yield make_verdict("BYTE-TOKENS", "warn", message, "numbers", run.log)


def check_bytes_per_token(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """Compare bytes per token with those of known tokenizers, where no log gives the number of scored tokens."""
    # A part of the text may have other words than the whole one, and so another ratio.
    whole = [run.bytes_per_token for run in facts.runs if not is_part_of_text(run, ruleset)]
    ratios = list(filter(None, [*whole, facts.claimed_bytes_per_token]))
    if not ratios:
        message = "no log gives tokens, loss and bits per byte of the whole text together"
        yield make_verdict("BPB-IDENTITY", "unknown", message, "numbers")
        return
    text = ruleset.validation_bytes
    known = {name: text / data.validation_tokens[0] for name, data in ruleset.data.items()} if text else {}
    if not known:
        message = f"{ruleset.label} states no bytes per token to compare {ratios[0]:.4f} bytes per token with"
        yield make_verdict("BPB-IDENTITY", "unknown", message, "numbers")
        return
    ratio = max(ratios, key=lambda ratio: min(abs(ratio / other - 1) for other in known.values()))
    nearest = min(known, key=lambda name: abs(ratio / known[name] - 1))
    message = f"{ratio:.4f} bytes per token; the nearest known tokenizer, {nearest}, has {known[nearest]:.4f}"
    if abs(ratio / known[nearest] - 1) <= BYTES_TOLERANCE:
        yield make_verdict("BPB-IDENTITY", *facts.pass_if_all("bytes_per_token", message), "numbers")
        return
    yield make_verdict("BPB-IDENTITY", "warn", message, "numbers")
    twice = next((name for name in known if abs(ratio / known[name] - SPACE_TWICE) <= SPACE_TOLERANCE), None)
    if twice is not None:
        message = f"{ratio:.4f} bytes per token is what {twice} has when each leading space is counted twice"
        yield make_verdict("SPACE-ONCE", "warn", message, "numbers")


def is_known(tokens: int, ruleset: Ruleset) -> bool:
    """Return whether a known tokenizer's whole validation set, or its whole windows, has this number of tokens."""
    ranges = [data.validation_tokens for data in ruleset.data.values()]
    return any(low * WHOLE_SHARE <= tokens <= high for low, high in ranges)


def check_text(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """Check by the number of tokens that the whole validation text was scored."""
    counts = sorted({int(count) for count in facts.run_values("validation_tokens")})
    if not counts:
        yield make_verdict("VAL-IS-CANONICAL", "unknown", "no log gives the number of scored tokens", "numbers")
        return
    logs = {run.validation_tokens: run.log for run in facts.runs}
    for count in counts:
        if refused := next((export for export in ruleset.refused_exports if export.has_tokens(count)), None):
            message = f"{count:,} validation tokens are those of {refused.name}"
            # Where an export is known by the bytes of its validation text, that is a whole text.
            severity: Severity = "fail" if refused.validation_bytes is None else "warn"
            yield make_verdict("VAL-IS-CANONICAL", severity, message, "numbers", logs[count])
            if refused.train_shards:
                message += ", which trains on validation documents"
                yield make_verdict("TRAIN-VAL-DISJOINT", "warn", message, "numbers", logs[count])
            return
    if short := next((run for run in facts.runs if is_part_of_text(run, ruleset)), None):
        fewest = ruleset.fewest_validation_tokens
        message = f"{short.validation_tokens:,} tokens were scored; the whole text has at least {fewest:,}"
        yield make_verdict("VAL-IS-CANONICAL", "fail", f"{message} with any known tokenizer", "numbers", short.log)
    elif strange := [count for count in counts if not is_known(count, ruleset)]:
        message = f"{strange[0]:,} tokens were scored; no known tokenizer gives that number for the whole text"
        yield make_verdict("VAL-IS-CANONICAL", "unknown", message, "numbers", logs[strange[0]])
    else:
        verdict = facts.pass_if_all("validation_tokens", f"{counts[0]:,} tokens were scored, the whole text")
        yield make_verdict("VAL-IS-CANONICAL", *verdict, "numbers", logs[counts[0]])


def is_part_of_text(run: RunFacts, ruleset: Ruleset) -> bool:
    """Return whether a run scored a part of the text, by its bytes; else by so few tokens that no tokenizer has them.

    The number may be that of one process, of which each scores an equal share.
    """
    tokens, text = run.validation_tokens, ruleset.validation_bytes
    if tokens is None or text is None or is_known(tokens * (run.processes or 1), ruleset):
        return False
    implied = run.implied_bytes
    if implied is not None:
        return implied < MIN_TOKEN_SHARE * text and tokens < MIN_TOKEN_SHARE * ruleset.fewest_validation_tokens
    return tokens < text / MOST_BYTES_PER_TOKEN


def check_plausibility(facts: Facts, ruleset: Ruleset) -> Verdict:
    """Check that the score is not far below all accepted ones, as scores without normalised probabilities are."""
    scores = [*facts.run_values("val_bpb"), *filter(None, (facts.headline,))]
    best = ruleset.best_accepted_bpb
    if not scores:
        return make_verdict("C2-NORMALISED", "unknown", "there is no score", "numbers")
    if best is not None and min(scores) < IMPLAUSIBLE_SHARE * best:
        message = f"{min(scores)} bpb, far below the best accepted score of {best} bpb"
        cause = "probabilities that sum to more than one give such scores"
        return make_verdict("C2-NORMALISED", "warn", f"{message}; {cause}", "numbers")
    message = "numbers do not show whether the probabilities sum to one"
    return make_verdict("C2-NORMALISED", "unknown", message, "numbers")
