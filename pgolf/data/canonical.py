"""Checks whether an export is the contest's data; known leaky or outdated exports are refused by name."""

from pgolf.data.exports import Export
from pgolf.errors import DataError
from pgolf.rulesets.ruleset import RefusedExport, Ruleset

TEXT_TOLERANCE = 0.001


def check_listing(name: str, export: Export, ruleset: Ruleset) -> None:
    """Check an export by the number and the sizes of its files, before any shard is downloaded.

    Raises:
        DataError: it is a known bad export, or has another number of tokens.
    """
    tokens = export.validation_tokens
    train_shards = {len(export.train), export.announced_train_shards}
    for refused in ruleset.refused_exports:
        if refused.has_tokens(tokens):
            raise refused_export_error(name, f"{tokens:,} validation tokens", refused)
        if shared := train_shards & {*refused.train_shards}:
            raise refused_export_error(name, f"{shared.pop():,} training shards", refused)
    facts = ruleset.data.get(name)
    if facts and not facts.has_tokens(tokens):
        least, most = facts.validation_tokens
        raise DataError(
            f"{name}: found {tokens:,} validation tokens, expected {least:,} to {most:,} as in the contest's export. "
            "The text or the tokenizer is different, so scores would not be comparable. `pgolf data list` shows the "
            "repository to use"
        )


def refused_export_error(name: str, found: str, refused: RefusedExport) -> DataError:
    return DataError(f"{name} has {found}: this is {refused.name}. {refused.explanation}")


def check_text(name: str, is_known: bool, validation_bytes: int, ruleset: Ruleset) -> str | None:
    """Return a note if the validation text is not the contest's, else None.

    Raises:
        DataError: the name promises the contest's text (`is_known`) and it is not, or the export is a known bad one.
    """
    for refused in ruleset.refused_exports:
        if refused.validation_bytes and is_close(validation_bytes, refused.validation_bytes):
            raise refused_export_error(name, f"{validation_bytes:,} bytes of validation text", refused)
    if ruleset.validation_bytes is None or is_close(validation_bytes, ruleset.validation_bytes):
        return None
    difference = (
        f"{validation_bytes:,} bytes of validation text, the contest's has {ruleset.validation_bytes:,} "
        f"(within {TEXT_TOLERANCE:.1%}) with every tokenizer"
    )
    if is_known:
        raise DataError(
            f"{name} has {difference}. Scores would not be comparable; use the repository that `pgolf data list` shows"
        )
    return f"not the contest's data: {difference}. Compare its scores only with each other"


def is_close(found: int, expected: int) -> bool:
    return abs(found - expected) <= TEXT_TOLERANCE * expected
