"""What a verdict says: numbers, remarks on the images, and sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from deepsign_utils.metrics import format_rate
from deepsign_utils.scoring import Rule

_TWO_WRITERS = (
    "the references look like two styles, or two writers', and no verdict can rest on them.",
    "Compare with one style, or one writer's references, for a likelihood ratio.",
)
NOT_UPRIGHT = "not_upright"
"""Warning of a signature that lies on its side or upside down, and upright would be accepted."""

TOO_COARSE = "too_coarse"
"""Warning of what would be rejected, and is far coarser or finer than the references."""

NO_VERDICT = {
    "two_styles": _TWO_WRITERS,
    "two_hands": _TWO_WRITERS,
    "under_a_stamp": (
        "a stamp or seal lies across a signature, and no verdict can rest on the two together.",
        "Compare signatures that nothing lies across for a likelihood ratio.",
    ),
    NOT_UPRIGHT: (
        "it lies upside down or on its side against the references, and turned it would be "
        "accepted.",
        "Turn the image and compare again for a verdict and a likelihood ratio.",
    ),
    TOO_COARSE: (
        "it and the references are of very different resolution, and genuine signatures are often "
        "rejected then.",
        "Scan the coarser ones more finely and compare again for a verdict and a likelihood ratio.",
    ),
}
"""Warnings with which a person has to decide: why, and what to do instead."""

ASKEW = "askew"
"""Warning of a signature that leans and level would be accepted: a person says how the page lay."""

# Verbal scale of the European Network of Forensic Science Institutes, "ENFSI Guideline for
# Evaluative Reporting in Forensic Science", 2015: likelihood ratios up to, and their name.
_SUPPORT = (
    (2, "no support"),
    (10, "weak support"),
    (100, "moderate support"),
    (1_000, "moderately strong support"),
    (10_000, "strong support"),
    (1_000_000, "very strong support"),
    (math.inf, "extremely strong support"),
)


class Remark(NamedTuple):
    """A fault of one of the images compared."""

    image: str
    code: str
    message: str


class CopyOf(NamedTuple):
    """The reference that a questioned signature is a copy of, and how it lies on it."""

    reference: str
    distance: float
    turned: float
    scaled: float
    stretched: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """What the model says of a questioned signature.

    Attributes
    ----------
    decision : "accepted", "rejected" or "referred"
        Referred to a person, where the rule leaves something between its two thresholds, where
        the questioned signature is a copy of a reference, or leans or lies upside down and upright
        would be accepted, where something lies across it, where it would be rejected and is far
        coarser or finer than the references, and where these look like two writers'.
    score : float
        Higher is more genuine.
    llrs : dict
        By kind of forgery, "skilled" and "random" (another writer's genuine signature): the
        natural-log likelihood ratio of the proposition that the writer of the references wrote the
        questioned signature against the proposition that somebody else did, in that way. Bounded
        by what the data support.
    bounds : dict
        By kind, the lowest and highest such ratio that the data support.
    threshold_name : str
    rule : Rule
        Where that name accepts and rejects.
    references : int
        How many the questioned signature was compared with: those that look like one writer's.
    measured_references : int
        The number of references that `expected_errors` was measured with: the nearest measured
        number that is not larger.
    expected_errors : dict
        ``{"fmr": {"skilled": I, "random": I}, "fnmr": I}`` under the rule, with
        ``I = {"value", "low", "high"}``, 95 % intervals; None for a kind that was not measured.
    expected_referrals : dict
        By kind, "genuine" among them, the share of signatures that scored between the two
        thresholds of the rule; empty where it has one.
    errors_by_set : dict
        The same of each set of data, where there were several: values alone.
    opponent : "skilled" or "random"
        The forgeries that the thresholds hold against.
    pairs : dict
        Number of comparisons of each kind that all this was measured on.
    measured_on : list of dict
        The sets of data that all this was measured on.
    distances : float32 (references,)
        From each reference.
    model : str
        Identity of the model.
    scoring : str
        SHA-256 of its `scoring.json`.
    warnings : tuple of Remark
    copy_of : CopyOf or None
        The reference that the questioned signature is a copy of, if any.
    """

    decision: str
    score: float
    llrs: dict[str, float]
    bounds: dict[str, tuple[float, float]]
    threshold_name: str
    rule: Rule
    references: int
    measured_references: int
    expected_errors: dict[str, Any]
    expected_referrals: dict[str, float]
    errors_by_set: dict[str, dict[str, float]]
    opponent: str
    pairs: dict[str, int]
    measured_on: list[dict[str, Any]]
    distances: np.ndarray
    model: str
    scoring: str
    warnings: tuple[Remark, ...]
    copy_of: CopyOf | None = None

    @property
    def accepted(self) -> bool:
        """Whether the decision is "accepted"."""
        return self.decision == "accepted"

    @property
    def has_evidence(self) -> bool:
        """Whether likelihood ratios apply: to no copy, to nothing under a stamp, and to references
        of one writer alone."""
        return not self.copy_of and not no_verdict(one.code for one in self.warnings)

    @property
    def llr(self) -> float:
        """The log-likelihood ratio against the `opponent`; above 0 speaks for genuine."""
        return self.llrs[self.opponent]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        return {
            "decision": self.decision,
            "score": self.score,
            "llr": self.llr if self.has_evidence else None,
            "llrs": self.llrs if self.has_evidence else {},
            "bounds": {kind: list(pair) for kind, pair in self.bounds.items()},
            "threshold": {"name": self.threshold_name, "value": self.rule.accept_from}
            | asdict(self.rule),
            "references": self.references,
            "distances": [float(distance) for distance in self.distances],
            "expected_errors": self.expected_errors,
            "expected_referrals": self.expected_referrals,
            "errors_by_set": self.errors_by_set,
            "measured_references": self.measured_references,
            "measured_on": self.measured_on,
            "opponent": self.opponent,
            "pairs": self.pairs,
            "model": self.model,
            "scoring": self.scoring,
            "copy_of": self.copy_of._asdict() if self.copy_of else None,
            "warnings": [warning._asdict() for warning in self.warnings],
            "words": self.in_words(),
        }

    def in_words(self) -> list[str]:
        """The verdict; what it is worth, against a skilled forger and against another person; and
        how often such verdicts err.

        Without evidence no threshold decides: what to do is told instead of the rest.
        """
        if not self.has_evidence:
            return [self._verdict(), self._instead()]
        evidence = [self._support(kind) for kind in self.llrs]
        return [self._verdict(), *evidence, self._uncertainty() + self._referrals()]

    def _verdict(self) -> str:
        if self.copy_of:
            return (
                f"Referred to a person: a copy of {self.copy_of.reference}, not an independent "
                "signature. Its lines lie on those of the reference more closely than anybody "
                "signs twice"
                f"{_changed(self.copy_of)}: the same file, a scan of the same sheet, or a cutting."
            )
        if reason := no_verdict(one.code for one in self.warnings):
            return f"Referred to a person: {reason[0]}"
        name, limits = self.threshold_name, (self.rule.reject_below, self.rule.accept_from)
        digits = 3 if all(f"{self.score:.3f}" != f"{limit:.3f}" for limit in limits) else 6
        score, low, high = (f"{value:.{digits}f}" for value in (self.score, *limits))
        if ASKEW in (one.code for one in self.warnings):
            return (
                "Referred to a person: it leans against the references, and level it would be "
                f"accepted. As it stands, the score, {score}, stays below {high}, "
                f"from which '{name}' accepts."
            )
        if self.decision == "referred":
            return (
                f"Referred to a person: the score, {score}, lies between {low}, below "
                f"which '{name}' rejects, and {high}, from which it accepts."
            )
        verb, limit = ("reaches", high) if self.accepted else ("stays below", low)
        return (
            f"{self.decision.capitalize()}: the score, {score}, {verb} the threshold "
            f"'{name}', {limit}."
        )

    def _instead(self) -> str:
        if self.copy_of:
            return "A copy says nothing of who made it: no likelihood ratio applies to it."
        reason = no_verdict(one.code for one in self.warnings)
        assert reason is not None  # else there is evidence
        return reason[1]

    def _support(self, kind: str) -> str:
        llr, (low, high) = self.llrs[kind], self.bounds[kind]
        other, whom = {
            "skilled": ("a skilled forger", "the forger"),
            "random": ("another person, in their own hand", "the other person"),
        }[kind]
        asked = f"Did the writer of the references write it, or {other}?"
        ratio = math.exp(abs(llr))
        if ratio < _SUPPORT[0][0]:
            return f"{asked} The evidence is balanced: it supports neither."
        support = next(name for bound, name in _SUPPORT if ratio < bound)
        one = "the writer of the references" if llr > 0 else whom
        beyond = "at least " if llr >= high or llr <= low else ""
        return (
            f"{asked} The evidence gives {support} for {one}: what was seen is {beyond}"
            f"{ratio:.{1 if ratio < 10 else 0}f} times as probable if {one} wrote it."
        )

    def _uncertainty(self) -> str:
        fmr, fnmr = self.expected_errors["fmr"][self.opponent], self.expected_errors["fnmr"]
        k = self.measured_references
        with_ = "one reference" if k == 1 else f"{k} references"
        sets = self.measured_on
        at = "At these thresholds" if self.expected_referrals else "At this threshold"
        if not self.errors_by_set:
            (one,) = sets
            said = (
                f"{at} {per_cent(fmr)} of {self.opponent} forgeries were accepted "
                f"and {per_cent(fnmr)} of genuine signatures rejected, measured with {with_} on "
                f"{one['writers']} {one.get('split', '')} writers of '{one['dataset']}'."
            )
            inferred = one.get("skilled_inferred_from")
            if inferred:
                said += f" For forgeries this is inferred from {listed(inferred)}."
            return said
        named = listed([f"{one['dataset']} ({one['writers']} writers)" for one in sets])
        rates = self.errors_by_set.values()
        return (
            f"{at} {_range(rates, f'fmr_{self.opponent}')} of {self.opponent} "
            f"forgeries were accepted and {_range(rates, 'fnmr')} of genuine signatures rejected, "
            f"measured with {with_} on {named}. For people not among them expect "
            f"{_between(fmr)} of {self.opponent} forgeries accepted and {_between(fnmr)} of "
            "genuine signatures rejected: calibrate the model on your own to know."
        )

    def _referrals(self) -> str:
        """How often a rule of two thresholds leaves the decision to a person."""
        if not self.expected_referrals:
            return ""
        genuine, forged = (self.expected_referrals[kind] for kind in ("genuine", self.opponent))
        return (
            f" {100 * genuine:.1f} % of genuine signatures and {100 * forged:.1f} % of "
            f"{self.opponent} forgeries scored between the two, and were referred to a person."
        )


def no_verdict(codes: Iterable[str]) -> tuple[str, str] | None:
    """Why no verdict can rest on images with these warnings, by code, and what to do; None where
    one can."""
    return next((NO_VERDICT[code] for code in codes if code in NO_VERDICT), None)


def per_cent(rate: dict[str, float]) -> str:
    """A rate and its interval, such as "5.0 % [3.1, 7.2]"."""
    return format_rate(rate).replace("\u00a0", " ")  # which every terminal has


def _between(rate: dict[str, float]) -> str:
    return f"{100 * rate['low']:.1f} to {100 * rate['high']:.1f} %"


def _range(rates: Iterable[dict[str, float]], name: str) -> str:
    values = [100 * one[name] for one in rates]
    return f"{min(values):.1f} to {max(values):.1f} %"


def _changed(copy: CopyOf) -> str:
    """How a copy was turned, scaled and stretched, where it was to speak of."""
    changes = [f"turned by {abs(copy.turned):.1f}°"] * (abs(copy.turned) >= 0.3)
    changes += [f"scaled to {100 * copy.scaled:.0f} %"] * (abs(copy.scaled - 1) >= 0.02)
    more = 100 * (copy.stretched - 1)
    changes += [f"stretched one way by {more:.0f} %"] * (more >= 3)
    return f" ({listed(changes)})" if changes else ""


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
