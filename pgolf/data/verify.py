"""Verifies data against its manifest: file hashes before every run, full contents on request."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from pgolf.data.manifests import Manifest, ShardEntry, Split, read_manifest
from pgolf.data.overlap import Overlap, keep_overlap, measure_overlap
from pgolf.data.token_bytes import StreamCounter, check_sidecars
from pgolf.data.tokenizers import load_tokenizer_file
from pgolf.errors import DataError
from pgolf.findings import Finding
from trainer.recipe.data import SHARD_HEADER_BYTES, TOKEN_BYTES
from trainer.recipe.files import DataFiles
from trainer.recipe.reading import MOST_BYTES, read_json
from trainer.recipe.writing import write_json

CHUNK_BYTES = 1 << 22


def check_files(folder: Path, cache: Path | None = None) -> Manifest:
    """Verify every file's SHA-256 and return the manifest.

    Hashes are cached by path, size and modification time, so that only changed files are read again.

    Raises:
        DataError: a file differs; names the first one.
    """
    manifest = read_manifest(folder)
    known = HashCache(cache or user_cache_path("pgolf") / "hashes.json")
    files = DataFiles(folder)
    expected = {files.tokenizer: manifest.tokenizer.sha256}
    expected |= {files.shard(entry.file): entry.sha256 for entry in shard_entries(manifest)}
    largest = {files.tokenizer: MOST_BYTES}
    largest |= {
        files.shard(entry.file): SHARD_HEADER_BYTES + TOKEN_BYTES * entry.tokens for entry in shard_entries(manifest)
    }
    for path, sha256 in expected.items():
        if not path.is_file():
            raise DataError(f"{path} is missing, although the manifest lists it. Prepare or fetch the data again")
        if (size := path.stat().st_size) > largest[path]:  # a file without end would be hashed without end
            raise DataError(
                f"{path}: found {size:,} bytes, expected at most {largest[path]:,} by the manifest. Prepare or fetch "
                "the data again"
            )
        if (found := known.sha256(path)) != sha256:
            raise DataError(
                f"{path}: found SHA-256 {found[:12]}..., expected {sha256[:12]}... by the manifest; the file was "
                "changed or truncated. Prepare or fetch the data again"
            )
    known.save()
    return manifest


def shard_entries(manifest: Manifest) -> Iterator[ShardEntry]:
    """Yield the entries of both splits."""
    yield from manifest.train.files
    yield from manifest.validation.files


class HashCache:
    """SHA-256 of files, kept between runs. If the cache file cannot be read or written, files are hashed again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.has_changed = False
        self.known: dict[str, str] = {}
        with suppress(OSError, ValueError):
            self.known = {key: digest for key, digest in read_json(path).items() if isinstance(digest, str)}

    def sha256(self, file: Path) -> str:
        """Return the hash of a file, from the cache if the file is unchanged."""
        status = file.stat()
        key = f"{file.resolve()}|{status.st_size}|{status.st_mtime_ns}"
        if key not in self.known:
            digest = hashlib.sha256()
            with file.open("rb") as content:
                while chunk := content.read(CHUNK_BYTES):
                    digest.update(chunk)
            self.known[key] = digest.hexdigest()
            self.has_changed = True
        return self.known[key]

    def save(self) -> None:
        """Write new hashes to the cache file."""
        if not self.has_changed:
            return
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, self.known)


@dataclass(frozen=True, slots=True)
class Verification:
    """What reading all data showed."""

    findings: list[Finding]
    overlap: Overlap


def verify_contents(folder: Path) -> Verification:
    """Read all data, check hashes, counts of documents, tokens and bytes, and measure the overlap of the splits again.

    Raises:
        DataError: a file cannot be read, or has tokens that are not documents of the tokenizer's pieces.
    """
    manifest = check_files(folder)
    files = len(list(shard_entries(manifest))) + 1
    findings = [Finding("pass", "sha256", f"{files} files match the manifest")]
    tokenizer = load_tokenizer_file(DataFiles(folder).tokenizer)
    for name, split in (("train", manifest.train), ("validation", manifest.validation)):
        counter = StreamCounter(tokenizer, manifest.transform)
        for entry in split.shards:
            counter.add_shard(folder / entry.file)
        findings += [
            compare_count(f"{name}_{unit}", getattr(counter, unit), getattr(split, unit))
            for unit in ("documents", "tokens", "bytes")
        ]
    if manifest.transform is not None:
        findings.append(sidecar_finding(folder, manifest.validation, tokenizer))
    overlap = measure_overlap(folder, manifest)
    keep_overlap(folder, overlap)
    return Verification([*findings, overlap.finding()], overlap)


def sidecar_finding(folder: Path, split: Split, tokenizer: Any) -> Finding:
    """Return whether the sidecars count the bytes of each document's original text."""
    sidecars, shards = ([folder / entry.file for entry in each] for each in (split.sidecars, split.shards))
    try:
        counted = check_sidecars(sidecars, shards, tokenizer)
    except DataError as error:
        return Finding("fail", "sidecars", str(error), "prepare or fetch the data again")
    return Finding("pass", "sidecars", f"{counted:,} bytes in {split.documents:,} documents, each as in its text")


def compare_count(rule: str, found: int, expected: int) -> Finding:
    if found == expected:
        return Finding("pass", rule, f"{found:,}")
    return Finding("fail", rule, f"found {found:,}, expected {expected:,} by the manifest", "prepare the data again")
