"""A trained model applied to anyone's images.

>>> verifier = Verifier.load("reports/synthetic/model")  # doctest: +SKIP
>>> comparison = verifier.compare(["one.png", "two.png"], "questioned.png")  # doctest: +SKIP
>>> comparison.decision, comparison.llr  # doctest: +SKIP
('accepted', 3.2)

Images are cleaned as `preprocessing.json` of the model folder says, and scored by `scoring.py`, as
chapter 6 does: what was measured is what is deployed.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from deepsign_utils import DeepSignError, scoring
from deepsign_utils.deployed_encoder.runtime import (
    KERAS_FILE,
    ONNX_FILE,
    KerasEncoder,
    OnnxEncoder,
    load_encoder,
)
from deepsign_utils.preprocessing import (
    EDGE,
    BlankPageError,
    Plain,
    Preprocessing,
    Removal,
    draw,
    load_image,
    open_image,
    plain,
)
from deepsign_utils.preprocessing.form import TEXT
from deepsign_utils.study.artefacts import check_seal, write_atomically
from deepsign_utils.study.folders import PRETRAINED
from deepsign_utils.study.processes import ordered_map
from deepsign_utils.verifying import copies, enrolment, misfit, scan_faults
from deepsign_utils.verifying.find_signatures import Box
from deepsign_utils.verifying.pages import from_page

Source = str | Path | bytes | BinaryIO | Image.Image | np.ndarray
"""An image: a file, its content, a file open for reading bytes, a Pillow image, or an array of gray
levels or RGB(A)."""

MODEL_FILES = ("encoder.keras", "preprocessing.json", "scoring.json")
"""What a study's model folder holds; besides, `encoder.onnx`, exported from the first, the hashes
in SHA256SUMS, and `card.md` for people. A verifier needs the first only where it was not exported.
"""

DEFAULT_THRESHOLD = "eer"

_BATCH = 64  # canvases that wait while others are cleaned
_GRID = (8, 16)  # cells of the occlusion map
_BINS = 60  # of the score distributions

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


@dataclass(frozen=True, eq=False)
class Signature:
    """An image made ready for the encoder.

    Attributes
    ----------
    name : str
        What the image is called in messages.
    canvas : uint8 (canvas_height, canvas_width)
    warnings : tuple of Remark
    trace : copies.Trace or None
        Its centre lines, by which a copy is known.
    ink : uint8 (h, w) or None
        From `misfit.kept`, to be levelled.
    """

    name: str
    canvas: np.ndarray
    warnings: tuple[Remark, ...] = ()
    trace: copies.Trace | None = None
    ink: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class References:
    """A writer's references, embedded once: what `Verifier.enrol` gives and `compare` takes.

    Attributes
    ----------
    embeddings : float32 (k, d), of unit length
    model : str
        Identity of the model that embedded them; another model refuses them.
    warnings : tuple of Remark
        Faults of the images, and what is odd about them as references of one writer.
    traces : tuple of copies.Trace or None, optional
        Their centre lines, by which a copy is known; None for those enrolled without.
    names : tuple of str, optional
        What each is called in messages; by default "reference 1" and so on.
    """

    embeddings: np.ndarray
    model: str
    warnings: tuple[Remark, ...] = ()
    traces: tuple[copies.Trace | None, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        k = len(self.embeddings)
        object.__setattr__(self, "traces", self.traces or (None,) * k)
        object.__setattr__(
            self, "names", self.names or tuple(f"reference {n}" for n in range(1, k + 1))
        )

    def save(self, file: str | Path) -> None:
        """Keep them in an .npz file, written atomically."""
        content = io.BytesIO()
        np.savez(
            content,
            embeddings=self.embeddings,
            model=np.array(self.model),
            warnings=np.array(self.warnings, dtype=str).reshape(-1, len(Remark._fields)),
            names=np.array(self.names, dtype=str),
            # PNG files end in a byte that is not 0, which NumPy would strip.
            traces=np.array([one.to_bytes() if one else b"" for one in self.traces], dtype=bytes),
        )
        write_atomically(Path(file), content.getvalue())

    @classmethod
    def load(cls, file: str | Path) -> References:
        """The inverse of `save`; DeepSignError if the file is missing or damaged."""
        try:
            with np.load(file, allow_pickle=False) as kept:
                return cls(
                    embeddings=kept["embeddings"],
                    model=str(kept["model"]),
                    warnings=tuple(Remark(*map(str, row)) for row in kept["warnings"]),
                    # Files of older versions hold neither.
                    traces=tuple(
                        copies.Trace.from_bytes(bytes(one)) if one else None
                        for one in kept.get("traces", ())
                    ),
                    names=tuple(map(str, kept.get("names", ()))),
                )
        except OSError as error:
            raise DeepSignError(f"{file} cannot be read: {error.strerror or error}") from error
        except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DeepSignError(
                f"{file} does not hold enrolled references: enrol again."
            ) from error


class CopyOf(NamedTuple):
    """The reference that a questioned signature is a copy of, and how it lies on it."""

    reference: str
    distance: float
    turned: float
    scaled: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """What the model says of a questioned signature.

    Attributes
    ----------
    decision : "accepted", "rejected" or "referred"
        Referred to a person, where the rule leaves something between its two thresholds, and
        where the questioned signature is a copy of a reference.
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
    rule : scoring.Rule
        Where that name accepts and rejects.
    references : int
        How many the questioned signature was compared with: those that look like one writer's.
    measured_references : int
        The number of references that `expected_errors` was measured with: the nearest measured
        number that is not larger.
    expected_errors : dict
        ``{"fmr": {"skilled": I, "random": I}, "fnmr": I}`` under the rule, with
        ``I = {"value", "low", "high"}``, 95 % intervals; None for a kind that was not measured.
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
    warnings : tuple of Remark
    copy_of : CopyOf or None
        The reference that the questioned signature is a copy of, if any.
    """

    decision: str
    score: float
    llrs: dict[str, float]
    bounds: dict[str, tuple[float, float]]
    threshold_name: str
    rule: scoring.Rule
    references: int
    measured_references: int
    expected_errors: dict[str, Any]
    errors_by_set: dict[str, dict[str, float]]
    opponent: str
    pairs: dict[str, int]
    measured_on: list[dict[str, Any]]
    distances: np.ndarray
    model: str
    warnings: tuple[Remark, ...]
    copy_of: CopyOf | None = None

    @property
    def accepted(self) -> bool:
        """Whether the decision is "accepted"."""
        return self.decision == "accepted"

    @property
    def llr(self) -> float:
        """The log-likelihood ratio against the `opponent`; above 0 speaks for genuine."""
        return self.llrs[self.opponent]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        return {
            "decision": self.decision,
            "score": self.score,
            # A copy says nothing of who made it.
            "llr": None if self.copy_of else self.llr,
            "llrs": {} if self.copy_of else self.llrs,
            "bounds": {kind: list(pair) for kind, pair in self.bounds.items()},
            "threshold": {"name": self.threshold_name, "value": self.rule.accept_from}
            | asdict(self.rule),
            "references": self.references,
            "distances": [float(distance) for distance in self.distances],
            "expected_errors": self.expected_errors,
            "errors_by_set": self.errors_by_set,
            "measured_references": self.measured_references,
            "measured_on": self.measured_on,
            "opponent": self.opponent,
            "pairs": self.pairs,
            "model": self.model,
            "copy_of": self.copy_of._asdict() if self.copy_of else None,
            "warnings": [warning._asdict() for warning in self.warnings],
            "words": self.in_words(),
        }

    def in_words(self) -> list[str]:
        """The verdict, what it is worth, and how often such verdicts err.

        Of a copy no threshold decides, and nothing of the last is told.
        """
        told = [self._verdict(), self._evidence()]
        return told if self.copy_of else [*told, self._uncertainty()]

    def _verdict(self) -> str:
        if self.copy_of:
            return (
                f"Referred to a person: a copy of {self.copy_of.reference}, not an independent "
                "signature. Its lines lie on those of the reference more closely than anybody "
                "signs twice"
                f"{_changed(self.copy_of)}: the same file, a scan of the same sheet, or a cutting."
            )
        name, low, high = self.threshold_name, self.rule.reject_below, self.rule.accept_from
        if self.decision == "referred":
            return (
                f"Referred to a person: the score, {self.score:.3f}, lies between {low:.3f}, below "
                f"which '{name}' rejects, and {high:.3f}, from which it accepts."
            )
        verb, limit = ("reaches", high) if self.accepted else ("stays below", low)
        return (
            f"{self.decision.capitalize()}: the score, {self.score:.3f}, {verb} the threshold "
            f"'{name}', {limit:.3f}."
        )

    def _evidence(self) -> str:
        if self.copy_of:
            return "A copy says nothing of who made it: no likelihood ratio applies to it."
        lines = [self._support(kind) for kind in self.llrs]
        return " ".join(lines)

    def _support(self, kind: str) -> str:
        llr, (low, high) = self.llrs[kind], self.bounds[kind]
        other = "a skilled forger" if kind == "skilled" else "another person, in their own hand,"
        ratio = math.exp(abs(llr))
        if ratio < _SUPPORT[0][0]:
            return (
                f"Whether the writer of the references or {other} wrote it, the evidence is "
                "balanced: it supports neither."
            )
        support = next(name for bound, name in _SUPPORT if ratio < bound)
        writer = "the writer of the references"
        one, two = (writer, other) if llr > 0 else (other, writer)
        beyond = "at least " if llr >= high or llr <= low else ""
        return (
            f"The evidence gives {support} for the proposition that {one} wrote it: it is "
            f"{beyond}{ratio:.0f} times as probable as if {two} had."
        )

    def _uncertainty(self) -> str:
        fmr, fnmr = self.expected_errors["fmr"][self.opponent], self.expected_errors["fnmr"]
        k = self.measured_references
        with_ = "one reference" if k == 1 else f"{k} references"
        sets = self.measured_on
        if not self.errors_by_set:
            (one,) = sets
            said = (
                f"At this threshold {_per_cent(fmr)} of {self.opponent} forgeries were accepted "
                f"and {_per_cent(fnmr)} of genuine signatures rejected, measured with {with_} on "
                f"{one['writers']} {one.get('split', '')} writers of '{one['dataset']}'."
            )
            inferred = one.get("skilled_inferred_from")
            if inferred:
                said += f" For forgeries this is inferred from {_listed(inferred)}."
            return said
        named = _listed([f"{one['dataset']} ({one['writers']} writers)" for one in sets])
        rates = self.errors_by_set.values()
        return (
            f"At this threshold {_range(rates, f'fmr_{self.opponent}')} of {self.opponent} "
            f"forgeries were accepted and {_range(rates, 'fnmr')} of genuine signatures rejected, "
            f"measured with {with_} on {named}. For people not among them expect "
            f"{_between(fmr)} and {_between(fnmr)}: calibrate the model on your own to know."
        )


def _per_cent(rate: dict[str, float]) -> str:
    value, low, high = (f"{100 * rate[key]:.1f}" for key in ("value", "low", "high"))
    return f"{value} % [{low}, {high}]"


def _between(rate: dict[str, float]) -> str:
    return f"{100 * rate['low']:.1f} to {100 * rate['high']:.1f} %"


def _range(rates: Iterable[dict[str, float]], name: str) -> str:
    values = [100 * one[name] for one in rates]
    return f"{min(values):.1f} to {max(values):.1f} %"


def _changed(copy: CopyOf) -> str:
    """How a copy was turned and scaled, where it was to speak of."""
    changes = [f"turned by {abs(copy.turned):.1f}°"] * (abs(copy.turned) >= 0.3)
    changes += [f"scaled to {100 * copy.scaled:.0f} %"] * (abs(copy.scaled - 1) >= 0.02)
    return f" ({' and '.join(changes)})" if changes else ""


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


class Verifier:
    """A model folder, loaded: cleans, embeds, compares.

    Attributes
    ----------
    identity : str
        SHA-256 of the encoder and its preprocessing, in hexadecimal: what an embedding depends
        on. Embeddings of models with different identities cannot be compared.
    preprocessing : Preprocessing
    scoring : scoring.Scoring
    """

    def __init__(
        self,
        encoder: OnnxEncoder | KerasEncoder,
        preprocessing: Preprocessing,
        scoring_: scoring.Scoring,
        identity: str,
    ) -> None:
        self.identity = identity
        self.preprocessing = preprocessing
        self.scoring = scoring_
        self._encoder = encoder

    @property
    def encoder_name(self) -> str:
        """The name of the encoder, one of ``models.ENCODERS``."""
        return self._encoder.name

    @property
    def threads(self) -> int:
        """Threads that embed: the usable processors, no more than ``DEEPSIGN_THREADS``."""
        return self._encoder.threads

    @classmethod
    def load(cls, folder: str | Path = PRETRAINED) -> Verifier:
        """Load a model folder; by default the shipped one.

        Raises
        ------
        DeepSignError
            If the folder lacks a file, or a file is damaged, is not the one that the folder was
            sealed with (``study.seal``), or does not fit the others; the message names it.
        """
        folder = Path(folder)
        needed = MODEL_FILES[1:]
        missing = [name for name in needed if not (folder / name).is_file()]
        if missing:
            problem = f"lacks {', '.join(missing)}" if folder.is_dir() else "does not exist"
            raise DeepSignError(
                f"The model folder {folder} {problem}. A model folder holds "
                f"{', '.join(MODEL_FILES)}; `make report` makes one."
            )
        encoders = [name for name in (ONNX_FILE, KERAS_FILE) if (folder / name).is_file()]
        check_seal(folder, [*needed, *encoders])
        preprocessing_file, scoring_file = (folder / name for name in needed)
        preprocessing = _named(preprocessing_file, Preprocessing.from_dict)
        scoring_ = _named(scoring_file, scoring.Scoring.from_dict)
        _check_scoring(scoring_, scoring_file)
        encoder = load_encoder(folder)
        _check_encoder(encoder, preprocessing)
        plain = json.dumps(preprocessing.to_dict(), sort_keys=True)
        identity = hashlib.sha256((encoder.source + plain).encode()).hexdigest()
        return cls(encoder, preprocessing, scoring_, identity)

    def read(self, image: Source, name: str = "the image") -> Signature:
        """Decode and clean an image, and look for faults.

        Parameters
        ----------
        image : str, Path, bytes, open binary file, PIL.Image.Image or np.ndarray
            As `preprocessing.load_image` takes it.
        name : str
            What to call it in messages, where it is not a file.

        Raises
        ------
        DeepSignError
            If it cannot be decoded, is too large, or shows no signature but print, a code, a mark
            or a whole page; BlankPageError if it shows no ink.
        """
        name = str(image) if isinstance(image, (str, Path)) else name
        _refuse_no_image(image, name)
        if hasattr(image, "read"):
            image = _content(image, name)
        if isinstance(image, (str, Path, bytes)):
            image = open_image(image, name)
        paged = isinstance(image, Image.Image) and scan_faults.has_several_pages(image, name)
        pixels = load_image(image, name)
        try:
            page = plain(pixels)
            canvas = draw(page.field, self.preprocessing)
        except BlankPageError as error:
            raise BlankPageError(f"{name}: {error}") from error
        found = (scan_faults.SEVERAL_PAGES,) * paged + _faults(pixels, page, canvas.shape, name)
        warnings = tuple(Remark(name, fault.code, fault.message) for fault in found)
        trace, ink = copies.trace(page.field), misfit.kept(page.field)
        return Signature(name, canvas, warnings, trace, ink)

    def read_questioned(
        self,
        source: Source,
        name: str = "the questioned signature",
        page: int | None = None,
        box: Box | None = None,
    ) -> Signature:
        """`read`, of a whole page, a TIFF of several pages or a PDF too: the signature on it.

        Parameters
        ----------
        source : as for `read`
            What is no file and no file's content is taken for the signature alone.
        name : str
            What to call it in messages, where it is not a file.
        page, box : optional
            As for `verifying.pages.from_page`.

        Raises
        ------
        DeepSignError
            As `read`, and where a page shows no signature, or several.
        """
        if not isinstance(source, (str, Path, bytes)):
            return self.read(source, name)
        found = from_page(source, name, page, box)
        if found is None:
            return self.read(source, name)
        name = str(source) if isinstance(source, (str, Path)) else name
        signature = self.read(found.image, name)
        told = Remark(name, "from_a_page", f"The signature judged stands on {found.where}.")
        return replace(signature, warnings=(told, *signature.warnings))

    def embed(self, canvases: np.ndarray) -> np.ndarray:
        """Embed canvases, uint8 (n, canvas_height, canvas_width): float32 (n, d) of unit length."""
        return self._encoder.embed(canvases)

    def embed_files(
        self,
        files: Sequence[Path],
        progress: bool = True,
        warnings: dict[Path, str] | None = None,
        each: Callable[[np.ndarray], None] = lambda canvas: None,
    ) -> tuple[np.ndarray, dict[Path, str]]:
        """Embed many image files, cleaned in parallel and held in memory a few at a time.

        Parameters
        ----------
        files : sequence of Path
        progress : bool
            Whether to show a progress bar.
        warnings : dict, optional
            Filled with what is wrong with those that can be used, in words, by file.
        each : callable, optional
            Called with every canvas that is embedded, in order.

        Returns
        -------
        embeddings : float32 (n, d)
            In the order of `files`, without those that cannot be used.
        problems : dict
            File -> why it cannot be used.
        """
        work = partial(_read_file, self.preprocessing)
        read = ordered_map(work, files, None, progress, "embedding")
        problems: dict[Path, str] = {}
        told = {} if warnings is None else warnings

        def canvases() -> Iterator[np.ndarray]:
            for file, (canvas, words) in zip(files, read, strict=True):
                if canvas is None:
                    problems[file] = words
                    continue
                if words:
                    told[file] = words
                each(canvas)
                yield canvas

        # Cleaning goes on in its processes while a batch is embedded here.
        embeddings = [self.embed(np.stack(block)) for block in _blocks(canvases(), _BATCH)]
        return np.concatenate(embeddings) if embeddings else np.empty((0, 0)), problems

    def enrol(self, images: Sequence[Source]) -> References:
        """Embed a writer's references, to be kept.

        Raises
        ------
        DeepSignError
            If there are none, or one cannot be used, as `read` does.
        """
        images = [images] if _is_one(images) else images
        signatures = [
            self.read(image, f"reference {number}") for number, image in enumerate(images, 1)
        ]
        return self.references_of(signatures)

    def references_of(self, signatures: Sequence[Signature]) -> References:
        """References of images that were read already; DeepSignError if there are none."""
        if not signatures:
            raise DeepSignError(
                "There are no references: at least one genuine signature is needed."
            )
        return self.looked_at(
            signatures, self.embed(np.stack([signature.canvas for signature in signatures]))
        )

    def looked_at(
        self,
        signatures: Sequence[Signature],
        embeddings: np.ndarray,
        known: References | None = None,
    ) -> References:
        """References of images read and embedded, with what is odd about them.

        Of references that are copies of one another the first is kept. Warnings name them, any
        that does not look like the others, and two styles.

        Parameters
        ----------
        signatures : sequence of Signature
        embeddings : float32 (k, d)
        known : References, optional
            Of the same writer, which these are added to.
        """
        names = [signature.name for signature in signatures]
        traces = [signature.trace for signature in signatures]
        if known is not None:
            names, traces = [*known.names, *names], [*known.traces, *traces]
            embeddings = np.concatenate([known.embeddings, embeddings])
        copied = enrolment.first_copies(traces)
        warnings = [warning for signature in signatures for warning in signature.warnings]
        warnings += [
            Remark(
                names[row],
                "copy_of_a_reference",
                f"It is a copy of {names[original]}: the two count as one.",
            )
            for row, original in enumerate(copied)
            if original is not None
        ]
        kept = [row for row, original in enumerate(copied) if original is None]
        names, traces, embeddings = (
            tuple(names[row] for row in kept),
            tuple(traces[row] for row in kept),
            embeddings[kept],
        )
        scores = self._scores_among(embeddings)
        styles = enrolment.two_styles(embeddings, scores, self.scoring)
        if styles:
            one, other = (_listed([names[row] for row in group]) for group in styles)
            message = (
                f"They look like two styles, or two writers: {one} are alike, and so are {other}, "
                "but not the ones and the others. If both are the writer's, keep them as two "
                "enrolments and compare with each."
            )
            warnings.append(Remark("the references", "two_styles", message))
        else:
            for row, llr in enrolment.odd_ones(len(names), scores, self.scoring):
                ratio = math.exp(min(-llr, 50))
                message = (
                    "It does not look like the other references: that somebody else wrote it makes "
                    f"what is seen {_number(ratio)} times as probable as that the same writer did. "
                    "No verdict rests on it. See whether it is the writer's, the right way up and "
                    "complete."
                )
                warnings.append(Remark(names[row], "odd_reference", message))
        if len(names) == 2 and (apart := enrolment.two_hands(scores, self.scoring)) is not None:
            message = (
                "The two do not look like one writer's: that two people wrote them makes what is "
                f"seen {_number(math.exp(min(-apart, 50)))} times as probable as that one did. "
                "See whether both are the writer's, the right way up and complete."
            )
            warnings.append(Remark("the references", "two_hands", message))
        return References(embeddings, self.identity, tuple(dict.fromkeys(warnings)), traces, names)

    def compare(
        self,
        references: References | Sequence[Source],
        questioned: Source,
        threshold: str = DEFAULT_THRESHOLD,
        page: int | None = None,
        box: Box | None = None,
    ) -> Comparison:
        """Compare a questioned signature with a writer's references.

        Parameters
        ----------
        references : References, or a sequence of images
            Genuine signatures of the writer, or what `enrol` made of them.
        questioned : image, or a document that shows one signature
        threshold : str
            "eer", "fmr=0.01", "fnmr=0.01" or, to refer what lies between to a person,
            "fmr=0.01,fnmr=0.01"; see `scoring.Scoring.rule`.
        page, box : optional
            Where on the questioned document; see `read_questioned`.

        Raises
        ------
        DeepSignError
            If an image cannot be used, the threshold is unknown, or the references are another
            model's.
        """
        kept = isinstance(references, References)
        if not kept:
            references = [references] if _is_one(references) else list(references)
        # An unknown name is refused before any image is read.
        self.scoring.rule(threshold, max(1, len(references.embeddings if kept else references)))
        references = references if kept else self.enrol(references)
        signature = self.read_questioned(questioned, page=page, box=box)
        return self.judge(references, signature, self.embed(signature.canvas[None])[0], threshold)

    def score(self, references: References, embeddings: np.ndarray) -> np.ndarray:
        """Scores of embeddings, float32 (n, d), against the same references: float32 (n,)."""
        return self._scored(references, embeddings)[1]

    def judge(
        self,
        references: References,
        signature: Signature,
        embedding: np.ndarray,
        threshold: str = DEFAULT_THRESHOLD,
    ) -> Comparison:
        """`compare` for a questioned signature that was read and embedded, float32 (d,), already.

        Raises
        ------
        DeepSignError
            If the threshold is unknown, or the references are another model's.
        """
        distances, scores = self._scored(references, embedding[None])
        k = distances.shape[1]
        rule, score = self.scoring.rule(threshold, k), float(scores[0])
        operation = self.scoring.operation(k)
        copy = _copy_of(references, signature)
        misfits = () if copy else self._misfits(references, signature, rule, score)
        return Comparison(
            decision="referred" if copy else str(rule.decide(score)),
            score=score,
            llrs={kind: float(line.llr(score)) for kind, line in operation.calibrations.items()},
            bounds={
                kind: (line.lowest, line.highest) for kind, line in operation.calibrations.items()
            },
            threshold_name=threshold,
            rule=rule,
            references=k,
            measured_references=self.scoring.measured(k),
            expected_errors=self.scoring.expected_errors(rule, k),
            errors_by_set=self.scoring.errors_by_set(rule, k),
            opponent=self.scoring.opponent,
            pairs=operation.pairs,
            measured_on=self.scoring.measured_on,
            distances=distances[0],
            model=self.identity,
            warnings=references.warnings + signature.warnings + misfits + _unchecked(references),
            copy_of=copy,
        )

    def _misfits(
        self, references: References, signature: Signature, rule: scoring.Rule, score: float
    ) -> tuple[Remark, ...]:
        """That a questioned signature is of another kind than the references, or leans where level
        it would be accepted."""
        traces = [trace for trace in references.traces if trace]
        if not traces or signature.trace is None:
            return ()
        found = []
        times = misfit.amount(traces, signature.trace)
        if max(times, 1 / times) > misfit.AMOUNT:
            more, less = (
                ("It has", "the references") if times > 1 else ("The references have", "it")
            )
            message = (
                f"{more} far more writing than {less}: initials, or a part of a signature, cannot "
                "be compared with a full one. Compare like with like."
            )
            found.append(Remark(signature.name, "other_kind", message))
        lean = misfit.lean(traces, signature.trace)
        known = misfit.leans(lean) and signature.ink is not None
        if known and rule.decide(score) != "accepted":
            canvas = draw(misfit.levelled(signature.ink, lean), self.preprocessing)
            level = float(self.score(references, self.embed(canvas[None]))[0])
            if rule.decide(level) == "accepted":
                turned, back = ("anticlockwise", "clockwise")[:: 1 if lean > 0 else -1]
                message = (
                    f"It is turned by about {abs(lean):.0f}° {turned} against the references; "
                    f"level, its score would be {level:.3f}, and accepted. If the page lay askew, "
                    f"turn the image {back} and give it again. If it lay straight, the verdict "
                    "holds: forgers' signatures lean more often than people's own."
                )
                found.append(Remark(signature.name, "askew", message))
        return tuple(found)

    def _scored(
        self, references: References, embeddings: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if references.model != self.identity:
            raise DeepSignError(
                f"These references were embedded by another model ({references.model[:12]}; this "
                f"one is {self.identity[:12]}): enrol the writer's images again."
            )
        own = self._without_odd_ones(references.embeddings)
        k, n = len(own), len(embeddings)
        return scoring.score_against(
            np.concatenate([own, embeddings]),
            np.tile(np.arange(k), (n, 1)),
            np.arange(k, k + n),
            self.scoring.population,
        )

    def _scores_among(self, embeddings: np.ndarray) -> enrolment.Scores:
        """Scores of some of these embeddings against others of them."""

        def scores(references: np.ndarray, questioned: np.ndarray) -> np.ndarray:
            return scoring.score_against(
                embeddings, references, questioned, self.scoring.population
            )[1]

        return scores

    def _without_odd_ones(self, embeddings: np.ndarray) -> np.ndarray:
        """References without those by another hand, as they would be named at enrolment.

        Their distance from the others would pass for the writer's own variation, and forgeries
        with it.
        """
        scores = self._scores_among(embeddings)
        if enrolment.two_styles(embeddings, scores, self.scoring):
            return embeddings
        odd = enrolment.odd_ones(len(embeddings), scores, self.scoring)
        return np.delete(embeddings, [one.row for one in odd], axis=0)

    def occlusion_map(self, references: References, signature: Signature) -> np.ndarray:
        """Which of the questioned ink spoke for a forgery: see `occlude` and `moved`.

        Returns
        -------
        float64 (8, 16)
        """
        cells, canvases = occlude(signature.canvas)
        embeddings = self.embed(np.concatenate([signature.canvas[None], canvases]))
        return self.moved(cells, self.score(references, embeddings), len(references.embeddings))

    def moved(self, cells: np.ndarray, scores: np.ndarray, references: int) -> np.ndarray:
        """By how much erasing ink raised the log likelihood ratio, by cell of the occlusion map.

        Parameters
        ----------
        cells : int (m, 2)
            From `occlude`.
        scores : float (1 + m,)
            Of the whole canvas, then of the occluded ones.
        references : int
            How many there were.

        Returns
        -------
        float64 (8, 16)
            Positive where the ink spoke for a forgery, negative where it spoke for a genuine
            signature, 0 where there is none.
        """
        # On the straight line of the calibration: beyond what the data support, all would be equal.
        line = self.scoring.operation(references).calibrations[self.scoring.opponent]
        result = np.zeros(_GRID)
        result[cells[:, 0], cells[:, 1]] = line.scale * (scores[1:] - scores[0])
        return result

    def distributions(self, references: int) -> dict[str, np.ndarray]:
        """Score distributions that the operating curve implies, smoothed, to draw.

        FNMR is the share of genuine scores below a threshold and 1 - FMR that of forged ones, so
        that their differences between thresholds are histograms.

        Returns
        -------
        dict
            `score` (60,), and densities `genuine`, `skilled`, `random` (60,) of those that were
            measured, each of sum 1.
        """
        curve = self.scoring.operation(references).curve
        edges = np.linspace(curve["threshold"].min(), curve["threshold"].max(), _BINS - 5)
        step = edges[1] - edges[0]
        edges = np.concatenate(
            [edges[0] + step * np.arange(-3, 0), edges, edges[-1] + step * np.arange(1, 4)]
        )
        below = {"genuine": curve["fnmr"]}
        below |= {
            kind: 1 - curve[f"fmr_{kind}"]
            for kind in scoring.metrics.FORGED_KINDS
            if f"fmr_{kind}" in curve
        }
        result = {"score": (edges[:-1] + edges[1:]) / 2}
        for kind, share in below.items():
            cumulated = np.interp(edges, curve["threshold"], share, left=0.0, right=1.0)
            density = np.diff(cumulated)
            for _ in range(4):
                density = np.convolve(density, [0.25, 0.5, 0.25], mode="same")
            result[kind] = density / density.sum()
        return result


def _faults(
    image: np.ndarray, page: Plain, canvas: tuple[int, int], name: str
) -> tuple[Removal | scan_faults.Fault, ...]:
    """What was taken away from an image that can be judged, and its faults; DeepSignError where it
    cannot be."""
    before = image if TEXT in page.removed else None
    found = scan_faults.faults(page.gray, *canvas, page.field > EDGE, before)
    for fault in found:
        if fault.stops:
            raise DeepSignError(f"{name}: {fault.message}")
    return page.removed + found


def _read_file(preprocessing: Preprocessing, file: Path) -> tuple[np.ndarray | None, str]:
    """A file's canvas and its faults in words; None and why where it cannot be judged."""
    try:
        image = load_image(file)
        page = plain(image)
        canvas = draw(page.field, preprocessing)
        found = _faults(image, page, canvas.shape, str(file))
    except BlankPageError as error:
        return None, f"{file}: {error}"
    except DeepSignError as error:
        return None, str(error)
    return canvas, " ".join(fault.message for fault in found)


