"""A published export to a folder of shards: planned, fetched, counted, and only then given a manifest."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.data.canonical import check_listing, check_text
from pgolf.data.downloads import Downloads, FetchDisplay, check_room
from pgolf.data.exports import Export, find_export
from pgolf.data.fetched_folder import SOURCE_FILE, check_folder, refusing, scratch_folder
from pgolf.data.hub import HubFile, HubRepository
from pgolf.data.manifests import Manifest, ShardEntry, Split, TokenizerEntry
from pgolf.data.sources import Source, check_endpoint, find_source
from pgolf.data.token_bytes import TokenBytes, sidecar_bytes
from pgolf.data.tokenizers import load_tokenizer_file
from pgolf.errors import DataError, UsageError
from pgolf.rulesets.ruleset import Ruleset
from trainer.recipe.files import DataFiles, write_json

DEFAULT_TRAIN_SHARDS = 80
SIDECAR_NOTE = (
    "this version cannot score this variant. The bytes of its validation text are in fineweb_val_bytes_*, not in its "
    "tokens: the trainer will refuse to score, and `pgolf data verify` says that validation_bytes differ"
)


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What to fetch, and where to."""

    name: str
    out: Path
    train_shards: int | None = None
    """The first so many; None: 80, or all where there are fewer."""
    repository: str | None = None
    """In place of the one that is known for the name."""
    endpoint: str | None = None
    """Another hub."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A folder that is ready."""

    manifest: Manifest
    source: dict[str, Any]
    """Repository, endpoint, commit and files: beside the manifest, not in its hash."""
    notes: list[str]
    """What its user has to know."""


def fetch(request: FetchRequest, ruleset: Ruleset, display: FetchDisplay) -> Fetched:
    """The export, in `request.out`, every file with the size and the checksum that the hub lists.

    Raises: UsageError for a name or a number that cannot be, DataError for what the hub does not have or what is not
    the contest's data, MachineError when the disk is too small.
    """
    source = find_source(request.name, request.repository)
    check_endpoint(request.endpoint)
    check_folder(request.out, source)
    repository = HubRepository(source.repository, request.endpoint, display.say)
    export = find_export(repository, source)
    with refusing(request.out):
        check_listing(request.name, export, ruleset)
    train = choose_train(export, request)
    with scratch_folder(request.out) as scratch:
        return Fetch(request.out, Downloads(repository, scratch, display), export, train, source, ruleset).run()


