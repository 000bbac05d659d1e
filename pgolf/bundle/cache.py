"""Keeps what the bundler computes in the user's cache: a bundle takes two seconds of CPU."""

import hashlib
from collections.abc import Callable

from platformdirs import user_cache_path

from trainer.recipe.writing import write_whole

DIGEST_BYTES = hashlib.sha256().digest_size


def read_cached(key: str, make: Callable[[], bytes]) -> bytes:
    """Return the cached bytes of a key, made and cached if they are absent or damaged.

    A cache that cannot be read or written is skipped.
    """
    path = user_cache_path("pgolf") / "bundles" / hashlib.sha256(key.encode()).hexdigest()
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    digest, cached = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if digest == hashlib.sha256(cached).digest():
        return cached
    made = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, hashlib.sha256(made).digest() + made)
    except OSError:
        pass
    return made
