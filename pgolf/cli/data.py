"""`pgolf data`: prepare, fetch, list and verify token shards."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pgolf.cli.completion import complete_export
from pgolf.cli.display.console import answer_console, findings_table, print_json, printable, say
from pgolf.cli.display.fetch import fetch_display
from pgolf.cli.display.table import Column, FittedTable
from pgolf.cli.options import Json
from pgolf.data.corpora import read_documents
from pgolf.data.fetch import DEFAULT_TRAIN_SHARDS, FetchRequest, fetch
from pgolf.data.fetched_folder import source_json
from pgolf.data.manifests import Manifest
from pgolf.data.overlap import NAMED_DOCUMENTS, Overlap
from pgolf.data.prepare import Preparation
from pgolf.data.prepare import prepare as prepare_shards
from pgolf.data.prepared_folder import Dropped
from pgolf.data.references import describe_references, read_references
from pgolf.data.sources import SOURCES
from pgolf.data.verify import verify_contents
from pgolf.errors import CheckFailed, Interrupted, UsageError
from pgolf.findings import failures
from pgolf.rulesets.ruleset import load_ruleset
from trainer.recipe.data import Transform

CORPUS_HELP = "A .jsonl or .jsonl.gz file with a `text` in each line, a text file, or a folder of such files."
TRANSFORM_HELP = (
    "Rewrite the text before it is tokenized. `caseops` writes capitals as operators and lower-case letters; scores "
    "count the bytes of the original text (docs/data.md)."
)
data_app = typer.Typer(no_args_is_help=True, help="Prepare, fetch and verify token shards.")
RULESET = "parameter_golf"
DATA_FOLDER = Path("data")


@data_app.command(short_help="Tokenize text into shards with a manifest.")
def prepare(
    path: Annotated[Path, typer.Argument(metavar="PATH", help=CORPUS_HELP)],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", help="SentencePiece .model to use instead of training one.")
    ] = None,
    vocabulary_size: Annotated[
        int | None, typer.Option("--vocab", help="Vocabulary size of the tokenizer to train. Default: 1024.")
    ] = None,
    validation_fraction: Annotated[
        float, typer.Option("--val-fraction", min=0.0, max=1.0, help="Share of documents in the validation split.")
    ] = 0.05,
    is_overlap_dropped: Annotated[
        bool,
        typer.Option(
            "--drop-overlap",
            help="Leave out training documents that are near duplicates of validation documents, or contain text of "
            "them. The validation text is the same with and without this option (docs/data.md).",
        ),
    ] = False,
    transform: Annotated[Transform | None, typer.Option("--transform", help=TRANSFORM_HELP)] = None,
    is_json: Json = False,
) -> None:
    """Split text by document, tokenize it and write shards with a manifest. A complete folder is left as it is."""
    if tokenizer is not None and vocabulary_size is not None:
        raise UsageError("--vocab cannot be combined with --tokenizer, which has its own vocabulary size")
    preparation = Preparation(
        name=out.resolve().name,
        out=out,
        validation_fraction=validation_fraction,
        tokenizer=tokenizer,
        vocabulary_size=vocabulary_size or 1024,
        is_overlap_dropped=is_overlap_dropped,
        transform=transform,
    )
    try:
        prepared = prepare_shards(read_documents(path), preparation, say)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; the same command prepares {out} from the start") from None
    manifest = prepared.manifest
    if is_json:
        dropped = [asdict(document) for document in prepared.dropped]
        answer = {"sha256": manifest.sha256, "overlap": prepared.overlap.model_dump(), "dropped": dropped}
        print_json(manifest.document() | answer)
        return
    print_splits(manifest)
    if is_overlap_dropped:
        print_dropped(prepared.dropped)
    print_overlap(prepared.overlap)
    references = read_references(out)
    if references is not None:
        typer.echo(f"validation text: {describe_references(references)}")
    key = "" if transform is None else f", transform: {transform}"
    typer.echo(f"use it with recipe.data: {{kind: shards, folder: {out}{key}}}")


def print_splits(manifest: Manifest) -> None:
    """Print one line per split."""
    for name, split in (("train", manifest.train), ("validation", manifest.validation)):
        typer.echo(f"{name}: {split.documents:,} documents, {split.tokens:,} tokens, {split.bytes:,} bytes")


def print_dropped(dropped: list[Dropped]) -> None:
    """Print how many training documents were left out and which; at most ten of each reason."""
    for reason, why in (
        ("near_duplicate", "as near duplicates of validation documents"),
        ("shared_text", "for text that they share with validation documents"),
    ):
        names = [document.id for document in dropped if document.reason == reason]
        listed = ", ".join(names[:NAMED_DOCUMENTS])
        others = f" and {len(names) - NAMED_DOCUMENTS:,} more" if len(names) > NAMED_DOCUMENTS else ""
        typer.echo(f"left out of training {why}: {len(names):,}{f' ({printable(listed)}{others})' if names else ''}")


def print_overlap(overlap: Overlap) -> None:
    """Print the verdict on the overlap of the splits, unless there is none, and the documents in both."""
    if overlap.overlapping:
        answer_console().print(findings_table([overlap.finding()]))
        print_overlapping(overlap)


def print_overlapping(overlap: Overlap) -> None:
    """Print the validation documents that are in the training text; at most ten, then a count."""
    for line in overlap.describe_documents():
        typer.echo(printable(line))


@data_app.command("fetch")
def fetch_export(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A published export; `pgolf data list` shows the known names.",
            autocompletion=complete_export,
        ),
    ],
    train_shards: Annotated[
        int | None,
        typer.Option(
            "--train-shards", metavar="N", help=f"Fetch the first N training shards. Default: {DEFAULT_TRAIN_SHARDS}."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write. Default: data/NAME.")] = None,
    repository: Annotated[
        str | None,
        typer.Option("--from", metavar="OWNER/REPO", help="Fetch from this Hugging Face dataset repository instead."),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", metavar="URL", help="Fetch from this hub instead; no token is sent to it."),
    ] = None,
    is_json: Json = False,
) -> None:
    """Fetch a published export and check every file. A stopped fetch is resumed; leaky exports are refused."""
    folder = out or DATA_FOLDER / name
    request = FetchRequest(name, folder, train_shards, repository, endpoint)
    try:
        with fetch_display() as display:
            fetched = fetch(request, load_ruleset(RULESET), display)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {folder} keeps the complete files, and the same command resumes it") from None
    manifest = fetched.manifest
    if is_json:
        answer = {"sha256": manifest.sha256, "folder": str(folder), "source": fetched.source, "notes": fetched.notes}
        print_json(manifest.document() | answer)
        return
    print_splits(manifest)
    typer.echo(f"{fetched.source['repository']} at {fetched.source['revision']}, manifest {manifest.sha256[:12]}")
    for note in fetched.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"use it with recipe.data: {{kind: shards, folder: {folder}}}")


@data_app.command("list", short_help="List the known published exports.")
def list_exports(is_json: Json = False) -> None:
    """List the published exports that are known by name, and which of them are in ./data."""
    rows = [source_json(source, load_ruleset(RULESET), DATA_FOLDER) for source in SOURCES.values()]
    if is_json:
        print_json({"exports": rows})
        return
    table = FittedTable(
        Column("name"),
        Column("vocabulary", "number", priority=2),
        Column("validation tokens", "number", priority=1),
        Column(f"in ./{DATA_FOLDER}"),
    )
    for row in rows:
        tokens = row["validation_tokens"]
        table.add_row(
            row["name"],
            f"{row['vocabulary_size']:,}" if row["vocabulary_size"] else "",
            f"{tokens[0]:,} to {tokens[1]:,}" if tokens else "",
            row["revision_here"][:7] if row["revision_here"] else "",
        )
        table.add_note(f"{row['repository']}: {row['note']}")
    answer_console().print(table)


@data_app.command(short_help="Check shards against their manifest.")
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of shards.")],
    is_json: Json = False,
) -> None:
    """Check shards against their manifest: hashes, counts, and whether validation text is in the training text."""
    verified = verify_contents(folder)
    if is_json:
        checks = [finding.as_json() for finding in verified.findings]
        print_json({"folder": str(folder), "checks": checks, "overlap": verified.overlap.model_dump()})
    else:
        answer_console().print(findings_table(verified.findings))
        print_overlapping(verified.overlap)
    if failed := failures(verified.findings):
        raise CheckFailed(f"data verify failed: {', '.join(finding.rule for finding in failed)}")
