"""Is the data what its manifest says? Quickly before every run, thoroughly on request."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from pgolf.data.manifests import Manifest, ShardEntry, read_manifest
from pgolf.data.shards import read_shard, split_documents
from pgolf.data.tokenizers import ScoredBytes, load_tokenizer_file
from pgolf.errors import DataError
from pgolf.findings import Finding
from trainer.recipe.files import DataFiles, read_json, write_json

CHUNK_BYTES = 1 << 22


def check_files(folder: Path, cache: Path | None = None) -> Manifest:
    """The manifest, once every file has the SHA-256 that stands in it.

    Hashes are remembered by path, size and modification time, so that only changed files are read again.
    Raises: DataError naming the first file that differs.
    """
    manifest = read_manifest(folder)
    known = HashCache(cache or user_cache_path("pgolf") / "hashes.json")
    files = DataFiles(folder)
    expected = {files.tokenizer: manifest.tokenizer.sha256}
    expected |= {files.shard(entry.file): entry.sha256 for entry in entries(manifest)}
    for path, sha256 in expected.items():
        if not path.is_file():
            raise DataError(f"{path} is missing; the manifest names it. Prepare or fetch the data again")
        if (found := known.sha256(path)) != sha256:
            raise DataError(
                f"{path} has SHA-256 {found[:12]}..., the manifest says {sha256[:12]}...; the file was changed or cut "
                "short. Prepare or fetch the data again"
            )
    known.save()
    return manifest


def entries(manifest: Manifest) -> Iterator[ShardEntry]:
    """Every shard."""
    yield from manifest.train.shards
    yield from manifest.validation.shards


class HashCache:
    """SHA-256 of files, kept between runs. A cache that cannot be read or written only costs time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.has_news = False
        self.known: dict[str, str] = {}
        with suppress(OSError, ValueError):
            self.known = read_json(path)

    def sha256(self, file: Path) -> str:
        """The hash of a file."""
        status = file.stat()
        key = f"{file.resolve()}|{status.st_size}|{status.st_mtime_ns}"
        if key not in self.known:
            digest = hashlib.sha256()
            with file.open("rb") as content:
                while chunk := content.read(CHUNK_BYTES):
                    digest.update(chunk)
            self.known[key] = digest.hexdigest()
            self.has_news = True
        return self.known[key]

    def save(self) -> None:
        """Nothing; other processes find the new hashes."""
        if not self.has_news:
            return
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, self.known)


def verify_contents(folder: Path) -> list[Finding]:
    """Findings of a full read: hashes, counts of documents, tokens and bytes, and no document on both sides.

    Raises: DataError when a file cannot be read as what it is.
    """
    manifest = check_files(folder)
    findings = [Finding("pass", "sha256", f"{len(list(entries(manifest))) + 1} files are the ones of the manifest")]
    tokenizer = load_tokenizer_file(DataFiles(folder).tokenizer)
    scored_bytes = ScoredBytes(tokenizer)
    sides: dict[str, set[bytes]] = {}
    for name, split in (("train", manifest.train), ("validation", manifest.validation)):
        found = {"documents": 0, "tokens": 0, "bytes": 0}
        sides[name] = set()
        for tokens in read_documents_of(folder, split.shards, tokenizer, found):
            sides[name].add(hashlib.sha256(tokens.tobytes()).digest())
            found["documents"] += 1
            found["bytes"] += scored_bytes.count(tokens.tolist())
        findings += [
            compare_count(f"{name}_{unit}", found[unit], getattr(split, unit))
            for unit in ("documents", "tokens", "bytes")
        ]
    shared = sides["train"] & sides["validation"]
    fix = "prepare the data again; pgolf splits by document text" if shared else None
    message = f"{len(shared)} documents stand on both sides" if shared else "no document stands on both sides"
    findings.append(Finding("fail" if shared else "pass", "disjoint", message, fix))
    return findings


def read_documents_of(folder: Path, shards: list[ShardEntry], tokenizer: Any, found: dict[str, int]) -> Iterator[Any]:
    """The token arrays of documents, which may cross from one shard into the next; counts tokens on the way.

    Raises: DataError naming a shard that holds a token the tokenizer does not have.
    """
    import numpy as np

    begin, size = tokenizer.bos_id(), tokenizer.get_piece_size()
    rest = np.empty(0, dtype=np.uint16)
    for entry in shards:
        tokens = read_shard(folder / entry.file)
        if len(tokens) and int(tokens.max()) >= size:
            raise DataError(f"{folder / entry.file}: token {tokens.max()} is not among the tokenizer's {size:,} pieces")
        found["tokens"] += len(tokens)
        try:
            *whole, last = [*split_documents(np.concatenate((rest, tokens)), begin)] or [rest]
        except DataError as error:
            raise DataError(f"{folder / entry.file}: {error}") from error
        yield from whole
        if len(tokens):
            rest = np.concatenate((np.array([begin], dtype=np.uint16), last))
    if len(rest):
        yield rest[1:]


def compare_count(rule: str, found: int, expected: int) -> Finding:
    if found == expected:
        return Finding("pass", rule, f"{found:,}")
    return Finding("fail", rule, f"found {found:,}, the manifest says {expected:,}", "prepare the data again")
