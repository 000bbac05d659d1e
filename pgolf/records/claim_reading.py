"""Reading of the claims of a folder, from submission.json and from README.md."""

from pathlib import Path

from pgolf.records.claims import Claims
from pgolf.records.readme import add_readme, find_readme
from pgolf.records.submission_json import FILE, add_submission, read_document
from trainer.dialects.plain import plain


def read_claims(folder: Path) -> Claims:
    """Read the claims of a folder; where submission.json is missing or broken, they say why."""
    claims = Claims(name=plain(folder.name))
    if (folder / FILE).exists():
        document = read_document(folder / FILE)
        if isinstance(document, str):
            claims.submission_error = f"{FILE} {document}"
        else:
            add_submission(claims, document)
    else:
        claims.submission_error = f"{FILE} is missing"
    if (readme := find_readme(folder)) is not None:
        add_readme(claims, readme)
    return claims
