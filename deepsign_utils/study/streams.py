"""Named random streams, each derived from a study's seed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

STREAMS = ("split", "pairs", "weights", "batches", "augment", "bootstrap", "probes")


def stream(seed: int, name: str) -> np.random.Generator:
    """A random generator that depends on the seed and the stream's name alone."""
    import numpy as np

    if name not in STREAMS:
        raise ValueError(f"unknown random stream {name!r}; known: {', '.join(STREAMS)}")
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
