"""Gates of the metric: bytes, tokens and bits, as far as numbers show."""

from collections.abc import Iterator
from itertools import chain

from pgolf.audit.facts import Facts, RunFacts
from pgolf.audit.verdicts import Verdict, settled
from pgolf.records.problems import BYTES_TOLERANCE, MIN_TOKEN_SHARE
from pgolf.rulesets.ruleset import Ruleset

# What counting every leading space twice adds to the bytes of English web text (#1719, #1734: 1.1746).
SPACE_TWICE, SPACE_TOLERANCE = 1.1746, 0.006
# Below the best accepted row by so much nothing honest was ever seen.
IMPLAUSIBLE_SHARE = 0.9
WHOLE = 0.999


def metric_verdicts(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """Byte identity, canonical validation text, plausibility."""
    fewest = MIN_TOKEN_SHARE * min(
        (low for low, _ in (data.validation_tokens for data in ruleset.data.values())), default=0
    )
    measured = [run for run in facts.runs if run.implied_bytes is not None and (run.validation_tokens or 0) >= fewest]
    yield from chain(identity(facts, measured, ruleset), canonical(facts, ruleset), plausible(facts, ruleset))


def identity(facts: Facts, measured: list[RunFacts], ruleset: Ruleset) -> Iterator[Verdict]:
    """Whether tokens, loss and bits per byte give the bytes of the validation text."""
    if not measured:
        yield from identity_by_ratio(facts, ruleset)
        return
    worst = max(measured, key=lambda run: abs((run.implied_bytes or 0) / ruleset.validation_bytes - 1))
    share = (worst.implied_bytes or 0) / ruleset.validation_bytes
    implied = (worst.implied_bytes or 0) / 1e6
    words = f"{worst.validation_tokens:,} tokens of {worst.bytes_a_token:.4f} bytes are {implied:.2f} MB"
    expected = f"the validation text has {ruleset.validation_bytes / 1e6:.2f} MB"
    if abs(share - 1) <= BYTES_TOLERANCE:
        yield settled("BPB-IDENTITY", "pass", f"{words}; {expected}", "numbers", worst.place)
        return
    yield settled("BPB-IDENTITY", "fail", f"{words}; {expected}, {share:.3f} times as much", "numbers", worst.place)
    yield from cause(worst, share, ruleset)


def cause(run: RunFacts, share: float, ruleset: Ruleset) -> Iterator[Verdict]:
    """What a wrong byte count looks like."""
    if abs(share - SPACE_TWICE) <= SPACE_TOLERANCE:
        words = f"{share:.4f} times the bytes of the text is what counting each leading space twice gives"
        yield settled("SPACE-ONCE", "fail", words, "numbers", run.place)
    elif share > 1 and (run.validation_tokens or 0) > 0 and not is_known(run.validation_tokens or 0, ruleset):
        words = f"{share:.4f} times the bytes of the text: a tokenizer of its own that counts bytes which are not there"
        yield settled("BYTE-TOKENS", "warn", words, "numbers", run.place)


def identity_by_ratio(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """The same where no log says how many tokens were scored: bytes a token beside those of known tokenizers."""
    ratios = [*facts.of_runs("bytes_a_token"), *filter(None, (facts.claimed_bytes_a_token,))]
    if not ratios:
        yield settled("BPB-IDENTITY", "unknown", "no log gives tokens, loss and bits per byte together", "numbers")
        return
    known = {name: ruleset.validation_bytes / data.validation_tokens[0] for name, data in ruleset.data.items()}
    ratio = max(ratios, key=lambda ratio: min(abs(ratio / other - 1) for other in known.values()))
    name = min(known, key=lambda name: abs(ratio / known[name] - 1))
    share = ratio / known[name]
    words = f"{ratio:.4f} bytes a token; {name} has {known[name]:.4f}"
    if abs(share - 1) <= BYTES_TOLERANCE:
        yield settled("BPB-IDENTITY", "pass", words, "numbers")
        return
    twice = next((each for each in known if abs(ratio / known[each] - SPACE_TWICE) <= SPACE_TOLERANCE), None)
    yield settled("BPB-IDENTITY", "warn", f"{words}, and no known tokenizer is nearer", "numbers")
    if twice is not None:
        words = f"{ratio:.4f} bytes a token is what {twice} has when each leading space is counted twice"
        yield settled("SPACE-ONCE", "warn", words, "numbers")


def is_known(tokens: int, ruleset: Ruleset) -> bool:
    """Whether a whole validation set has so many tokens, or so many in whole windows."""
    return any(low * WHOLE <= tokens <= high for low, high in (d.validation_tokens for d in ruleset.data.values()))


def canonical(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """Whether the whole validation text was scored."""
    counts = sorted({int(count) for count in facts.of_runs("validation_tokens")})
    if not counts:
        yield settled("VAL-IS-CANONICAL", "unknown", "no log says how many tokens were scored", "numbers")
        return
    places = {run.validation_tokens: run.place for run in facts.runs}
    for count in counts:
        if refused := next((export for export in ruleset.refused_exports if export.has_tokens(count)), None):
            yield settled(
                "VAL-IS-CANONICAL", "fail", f"{count:,} tokens are of {refused.name}", "numbers", places[count]
            )
            if refused.train_shards:
                words = f"{count:,} validation tokens are of {refused.name}, which trains on validation documents"
                yield settled("TRAIN-VAL-DISJOINT", "warn", words, "numbers", places[count])
            return
    fewest = min(low for low, _ in (data.validation_tokens for data in ruleset.data.values()))
    if short := [count for count in counts if count < MIN_TOKEN_SHARE * fewest]:
        words = f"{short[0]:,} tokens were scored; no known tokenizer makes fewer than {fewest:,} of the whole text"
        yield settled("VAL-IS-CANONICAL", "fail", words, "numbers", places[short[0]])
    elif strange := [count for count in counts if not is_known(count, ruleset)]:
        words = f"{strange[0]:,} tokens are of no known tokenizer's whole validation text"
        yield settled("VAL-IS-CANONICAL", "unknown", words, "numbers", places[strange[0]])
    else:
        yield settled("VAL-IS-CANONICAL", "pass", f"{counts[0]:,} tokens, the whole text", "numbers", places[counts[0]])


def plausible(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """Whether a score is one that a normalised model could have. Far below all accepted rows it is a question."""
    scores = [*facts.of_runs("val_bpb"), *filter(None, (facts.headline,))]
    best = ruleset.best_accepted_bpb
    if not scores:
        yield settled("C2-NORMALISED", "unknown", "there is no score", "numbers")
    elif best is not None and min(scores) < IMPLAUSIBLE_SHARE * best:
        words = (
            f"{min(scores)} bpb, where the best accepted row has {best}: mixtures that sum to more than one score so"
        )
        yield settled("C2-NORMALISED", "warn", words, "numbers")
    else:
        yield settled("C2-NORMALISED", "unknown", "numbers do not show whether the probabilities sum to one", "numbers")
