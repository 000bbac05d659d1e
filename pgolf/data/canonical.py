"""Is an export the contest's? Refused by name where it is known to leak or to be another text."""

from pgolf.data.exports import Export
from pgolf.errors import DataError
from pgolf.rulesets.ruleset import RefusedExport, Ruleset

TEXT_TOLERANCE = 0.001


def check_listing(name: str, export: Export, ruleset: Ruleset) -> None:
    """Nothing, if sizes and numbers of the files say nothing against the export.

    Raises: DataError naming the leak, or found and expected tokens.
    """
    tokens = export.validation_tokens
    train_shards = {len(export.train), export.announced_train_shards}
    for refused in ruleset.refused_exports:
        if refused.has_tokens(tokens):
            raise refusal(name, f"{tokens:,} validation tokens", refused)
        if shared := train_shards & {*refused.train_shards}:
            raise refusal(name, f"{shared.pop():,} training shards", refused)
    facts = ruleset.data.get(name)
    if facts and not facts.has_tokens(tokens):
        least, most = facts.validation_tokens
        raise DataError(
            f"{name} has {tokens:,} validation tokens here, the contest's export has {least:,} to {most:,}. It is "
            "another text or another tokenizer; its scores compare with nothing. `pgolf data list` names the repository"
        )


def refusal(name: str, found: str, refused: RefusedExport) -> DataError:
    return DataError(f"{name} has {found}: this is {refused.name}. {refused.explanation}")


def check_text(name: str, is_known: bool, validation_bytes: int, ruleset: Ruleset) -> str | None:
    """A note on a validation text that is not the contest's; None where it is.

    Raises: DataError for a known name with another text.
    """
    for refused in ruleset.refused_exports:
        if refused.validation_bytes and is_close(validation_bytes, refused.validation_bytes):
            raise refusal(name, f"{validation_bytes:,} bytes of validation text", refused)
    if is_close(validation_bytes, ruleset.validation_bytes):
        return None
    difference = (
        f"{validation_bytes:,} bytes of validation text; the contest's is {ruleset.validation_bytes:,} to "
        f"{TEXT_TOLERANCE:.1%}, whatever the tokenizer"
    )
    if is_known:
        raise DataError(
            f"{name} has {difference}. Scores on it compare with nothing; take the repository of `pgolf data list`"
        )
    return f"not the contest's data: {difference}. Its scores compare only among themselves"


def is_close(found: int, expected: int) -> bool:
    return abs(found - expected) <= TEXT_TOLERANCE * expected
