"""Is the data what its manifest says? Quickly before every run, thoroughly on request."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from pgolf.data.manifests import Manifest, ShardEntry, read_manifest
from pgolf.data.overlap import measure_overlap
from pgolf.data.shards import read_shard, split_documents
from pgolf.data.token_bytes import TokenBytes
from pgolf.data.tokenizers import load_tokenizer_file
from pgolf.errors import DataError
from pgolf.findings import Finding
from trainer.recipe.files import DataFiles, read_json, write_json

CHUNK_BYTES = 1 << 22
# Corpora of the web have some documents twice; shards that pgolf made have none.
TOLERATED_DUPLICATES = 0.001


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
    """Findings of a full read: hashes, counts of documents, tokens and bytes, and no text on both sides.

    Raises: DataError when a file cannot be read as what it is.
    """
    manifest = check_files(folder)
    findings = [Finding("pass", "sha256", f"{len(list(entries(manifest))) + 1} files are the ones of the manifest")]
    tokenizer = load_tokenizer_file(DataFiles(folder).tokenizer)
    sides: dict[str, set[bytes]] = {}
    for name, split in (("train", manifest.train), ("validation", manifest.validation)):
        counts = TokenBytes(tokenizer)
        documents = read_documents_of(folder, split.shards, counts)
        sides[name] = {hashlib.sha256(tokens.tobytes()).digest() for tokens in documents}
        findings += [
            compare_count(f"{name}_{unit}", getattr(counts, unit), getattr(split, unit))
            for unit in ("documents", "tokens", "bytes")
        ]
    findings.append(compare_sides(sides["train"], sides["validation"]))
    findings.append(measure_overlap(folder, manifest, tokenizer.bos_id()).finding())
    return findings


def compare_sides(train: set[bytes], validation: set[bytes]) -> Finding:
    """Whether documents stand on both sides, word for word."""
    shared = len(train & validation)
    if not shared:
        return Finding("pass", "disjoint", "no document stands on both sides")
    is_leak = shared > TOLERATED_DUPLICATES * len(validation)
    fix = "prepare the data again; pgolf splits by document text"
    return Finding("fail" if is_leak else "warn", "disjoint", f"{shared:,} documents stand on both sides", fix)


def read_documents_of(folder: Path, shards: list[ShardEntry], counts: TokenBytes) -> Iterator[Any]:
    """The token arrays of documents, which may cross from one shard into the next; counts them on the way.

    Raises: DataError naming a shard that holds a token the tokenizer does not have, or one before the first document.
    """
    import numpy as np

    rest = np.empty(0, dtype=np.uint16)
    for entry in shards:
        tokens = read_shard(folder / entry.file)
        try:
            counts.add(tokens)
            *whole, last = [*split_documents(np.concatenate((rest, tokens)), counts.begin)] or [rest]
        except DataError as error:
            raise DataError(f"{folder / entry.file}: {error}") from error
        yield from whole
        if len(tokens):
            rest = np.concatenate((np.array([counts.begin], dtype=np.uint16), last))
    if len(rest):
        yield rest[1:]


def compare_count(rule: str, found: int, expected: int) -> Finding:
    if found == expected:
        return Finding("pass", rule, f"{found:,}")
    return Finding("fail", rule, f"found {found:,}, the manifest says {expected:,}", "prepare the data again")
