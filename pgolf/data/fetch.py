"""Fetches a published export into a folder of shards: plan, download, count, then write the manifest."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.data.canonical import check_listing, check_text
from pgolf.data.downloads import FetchDisplay, check_room
from pgolf.data.exports import Export, find_export
from pgolf.data.fetched_folder import check_folder, removing_manifest_on_error
from pgolf.data.hub import HubFile, HubRepository
from pgolf.data.manifests import Manifest, ShardEntry, Split, TokenizerEntry
from pgolf.data.scratch import scratch_folder
from pgolf.data.sources import SOURCE_FILE, Source, check_endpoint, find_source
from pgolf.data.token_bytes import StreamCounter, check_sidecars
from pgolf.data.tokenizers import load_tokenizer_file
from pgolf.data.verify import check_files
from pgolf.errors import DataError, UsageError
from pgolf.rulesets.ruleset import Ruleset
from trainer.recipe.data import Transform
from trainer.recipe.files import DataFiles
from trainer.recipe.reading import read_json
from trainer.recipe.writing import write_json

DEFAULT_TRAIN_SHARDS = 80


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What to fetch, and where to put it."""

    name: str
    out: Path
    train_shards: int | None = None
    """Number of training shards, from the first on; None takes 80, or all if there are fewer."""
    repository: str | None = None
    """OWNER/REPO; None takes the repository known for the name."""
    endpoint: str | None = None
    """Address of the hub; None takes the default one."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A completed fetch."""

    manifest: Manifest
    source: dict[str, Any]
    """Repository, endpoint, commit and files: source.json, which is not part of the manifest's hash."""
    notes: list[str]
    """Warnings for the user."""


def fetch(request: FetchRequest, ruleset: Ruleset, display: FetchDisplay) -> Fetched:
    """Fetch an export into `request.out` and verify every file's size and checksum against the hub's.

    Raises:
        UsageError: name or number are invalid.
        DataError: files are missing or are not the contest's data.
        MachineError: the disk is too small.
    """
    source = find_source(request.name, request.repository)
    check_endpoint(request.endpoint)
    check_folder(request.out, source)
    repository = HubRepository(source.repository, request.endpoint, display.say)
    export = find_export(repository, source)
    with removing_manifest_on_error(request.out):
        check_listing(request.name, export, ruleset)
    train = choose_train_shards(export, request)
    with scratch_folder(request.out, ".fetch", "fetching into", display.say) as scratch:
        return Fetch(request.out, scratch, repository, display, export, train, source, ruleset).run()


def choose_train_shards(export: Export, request: FetchRequest) -> list[HubFile]:
    """Return the requested training shards.

    Raises:
        UsageError: there are not so many; gives their number.
    """
    there = len(export.train)
    wanted = min(DEFAULT_TRAIN_SHARDS, there) if request.train_shards is None else request.train_shards
    if not 1 <= wanted <= there:
        raise UsageError(
            f"--train-shards {wanted}: {request.name} has {there:,} training shards; ask for 1 to {there:,}"
        )
    return export.train[:wanted]