def _copy_of(references: References, signature: Signature) -> CopyOf | None:
    """The nearest reference of those that a signature is a copy of."""
    if signature.trace is None:
        return None
    found = [
        CopyOf(name, copy.distance, copy.turned, copy.scaled)
        for name, trace in zip(references.names, references.traces, strict=True)
        if trace and (copy := copies.alike(trace, signature.trace))
    ]
    return min(found, key=lambda copy: copy.distance, default=None)


def _unchecked(references: References) -> tuple[Remark, ...]:
    """That some references were kept without what a copy is known by."""
    lacking = [
        name
        for name, trace in zip(references.names, references.traces, strict=True)
        if trace is None
    ]
    if not lacking:
        return ()
    message = (
        "Whether the questioned signature is a copy of it could not be checked: it was kept "
        "without its lines, as older versions did. Enrol it again."
    )
    return (Remark(_listed(lacking), "copy_not_checked", message),)


def occlude(canvas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Erase the ink around each cell of a grid, where there is some.

    An occlusion map (Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks",
    2014) shows which parts of an image moved a score: each is erased and the image scored again.

    Parameters
    ----------
    canvas : uint8 (H, W)

    Returns
    -------
    cells : int (m, 2)
        Row and column in the grid of 8 x 16.
    canvases : uint8 (m, H, W)
        Without the ink in the cell and half a cell around it.
    """
    height, width = canvas.shape
    rows, columns = _GRID
    cells, canvases = [], []
    for row in range(rows):
        for column in range(columns):
            window = (
                slice(_edge(row - 0.5, rows, height), _edge(row + 1.5, rows, height)),
                slice(_edge(column - 0.5, columns, width), _edge(column + 1.5, columns, width)),
            )
            if canvas[window].any():
                without = canvas.copy()
                without[window] = 0
                cells.append((row, column))
                canvases.append(without)
    return np.array(cells), np.stack(canvases)


def _edge(cell: float, cells: int, pixels: int) -> int:
    return min(max(round(cell * pixels / cells), 0), pixels)


def _blocks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    items = iter(items)
    while block := list(islice(items, size)):
        yield block


def _is_one(references: Any) -> bool:
    """Whether a lone image stands where a sequence of references is expected."""
    if isinstance(references, np.ndarray):
        return references.ndim == 2 or (references.ndim == 3 and references.shape[2] in (3, 4))
    one = isinstance(references, (str, Path, bytes, Image.Image)) or hasattr(references, "read")
    return one or not isinstance(references, Iterable)


def _refuse_no_image(image: Any, name: str) -> None:
    """DeepSignError if something is neither an image nor where one is found."""
    known = (str, Path, bytes, Image.Image, np.ndarray)
    if not isinstance(image, known) and not hasattr(image, "read"):
        raise DeepSignError(
            f"{name} is no image but of the type {type(image).__name__}: give a file's name, its "
            "content, an open file, a Pillow image or an array."
        )


def _content(file: BinaryIO, name: str) -> bytes:
    """What an open file holds, from where it stands."""
    try:
        content = file.read()
    except (OSError, ValueError) as error:  # ValueError: it is closed, or no text
        raise DeepSignError(f"{name} cannot be read: {error}.") from error
    if not isinstance(content, bytes):
        raise DeepSignError(f"{name} was opened as text: open it with mode 'rb'.")
    if not content:
        raise DeepSignError(f"{name} is empty from where it stands: rewind it with seek(0).")
    return content


def _number(ratio: float) -> str:
    """Two figures of it, and whole."""
    return f"{float(f'{ratio:.2g}'):,.0f}" if ratio >= 10 else f"{ratio:.1f}"


def _named(file: Path, build: Any) -> Any:
    """Build an object of a JSON file's content; what goes wrong names the file."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DeepSignError(
            f"{file} is damaged and cannot be read ({error}): take the model folder from its "
            "source again, or train the model again."
        ) from error
    if not isinstance(values, dict):
        raise DeepSignError(f"{file} must hold a JSON object, not {type(values).__name__}.")
    try:
        return build(values)
    except DeepSignError as error:
        raise DeepSignError(f"{file}: {error}") from error


