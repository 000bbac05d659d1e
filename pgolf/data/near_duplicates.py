"""Finds training texts that are near duplicates of a validation text.

Two texts are near duplicates if the Jaccard similarity of their sets of shingles is at least 0.7. A shingle is five
successive words, in lower case, separated by white space; a text of fewer words is one shingle. MinHash proposes the
pairs, and their similarity is then computed from the sets. Hash functions and seed are fixed, so equal texts give equal
answers on every machine.
"""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Shingles = NDArray[np.uint32]

THRESHOLD = 0.7
SHINGLE_WORDS = 5
# A pair of similarity s shares one of 32 bands of 4 values with probability 1 - (1 - s^4)^32: 0.9998 at the threshold.
BANDS, BAND_VALUES = 32, 4
SEED = 1
# The estimate of 128 values has a standard deviation of 0.04 at the threshold.
ESTIMATE_MARGIN = 0.15


def near_duplicates(train: Sequence[str], validation: Sequence[str]) -> list[int]:
    """Return the positions of the training texts that are near duplicates of a validation text."""
    index = NearDuplicateIndex(validation)
    return [position for position, text in enumerate(train) if index.contains(text)]


class NearDuplicateIndex:
    """Texts among which near duplicates of others are looked up. Takes about 4 KB a text, and 4 bytes a shingle."""

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy as np
        from datasketch import MinHash, MinHashLSH

        self.empty = MinHash(BANDS * BAND_VALUES, seed=SEED, hashfunc=int)
        self.lsh = MinHashLSH(num_perm=BANDS * BAND_VALUES, params=(BANDS, BAND_VALUES))
        self.shingles = [shingles_of(text) for text in texts]
        sketches = [self.sketch(shingles) for shingles in self.shingles]
        for position, sketch in enumerate(sketches):
            self.lsh.insert(position, sketch)
        self.values = np.array([sketch.hashvalues for sketch in sketches])

    def sketch(self, shingles: "Shingles") -> Any:
        """Return the MinHash of a set of shingles."""
        sketch = self.empty.copy()
        sketch.update_batch(shingles.tolist())
        return sketch

    def contains(self, text: str) -> bool:
        """Return whether one of the texts is a near duplicate of this one."""
        import numpy as np

        shingles = shingles_of(text)
        sketch = self.sketch(shingles)
        candidates = np.array(sorted(self.lsh.query(sketch)), dtype=np.int64)
        estimates = (self.values[candidates] == sketch.hashvalues).mean(axis=1)
        likely = candidates[estimates >= THRESHOLD - ESTIMATE_MARGIN]
        return any(similarity(shingles, self.shingles[position]) >= THRESHOLD for position in likely)


def shingles_of(text: str) -> "Shingles":
    """Return the CRC-32 of each distinct shingle of a text, sorted."""
    import numpy as np

    words = text.lower().split()
    count = max(1, len(words) - SHINGLE_WORDS + 1)
    shingles = (" ".join(words[start : start + SHINGLE_WORDS]) for start in range(count))
    return np.unique(np.fromiter((zlib.crc32(shingle.encode()) for shingle in shingles), np.uint32, count))


def similarity(one: "Shingles", other: "Shingles") -> float:
    """Return the Jaccard similarity of two sets of shingles."""
    import numpy as np

    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)