def choose_train(export: Export, request: FetchRequest) -> list[HubFile]:
    """The training shards that are wanted.

    Raises: UsageError naming how many there are.
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
    """One fetch, once it is known what there is."""

    out: Path
    downloads: Downloads
    export: Export
    train: list[HubFile]
    source: Source
    ruleset: Ruleset

    def run(self) -> Fetched:
        """The folder, ready."""
        scored = [*self.export.validation, *self.export.sidecars, self.export.tokenizer]
        missing = self.plan([*scored, *self.train])
        self.download(missing, scored)
        with refusing(self.out):
            tokenizer = self.load_tokenizer()
            validation = self.count(self.export.validation, tokenizer, self.export.sidecars)
            note = check_text(self.source.name, self.is_known, validation.bytes, self.ruleset)
        self.download(missing, self.train)
        manifest = Manifest(
            name=self.source.name,
            tokenizer=TokenizerEntry(
                vocabulary_size=tokenizer.get_piece_size(),
                sha256=sha256_of(self.export.tokenizer, DataFiles(self.out).tokenizer),
                lossless=None,
            ),
            train=self.count(self.train, tokenizer, []),
            validation=validation,
        )
        source = self.describe_source(scored)
        write_json(self.out / SOURCE_FILE, source)
        manifest.write(self.out)
        return Fetched(manifest, source, [*([note] if note else []), *([SIDECAR_NOTE] if self.export.sidecars else [])])

    @property
    def is_known(self) -> bool:
        """Whether the name promises the contest's data."""
        return self.source.layout is not None or self.source.name in self.ruleset.data

    def destination(self, file: HubFile) -> Path:
        """Where a file of the repository is on this machine."""
        return DataFiles(self.out).tokenizer if file == self.export.tokenizer else self.out / file.name

    def plan(self, wanted: list[HubFile]) -> list[HubFile]:
        """The files that are not here yet; what is here has been compared bit by bit.

        Raises: MachineError when they do not fit on the disk.
        """
        present = [file for file in wanted if self.destination(file).exists()]
        if present:
            self.downloads.display.say(f"comparing {len(present)} files that are here with the hub's checksums")
        right = {file for file in present if file.describes(self.destination(file))}
        missing = [file for file in wanted if file not in right]
        self.downloads.clear_others(missing)
        received = sum(map(self.downloads.received_bytes, missing))
        total = sum(file.size for file in missing)
        check_room(self.out, total - received)
        if any(file not in right for file in present):
            DataFiles(self.out).manifest.unlink(missing_ok=True)
        if not (self.out / SOURCE_FILE).exists():
            write_json(self.out / SOURCE_FILE, self.describe_source([]))
        self.downloads.display.expect(total)
        self.downloads.display.advance(received)
        return missing

    def download(self, missing: list[HubFile], files: list[HubFile]) -> None:
        """Nothing; these files are here."""
        for file in files:
            if file in missing:
                self.downloads.fetch(file, self.destination(file))

    def load_tokenizer(self) -> Any:
        """The tokenizer.

        Raises: DataError when it is none, or not of the size that the contest's export has.
        """
        tokenizer = load_tokenizer_file(DataFiles(self.out).tokenizer)
        facts = self.ruleset.data.get(self.source.name)
        if facts and tokenizer.get_piece_size() != facts.vocabulary_size:
            raise DataError(
                f"{self.export.tokenizer.path} has {tokenizer.get_piece_size():,} pieces, that of {self.source.name} "
                f"has {facts.vocabulary_size:,}"
            )
        return tokenizer

    def count(self, files: list[HubFile], tokenizer: Any, sidecars: list[HubFile]) -> Split:
        """The split that some shards make."""
        counts = TokenBytes(tokenizer)
        paths = [self.destination(file) for file in files]
        tokens = [self.count_shard(counts, path) for path in paths]
        entries = [
            ShardEntry(file=path.name, tokens=count, sha256=sha256_of(file, path))
            for file, path, count in zip(files, paths, tokens, strict=True)
        ]
        size = self.sidecar_total(sidecars, tokens) if sidecars else counts.bytes
        return Split(documents=counts.documents, tokens=counts.tokens, bytes=size, shards=entries)

    def count_shard(self, counts: TokenBytes, path: Path) -> int:
        self.downloads.display.say(f"counting {path.name}")
        return counts.add_shard(path)

    def sidecar_total(self, sidecars: list[HubFile], tokens: list[int]) -> int:
        """The bytes of text that the sidecars give.

        Raises: DataError unless there is one for each shard.
        """
        if len(sidecars) != len(tokens):
            raise DataError(f"{self.out} has {len(sidecars)} byte sidecars for {len(tokens)} validation shards")
        pairs = zip(sidecars, tokens, strict=True)
        return sum(sidecar_bytes(self.destination(file), count) for file, count in pairs)

    def describe_source(self, files: list[HubFile]) -> dict[str, Any]:
        """Where the data comes from."""
        repository = self.downloads.repository
        return {
            "name": self.source.name,
            "repository": repository.name,
            "endpoint": repository.endpoint,
            "revision": repository.revision,
            "files": {
                self.destination(file).name: {"path": file.path, "bytes": file.size, file.algorithm: file.digest}
                for file in ([*files, *self.train] if files else [])
            },
        }


def sha256_of(file: HubFile, path: Path) -> str:
    """The SHA-256 of a file that has been compared with the hub's."""
    return file.digest if file.algorithm == "sha256" else hashlib.sha256(path.read_bytes()).hexdigest()