def _check_scoring(scoring_: scoring.Scoring, file: Path) -> None:
    """Refuse numbers that no measurement gives."""
    population = asdict(scoring_.population)
    style = population.pop("style") or {}
    for k, operation in scoring_.operations.items():
        lines = [asdict(line) for line in operation.calibrations.values()]
        curve = operation.curve
        rates = np.array([rates for name, rates in curve.items() if name != "threshold"])
        numbers = [
            *population.values(),
            *style.pop("direction", ()),
            *style.values(),
            *(number for line in lines for number in line.values()),
            *operation.thresholds.values(),
            *operation.pairs.values(),
        ]
        sound = (
            all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers)
            and scoring_.opponent in operation.calibrations
            and all(line["scale"] >= 0 and line["lowest"] <= line["highest"] for line in lines)
            and DEFAULT_THRESHOLD in operation.thresholds
            and {"genuine", scoring_.opponent} <= set(operation.pairs)
            and min(operation.pairs.values()) >= 0
            and k >= 1
            and len(curve["threshold"]) > 1
            and np.isfinite([*curve.values()]).all()
            and (np.diff(curve["threshold"]) > 0).all()
            and (np.diff(curve["fnmr"]) >= 0).all()
            and ((rates >= 0) & (rates <= 1)).all()
        )
        if not sound:
            raise DeepSignError(
                f"{file} holds numbers that no measurement gives (references: {k}): take the "
                "model folder from its source again, or train the model again."
            )
    if not scoring_.operations:
        raise DeepSignError(f"{file} holds no measured operation: train the model again.")


def _check_encoder(encoder: OnnxEncoder | KerasEncoder, preprocessing: Preprocessing) -> None:
    """Refuse an encoder that does not fit its preprocessing or does not embed."""
    height, width = preprocessing.canvas_height, preprocessing.canvas_width
    if encoder.canvas_shape != (height, width):
        raise DeepSignError(
            f"{encoder.file} takes canvases of the shape {encoder.canvas_shape}, but "
            f"preprocessing.json beside it makes some of {height} x {width}: the two are of "
            "different models."
        )
    canvas = np.zeros((1, height, width), np.uint8)
    canvas[:, height // 2, width // 4 : -width // 4] = 255
    length = np.linalg.norm(encoder.embed(canvas))
    if not np.isclose(length, 1, atol=1e-3):
        raise DeepSignError(
            f"{encoder.file} does not embed a signature as a vector of length 1 (it gives one of "
            f"length {length:.3g}): it is damaged, or no encoder."
        )
