"""Gates of the training data, by what public exports are known for."""

from collections.abc import Iterator

from pgolf.audit.facts import Facts
from pgolf.audit.verdicts import Verdict, settled
from pgolf.rulesets.ruleset import Ruleset


def data_verdicts(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """Whether training text holds validation text, as far as numbers of shards show."""
    counts = sorted(set(facts.of_runs("train_shards")))
    leaky = {count: export for export in ruleset.refused_exports for count in export.train_shards}
    found = [count for count in counts if count in leaky]
    if found:
        words = f"{found[0]:,} training shards are those of {leaky[found[0]].name}"
        yield settled("TRAIN-VAL-DISJOINT", "fail", f"{words}: {leaky[found[0]].explanation}", "numbers")
    else:
        seen = ", ".join(map(str, counts)) or "no log says how many"
        words = f"{seen} training shards; their number does not show what is in them"
        yield settled("TRAIN-VAL-DISJOINT", "unknown", words, "numbers")
    if counts == [1]:
        words = "one training shard: the validation shard is one as well"
        yield settled("NO-VAL-IN-ARTIFACT", "warn", words, "numbers")
    else:
        yield settled("NO-VAL-IN-ARTIFACT", "unknown", "logs do not show which shards were trained on", "numbers")