@dataclass(frozen=True, slots=True)
class Fetch:
    """A fetch whose files are known."""

    out: Path
    scratch: Path
    repository: HubRepository
    display: FetchDisplay
    export: Export
    train: list[HubFile]
    source: Source
    ruleset: Ruleset

    def run(self) -> Fetched:
        """Fetch what is missing and check it, then write the manifest and source.json."""
        source = self.describe_source([*self.scored, *self.train])
        manifest = self.complete_manifest(source) or self.build_manifest()
        note = self.check_text(manifest.validation)
        manifest.write(self.scratch)
        DataFiles(self.scratch).manifest.replace(DataFiles(self.out).manifest)
        self.write_source(source)  # last, because it makes the fetch a complete one
        return Fetched(manifest, source, [note] if note else [])

    @property
    def transform(self) -> Transform | None:
        """How the text of the export was rewritten: of those that publish sidecars, all by CaseOps."""
        return "caseops" if self.export.sidecars else None

    @property
    def scored(self) -> list[HubFile]:
        """The files that decide what a score means. They are fetched and checked first."""
        return [*self.export.validation, *self.export.sidecars, self.export.tokenizer]

    def complete_manifest(self, source: dict[str, Any]) -> Manifest | None:
        """Return the manifest of an earlier fetch if it fetched the same files and they are unchanged."""
        try:
            held = read_json(self.out / SOURCE_FILE)
            if held.get("files") != source["files"]:
                return None
            manifest = check_files(self.out)
            if bool(self.export.sidecars) != bool(manifest.validation.sidecars):
                return None  # fetched by a release whose manifests had no sidecars
        except (OSError, ValueError, DataError):
            return None
        self.display.say(f"{self.out} is complete: {len(source['files'])} files have the hub's checksums")
        return manifest

    def build_manifest(self) -> Manifest:
        """Download the missing files, count their tokens and return the manifest."""
        missing = self.plan([*self.scored, *self.train])
        self.download(missing, self.scored)
        with removing_manifest_on_error(self.out):
            tokenizer = self.load_tokenizer()
            validation = self.count(self.export.validation, tokenizer, self.export.sidecars)
        self.check_text(validation)  # before the training shards, which are most of the bytes
        self.download(missing, self.train)
        return Manifest(
            format="pgolf-shards-1" if self.transform is None else "pgolf-shards-2",
            name=self.source.name,
            transform=self.transform,
            tokenizer=TokenizerEntry(
                vocabulary_size=tokenizer.get_piece_size(),
                sha256=sha256_of(self.export.tokenizer, DataFiles(self.out).tokenizer),
                lossless=None,
            ),
            train=self.count(self.train, tokenizer, []),
            validation=validation,
        )

    def check_text(self, validation: Split) -> str | None:
        """Return a note if the validation text is not the contest's.

        Raises:
            DataError: the name promises the contest's text; the manifest is deleted.
        """
        with removing_manifest_on_error(self.out):
            return check_text(self.source.name, self.is_known, validation.bytes, self.ruleset)

    @property
    def is_known(self) -> bool:
        """Return whether the name stands for the contest's data."""
        return self.source.layout is not None or self.source.name in self.ruleset.data

    def destination(self, file: HubFile) -> Path:
        """Return the local path of a repository file."""
        return DataFiles(self.out).tokenizer if file == self.export.tokenizer else self.out / file.name

    def plan(self, wanted: list[HubFile]) -> list[HubFile]:
        """Return the files that are missing or differ from the hub's, after comparing checksums of local files.

        Raises:
            MachineError: they do not fit on the disk.
        """
        present = [file for file in wanted if self.destination(file).exists()]
        if present:
            self.display.say(f"comparing {len(present)} local files with the hub's checksums")
        right = {file for file in present if file.matches(self.destination(file))}
        missing = [file for file in wanted if file not in right]
        total = sum(file.size for file in missing)
        check_room(self.out, total)
        if len(right) < len(present):
            DataFiles(self.out).manifest.unlink(missing_ok=True)
        if not (self.out / SOURCE_FILE).exists():
            self.write_source(self.describe_source([]))
        self.display.expect(total)
        return missing

    def download(self, missing: list[HubFile], files: list[HubFile]) -> None:
        """Download those of the files that are missing."""
        for file in files:
            if file in missing:
                self.display.start(file.name)
                self.repository.download(file, self.scratch, self.display.advance).replace(self.destination(file))
                self.display.finish(file.name, file.size)

    def load_tokenizer(self) -> Any:
        """Load the tokenizer.

        Raises:
            DataError: it is invalid or its vocabulary size is not the contest's.
        """
        tokenizer = load_tokenizer_file(DataFiles(self.out).tokenizer)
        facts = self.ruleset.data.get(self.source.name)
        if facts and tokenizer.get_piece_size() != facts.vocabulary_size:
            raise DataError(
                f"{self.export.tokenizer.path}: found {tokenizer.get_piece_size():,} pieces, expected "
                f"{facts.vocabulary_size:,} for {self.source.name}"
            )
        return tokenizer

    def count(self, files: list[HubFile], tokenizer: Any, sidecars: list[HubFile]) -> Split:
        """Count the shards of a split and return its manifest entry."""
        counts = StreamCounter(tokenizer, self.transform)
        paths = [self.destination(file) for file in files]
        tokens = [self.count_shard(counts, path) for path in paths]
        size = self.sidecar_total(sidecars, paths, tokenizer) if sidecars else counts.bytes
        return Split(
            documents=counts.documents,
            tokens=counts.tokens,
            bytes=size,
            shards=self.entries(files, tokens),
            sidecars=self.entries(sidecars, tokens[: len(sidecars)]),
        )

    def entries(self, files: list[HubFile], tokens: list[int]) -> list[ShardEntry]:
        """Return the manifest entries of shards or of their sidecars."""
        return [
            ShardEntry(file=(path := self.destination(file)).name, tokens=count, sha256=sha256_of(file, path))
            for file, count in zip(files, tokens, strict=True)
        ]

    def count_shard(self, counts: StreamCounter, path: Path) -> int:
        self.display.say(f"counting {path.name}")
        return counts.add_shard(path)

    def sidecar_total(self, sidecars: list[HubFile], shards: list[Path], tokenizer: Any) -> int:
        """Return the bytes of text by the sidecars.

        Raises:
            DataError: there is not one for each shard, or one lies.
        """
        if len(sidecars) != len(shards):
            raise DataError(
                f"{self.out}: found {len(sidecars)} byte sidecars for {len(shards)} validation shards, expected one "
                "for each"
            )
        return check_sidecars([self.destination(file) for file in sidecars], shards, tokenizer)

    def describe_source(self, files: list[HubFile]) -> dict[str, Any]:
        """Return the content of source.json; it has no files as long as the fetch is not complete."""
        return {
            "name": self.source.name,
            "repository": self.repository.name,
            "endpoint": self.repository.endpoint,
            "revision": self.repository.revision,
            "files": {
                self.destination(file).name: {"path": file.path, "bytes": file.size, file.algorithm: file.digest}
                for file in files
            },
        }

    def write_source(self, source: dict[str, Any]) -> None:
        """Write source.json by way of the scratch folder, in which a kill may leave anything."""
        write_json(self.scratch / SOURCE_FILE, source)
        (self.scratch / SOURCE_FILE).replace(self.out / SOURCE_FILE)


def sha256_of(file: HubFile, path: Path) -> str:
    """Return the SHA-256 of a file whose digest has been verified."""
    return file.digest if file.algorithm == "sha256" else hashlib.sha256(path.read_bytes()).hexdigest()
