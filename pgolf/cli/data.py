"""`pgolf data`: text to shards, and whether shards are what they say."""

from pathlib import Path
from typing import Annotated

import typer

from pgolf.cli.console import answer_console, findings_table, print_json, say
from pgolf.cli.options import Json
from pgolf.data.corpora import read_documents
from pgolf.data.prepare import Preparation
from pgolf.data.prepare import prepare as prepare_shards
from pgolf.data.references import describe_references, read_references
from pgolf.data.verify import verify_contents
from pgolf.errors import CheckFailed, UsageError
from pgolf.findings import failures

CORPUS_HELP = "A .jsonl or .jsonl.gz file with `text` in each line, a text file, or a folder of such files."
data_app = typer.Typer(no_args_is_help=True, help="Prepare and verify token shards.")


@data_app.command()
def prepare(
    path: Annotated[Path, typer.Argument(help=CORPUS_HELP)],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    tokenizer: Annotated[Path | None, typer.Option("--tokenizer", help="A SentencePiece .model to use.")] = None,
    vocabulary_size: Annotated[
        int | None, typer.Option("--vocab", help="Pieces of a tokenizer to train. Default: 1024.")
    ] = None,
    validation_fraction: Annotated[
        float, typer.Option("--val-fraction", min=0.0, max=1.0, help="Share of documents that are scored.")
    ] = 0.05,
    is_json: Json = False,
) -> None:
    """Split text by document, tokenize it and write shards with a manifest."""
    if tokenizer is not None and vocabulary_size is not None:
        raise UsageError("--tokenizer brings its own size; leave out --vocab")
    if (out / "manifest.json").exists():
        raise UsageError(f"{out} already holds shards; give another folder")
    preparation = Preparation(
        name=out.resolve().name,
        out=out,
        validation_fraction=validation_fraction,
        tokenizer=tokenizer,
        vocabulary_size=vocabulary_size or 1024,
    )
    manifest = prepare_shards(read_documents(path), preparation, say)
    if is_json:
        print_json(manifest.model_dump() | {"sha256": manifest.sha256})
        return
    for name, split in (("train", manifest.train), ("validation", manifest.validation)):
        typer.echo(f"{name}: {split.documents:,} documents, {split.tokens:,} tokens, {split.bytes:,} bytes")
    references = read_references(out)
    if references is not None:
        typer.echo(f"validation text: {describe_references(references)}")
    typer.echo(f"use it with recipe.data: {{kind: shards, folder: {out}}}")


@data_app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of shards.")],
    is_json: Json = False,
) -> None:
    """Read everything and compare it with the manifest: hashes, counts, no document on both sides."""
    findings = verify_contents(folder)
    if is_json:
        print_json({"folder": str(folder), "checks": [finding.as_json() for finding in findings]})
    else:
        answer_console().print(findings_table(findings))
    if failed := failures(findings):
        raise CheckFailed(f"{folder} is not what its manifest says: {', '.join(finding.rule for finding in failed)}")
