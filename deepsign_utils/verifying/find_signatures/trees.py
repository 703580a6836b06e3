"""Boosted trees as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit


@dataclass(frozen=True, eq=False)
class Trees:
    """Boosted trees: each node goes left where its feature is at most its threshold.

    ``feature``, ``left``, ``right`` int (nodes,), ``threshold``, ``value`` float (nodes,), leaves
    with ``left`` of themselves; ``roots`` int (trees,).
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    roots: np.ndarray
    baseline: float

    def probability(self, features: np.ndarray) -> np.ndarray:
        """Of each row of ``features``, float32 (n, d): float64 (n,)."""
        return expit(self.value_of(features))

    def value_of(self, features: np.ndarray) -> np.ndarray:
        """What the trees add up to, for each row of ``features``, float32 (n, d): float64 (n,)."""
        node = np.tile(self.roots, (len(features), 1))
        while True:  # down all trees at once
            value = np.take_along_axis(features, self.feature[node], axis=1)
            following = np.where(value <= self.threshold[node], self.left[node], self.right[node])
            if (following == node).all():
                return self.baseline + self.value[node].sum(axis=1)
            node = following

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        return {
            "feature": self.feature.tolist(),
            # Rounded up, by less than two float32 lie apart: a feature may equal its threshold.
            "threshold": [float(f"{v + 1e-9 * abs(v):.10g}") for v in self.threshold],
            "left": self.left.tolist(),
            "right": self.right.tolist(),
            "value": [float(f"{value:.5g}") for value in self.value],
            "roots": self.roots.tolist(),
            "baseline": self.baseline,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Trees:
        """The inverse of `to_dict`."""
        whole = {
            name: np.array(values[name], int) for name in ("feature", "left", "right", "roots")
        }
        real = {name: np.array(values[name], float) for name in ("threshold", "value")}
        return cls(**whole, **real, baseline=float(values["baseline"]))
