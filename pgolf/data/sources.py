"""Known sources of published token shards: names, repositories and their layouts."""

import re
from dataclasses import dataclass
from typing import Literal

from pgolf.errors import UsageError
from pgolf.specs.suggestions import nearest

Layout = Literal["official", "folder"]
SOURCE_FILE = "source.json"
OFFICIAL = "willdepueoai/parameter-golf"
LATER = "kevclark/parameter-golf"
CASEOPS = "romeerp/parameter-golf-caseops-v1"
LIGHTSPEEDUP = "LightSpeedUp/parameter-golf-data"


@dataclass(frozen=True, slots=True)
class Source:
    """The repository of a named export."""

    name: str
    repository: str
    layout: Layout | None
    """official: datasets/manifest.json and datasets/datasets/NAME; folder: a folder NAME; None: not yet known."""
    note: str = ""


SOURCES = {
    source.name: source
    for source in (
        Source("fineweb10B_sp1024", OFFICIAL, "official", "the challenge's own export"),
        Source("fineweb10B_sp4096", LATER, "official", "most records of April"),
        Source("fineweb10B_sp8192", LATER, "official", "most records from April on; 128 training shards"),
        Source(
            "fineweb10B_sp8192_lossless_caps_caseops_v1_reserved",
            CASEOPS,
            "official",
            "CaseOps, with byte sidecars; use it with transform: caseops",
        ),
        Source("fineweb_sp4096", LIGHTSPEEDUP, "folder", "81 training shards, about 10.9 GB"),
        Source("fineweb_sp8192", LIGHTSPEEDUP, "folder", "about 8.5 GB"),
        Source("fineweb_sp12288", LIGHTSPEEDUP, "folder"),
        Source("fineweb_sp16384", LIGHTSPEEDUP, "folder"),
        Source("fineweb_byte260", LIGHTSPEEDUP, "folder", "not SentencePiece; refused by this version"),
    )
}


def find_source(name: str, repository: str | None) -> Source:
    """Return the source of a name: the table's, or the given repository with a layout to be detected.

    Raises:
        UsageError: the name is unknown, or is not the name of a repository.
    """
    if re.fullmatch(r"[\w.-]+", name) is None or name.startswith("."):
        raise UsageError(f"{name!r} is not the name of an export; expected letters, digits, `_`, `-` and `.`")
    if repository is None:
        if source := SOURCES.get(name):
            return source
        guess = nearest(name, [*SOURCES])
        raise UsageError(
            f"no repository is known for {name!r}{f'; did you mean `{guess}`?' if guess else '.'} Known: "
            f"{', '.join(SOURCES)}. For any other, give its repository with --from OWNER/REPO"
        )
    if re.fullmatch(r"[\w.-]+/[\w.-]+", repository) is None:
        raise UsageError(f"--from {repository!r} is not a Hugging Face dataset repository; expected OWNER/REPO")
    return Source(name, repository, None)


def check_endpoint(endpoint: str | None) -> None:
    """Check that an endpoint, if given, is an address.

    Raises:
        UsageError: it is not an address.
    """
    if endpoint is not None and re.fullmatch(r"https?://[\w.-]+(:\d+)?(/[\w./-]*)?", endpoint) is None:
        raise UsageError(f"--endpoint {endpoint!r} is not the address of a hub; expected https://HOST")
