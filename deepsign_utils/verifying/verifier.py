"""A trained model applied to anyone's images.

>>> verifier = Verifier.load("reports/synthetic/model")  # doctest: +SKIP
>>> comparison = verifier.compare(["one.png", "two.png"], "questioned.png")  # doctest: +SKIP
>>> comparison.decision, comparison.llr  # doctest: +SKIP
('accepted', 3.2)

Images are cleaned as `preprocessing.json` of the model folder says, and scored by `scoring.py`, as
chapter 6 does: what was measured is what is deployed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from deepsign_utils import DeepSignError
from deepsign_utils.deployed_encoder.runtime import KerasEncoder, OnnxEncoder
from deepsign_utils.preprocessing import (
    EDGE,
    BlankPageError,
    FineInk,
    Preprocessing,
    Removal,
    draw,
    finely,
    image_from_array,
    load_image,
    open_image,
    plain,
)
from deepsign_utils.preprocessing.form import LINE, TEXT
from deepsign_utils.scoring import DEFAULT_THRESHOLD, Scoring, score_against
from deepsign_utils.study.folders import PRETRAINED
from deepsign_utils.study.processes import ordered_map
from deepsign_utils.verifying import copies, enrolment, misfit, scan_faults
from deepsign_utils.verifying.comparison import ASKEW, Comparison, Remark, no_verdict
from deepsign_utils.verifying.explanation import moved, occlude
from deepsign_utils.verifying.find_signatures import Box
from deepsign_utils.verifying.model_folder import read_model
from deepsign_utils.verifying.pages import from_page
from deepsign_utils.verifying.references import References, Signature, each_read

Source = str | Path | bytes | BinaryIO | Image.Image | np.ndarray
"""An image: a file, its content, a file open for reading bytes, a Pillow image, or an array of gray
levels or RGB(A)."""

Told = Removal | scan_faults.Fault
"""What is to be said of an image: something that was taken away, or a fault; both have a code."""

QUESTIONED = "the questioned signature"
"""What a questioned image is called that is no file."""

_BATCH = 64  # canvases that wait while others are cleaned


class Verifier:
    """A model folder, loaded: cleans, embeds, compares.

    Attributes
    ----------
    preprocessing, scoring, identity, scoring_hash
        As of `model_folder.Model`.
    """

    def __init__(
        self,
        encoder: OnnxEncoder | KerasEncoder,
        preprocessing: Preprocessing,
        scoring: Scoring,
        identity: str,
        scoring_hash: str,
    ) -> None:
        self.identity = identity
        self.scoring_hash = scoring_hash
        self.preprocessing = preprocessing
        self.scoring = scoring
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
        """Load a model folder, by default the shipped one; errors as `model_folder.read_model`."""
        return cls(*read_model(Path(folder)))

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
        return read_signature(image, self.preprocessing, name)

    def read_questioned(
        self,
        source: Source,
        name: str = QUESTIONED,
        page: int | None = None,
        box: Box | None = None,
    ) -> Signature:
        """`read`, of a whole page, a TIFF of several pages or a PDF too: the signature on it.

        Parameters
        ----------
        source : as for `read`
        name : str
            What to call it in messages, where it is not a file.
        page, box : optional
            As for `verifying.pages.from_page`.

        Raises
        ------
        DeepSignError
            As `read`, and where a page shows no signature, or several.
        """
        _refuse_no_image(source, name)
        if isinstance(source, np.ndarray):
            source = image_from_array(source, name)
        elif not isinstance(source, (str, Path, bytes, Image.Image)):
            source = _content(source, name)
        document = "the questioned document" if name == QUESTIONED else name
        found = from_page(source, document, page, box)
        if found is None:
            return self.read(source, name)
        name = str(source) if isinstance(source, (str, Path)) else name
        signature = self.read(found.image, name)
        told = Remark(name, "from_a_page", f"The signature judged stands on {found.where}.")
        return replace(signature, warnings=(told, *signature.warnings), cutting=found.image)

    def embed(self, canvases: np.ndarray) -> np.ndarray:
        """Embed canvases, uint8 (n, canvas_height, canvas_width): float32 (n, d) of unit length."""
        return self._encoder.embed(canvases)

    def embed_files(
        self,
        files: Sequence[Path],
        progress: bool = True,
        warnings: dict[Path, tuple[Told, ...]] | None = None,
        each: Callable[[np.ndarray], None] = lambda canvas: None,
        traces: dict[Path, bytes] | None = None,
    ) -> tuple[np.ndarray, dict[Path, str]]:
        """Embed many image files, cleaned in parallel and held in memory a few at a time.

        Parameters
        ----------
        files : sequence of Path
        progress : bool
            Whether to show a progress bar.
        warnings : dict, optional
            Filled with what is to be said of those that can be used, by file.
        each : callable, optional
            Called with every canvas that is embedded, in order.
        traces : dict, optional
            Filled with the centre lines of those that can be used, as `copies.Trace.to_bytes` keeps
            them, by file.

        Returns
        -------
        embeddings : float32 (n, d)
            In the order of `files`, without those that cannot be used.
        problems : dict
            File -> why it cannot be used.
        """
        work = partial(_read_file, self.preprocessing, traces is not None)
        read = ordered_map(work, files, None, progress, "embedding")
        problems: dict[Path, str] = {}
        told = {} if warnings is None else warnings

        def canvases() -> Iterator[np.ndarray]:
            for file, (canvas, problem, found, trace) in zip(files, read, strict=True):
                if canvas is None:
                    problems[file] = problem
                    continue
                told[file] = found
                if traces is not None:
                    traces[file] = trace
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
            If there are none, or some cannot be used, as `read` does.
        """
        return self.references_of(each_read(self._readings(images)))

    def _readings(self, references: Any) -> list[Callable[[], Signature]]:
        return [
            partial(self.read, image, f"reference {number}")
            for number, image in enumerate(_several(references), 1)
        ]

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
        """References of images read and embedded, as `enrolment.look_at` keeps and remarks on them.

        Parameters
        ----------
        signatures : sequence of Signature
        embeddings : float32 (k, d)
        known : References, optional
            Of the same writer, which these are added to.
        """
        signatures, embeddings, stamped = enrolment.without_stamped(
            signatures, embeddings, others=known is not None
        )
        names = [signature.name for signature in signatures]
        traces: list[copies.Trace | None] = [signature.trace for signature in signatures]
        if known is not None:
            names, traces = [*known.names, *names], [*known.traces, *traces]
            embeddings = np.concatenate([known.embeddings, embeddings])
        kept, told = enrolment.look_at(names, traces, embeddings, self.scoring)
        faults = [warning for signature in signatures for warning in signature.warnings]
        return References(
            embeddings[kept],
            self.identity,
            tuple(dict.fromkeys(stamped + faults + told)),
            tuple(traces[row] for row in kept),
            tuple(names[row] for row in kept),
        )

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
        enrolled = references if isinstance(references, References) else None
        readings = [] if enrolled else self._readings(references)
        # An unknown name is refused before any image is read.
        self.scoring.rule(threshold, len(enrolled.embeddings if enrolled else readings) or 1)
        readings.append(partial(self.read_questioned, questioned, page=page, box=box))
        *signatures, last = each_read(readings)
        known = enrolled or self.references_of(signatures)
        return self.judge(known, last, self.embed(last.canvas[None])[0], threshold)

    def score(self, references: References, embeddings: np.ndarray) -> np.ndarray:
        """Scores of embeddings, float32 (n, d), against the same references: float32 (n,)."""
        return self._scored(references, embeddings)[1]

    def score_turned(
        self,
        references: References,
        canvas: np.ndarray,
        ink: Callable[[], np.ndarray],
        turn: float,
    ) -> float:
        """Score of a signature turned back by some degrees.

        Parameters
        ----------
        references : References
        canvas : uint8 (canvas_height, canvas_width)
        ink : callable
        turn : float
            As `misfit.turned_back` takes them.
        """
        turned = misfit.turned_back(canvas, ink, turn, self.preprocessing)
        return float(self.score(references, self.embed(turned[None]))[0])

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
        copy = references.original_of(signature)

        def decision(turn: float) -> str:
            if not turn:
                return str(rule.decide(score))
            back = self.score_turned(references, signature.canvas, lambda: signature.ink, turn)
            return str(rule.decide(back))

        misfits: tuple[Remark, ...] = ()
        if not copy:
            misfits = misfit.remarks(references.traces, signature.trace, signature.name, decision)
        warnings = references.warnings + signature.warnings + misfits
        codes = [warning.code for warning in warnings]
        referred = copy or no_verdict(codes) or ASKEW in codes
        return Comparison(
            decision="referred" if referred else decision(0),
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
            expected_referrals=self.scoring.expected_referrals(rule, k),
            errors_by_set=self.scoring.errors_by_set(rule, k),
            opponent=self.scoring.opponent,
            pairs=self.scoring.pairs(k),
            measured_on=self.scoring.measured_on,
            distances=distances[0],
            model=self.identity,
            scoring=self.scoring_hash,
            warnings=warnings + references.unchecked(),
            copy_of=copy,
        )

    def counted(self, references: References) -> int:
        """How many references a verdict rests on: all but the odd ones."""
        return len(enrolment.without_odd_ones(references.embeddings, self.scoring))

    def _scored(
        self, references: References, embeddings: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if references.model != self.identity:
            raise DeepSignError(
                f"These references were embedded by another model ({references.model[:12]}; this "
                f"one is {self.identity[:12]}): enrol the writer's images again."
            )
        own = enrolment.without_odd_ones(references.embeddings, self.scoring)
        k, n = len(own), len(embeddings)
        return score_against(
            np.concatenate([own, embeddings]),
            np.tile(np.arange(k), (n, 1)),
            np.arange(k, k + n),
            self.scoring.population,
        )

    def occlusion_map(self, references: References, signature: Signature) -> np.ndarray:
        """Which of the questioned ink spoke for a forgery: see `explanation.moved`.

        Returns
        -------
        float64 (8, 16)
        """
        cells, canvases = occlude(signature.canvas)
        embeddings = self.embed(np.concatenate([signature.canvas[None], canvases]))
        scores = self.score(references, embeddings)
        return moved(cells, scores, self.scoring, self.counted(references))


def read_signature(image: Source, preprocessing: Preprocessing, name: str) -> Signature:
    """Decode and clean an image, and look for faults: `Verifier.read`, which needs no network.

    Parameters, result and errors are those of `Verifier.read`; `preprocessing` is the model's.
    """
    name = str(image) if isinstance(image, (str, Path)) else name
    _refuse_no_image(image, name)
    if not isinstance(image, (str, Path, bytes, Image.Image, np.ndarray)):
        image = _content(image, name)
    if isinstance(image, (str, Path, bytes)):
        image = open_image(image, name)
    paged = isinstance(image, Image.Image) and scan_faults.has_several_pages(image, name)
    pixels = load_image(image, name)
    ink, canvas, found = _cleaned(pixels, preprocessing, name)
    found = (scan_faults.SEVERAL_PAGES,) * paged + found
    warnings = tuple(Remark(name, fault.code, fault.message) for fault in found)
    trace = copies.trace(*ink, lined=LINE in found)
    return Signature(name, canvas, warnings, trace, misfit.kept(ink.field))


def _cleaned(
    image: np.ndarray, preprocessing: Preprocessing, name: str
) -> tuple[FineInk, np.ndarray, tuple[Told, ...]]:
    """Ink and canvas of an image that can be judged, with what was taken away from it and its
    faults; DeepSignError where it cannot be."""
    try:
        page = plain(image)
        ink = finely(page)
        canvas = draw(ink.field, preprocessing)
    except BlankPageError as error:
        raise BlankPageError(f"{name}: {error}") from error
    before = image if TEXT in page.removed else None
    height, width = canvas.shape
    found = scan_faults.faults(page.gray, height, width, page.field > EDGE, before)
    for fault in found:
        if fault.stops:
            raise DeepSignError(f"{name}: {fault.message}")
    told = {one.code for one in page.removed}
    return ink, canvas, page.removed + tuple(one for one in found if one.code not in told)


def _read_file(
    preprocessing: Preprocessing, traced: bool, file: Path
) -> tuple[np.ndarray | None, str, tuple[Told, ...], bytes]:
    """A file's canvas, why it cannot be judged where there is none, what is to be said, and its
    centre lines if they are asked for."""
    try:
        image = open_image(file)
        paged = scan_faults.has_several_pages(image, str(file))
        ink, canvas, found = _cleaned(load_image(image, str(file)), preprocessing, str(file))
        trace = copies.trace(*ink, lined=LINE in found).to_bytes() if traced else b""
    except DeepSignError as error:
        return None, str(error), (), b""
    return canvas, "", (scan_faults.SEVERAL_PAGES,) * paged + found, trace


def _blocks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    items = iter(items)
    while block := list(islice(items, size)):
        yield block


def _several(references: Any) -> list[Source]:
    """The references, or a lone image that stands where a sequence of them is expected."""
    if isinstance(references, np.ndarray):
        one = references.ndim == 2 or (references.ndim == 3 and references.shape[2] in (3, 4))
    else:
        one = isinstance(references, (str, Path, bytes, Image.Image)) or hasattr(references, "read")
        one = one or not isinstance(references, Iterable)
    return [references] if one else list(references)


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
