"""Gates of the training data: shard counts of exports that are known to be leaky."""

from collections.abc import Iterator

from pgolf.audit.facts import Facts
from pgolf.audit.verdicts import Verdict, make_verdict
from pgolf.rulesets.ruleset import Ruleset


def data_verdicts(facts: Facts, ruleset: Ruleset) -> Iterator[Verdict]:
    """Yield what the number of training shards shows about validation text in the training text."""
    counts = sorted(set(facts.run_values("train_shards")))
    leaky = {count: export for export in ruleset.refused_exports for count in export.train_shards}
    found = [count for count in counts if count in leaky]
    if found:
        export = leaky[found[0]]
        message = f"{found[0]:,} training shards are those of {export.name}: {export.explanation}"
        yield make_verdict("TRAIN-VAL-DISJOINT", "fail", message, "numbers")
    else:
        seen = f"{', '.join(map(str, counts))} training shards" if counts else "no log gives the number of shards"
        message = f"{seen}; numbers do not show what the shards contain"
        yield make_verdict("TRAIN-VAL-DISJOINT", "unknown", message, "numbers")
    if counts == [1]:
        message = "one training shard, which may be the validation shard"
        yield make_verdict("NO-VAL-IN-ARTIFACT", "warn", message, "numbers")
    else:
        message = "the logs do not show which shards were trained on"
        yield make_verdict("NO-VAL-IN-ARTIFACT", "unknown", message, "numbers")
