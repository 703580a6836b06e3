"""What the service does, without HTTP: reads uploads, embeds them together, judges."""

import asyncio
import base64
import contextlib
import io
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from deepsign_utils import DeepSignError
from deepsign_utils.preprocessing import ImageTooLargeError, is_pdf, open_image
from deepsign_utils.study.processes import usable_processors
from deepsign_utils.verifying import enrolment
from deepsign_utils.verifying.comparison import Comparison
from deepsign_utils.verifying.copies import Trace
from deepsign_utils.verifying.explanation import moved, occlude
from deepsign_utils.verifying.find_signatures import Box
from deepsign_utils.verifying.pages import open_page
from deepsign_utils.verifying.references import References, Signature, each_read
from deepsign_utils.verifying.service.batching import Batcher, OverloadedError
from deepsign_utils.verifying.service.metrics import Metrics
from deepsign_utils.verifying.service.settings import Settings
from deepsign_utils.verifying.service.store import Store
from deepsign_utils.verifying.verifier import QUESTIONED, Verifier

_WAITING_BATCHES = 32  # a few seconds' work: what waits longer, its caller has given up
_PHOTOGRAPH = 12_000_000  # pixels: larger ones are decoded one at a time, for their memory
_MOST_SCANS = 100  # of a progressive JPEG: each is decoded over the whole image


class NotReadyError(OverloadedError):
    """The model is still being loaded."""


class Engine:
    """The model, its batches, the store and the figures about them.

    Parameters
    ----------
    settings : Settings

    Raises
    ------
    DeepSignError
        If the store cannot be opened.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(lambda: self._batcher.waiting if self._batcher else 0)
        self.store = Store(settings.store)
        self._verifier: Verifier | None = None
        self._batcher: Batcher | None = None
        # As many decode at a time as there are processors, which also bounds their memory.
        self._readers = ThreadPoolExecutor(usable_processors(), "reading")

    def load(self) -> None:
        """Load the model and run it once; DeepSignError as `Verifier.load`."""
        verifier = Verifier.load(self.settings.model)
        shape = (verifier.preprocessing.canvas_height, verifier.preprocessing.canvas_width)
        # So that the first caller does not wait for what a first run prepares.
        for images in (1, 2, 3):
            verifier.embed(np.zeros((images, *shape), np.uint8))
        self._batcher = Batcher(
            verifier.embed,
            self.settings.batch_images,
            self.settings.batch_milliseconds / 1000,
            _WAITING_BATCHES * self.settings.batch_images,
            self.metrics.batch_images.observe,
        )
        self._verifier = verifier

    def close(self) -> None:
        """Finish what was begun and let go of the threads and the store."""
        self._readers.shutdown(cancel_futures=True)
        if self._batcher:
            self._batcher.close()
        self.store.close()

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._verifier is not None

    @property
    def verifier(self) -> Verifier:
        """The model; NotReadyError while it is loaded."""
        if self._verifier is None:
            raise NotReadyError("The model is still being loaded: try again in a few seconds.")
        return self._verifier

    async def read(
        self,
        images: Sequence[bytes],
        names: Sequence[str],
        page: int | None = None,
        box: Box | None = None,
    ) -> list[Signature]:
        """Decode and clean uploads; `page` and `box` say where the questioned signature is.

        Raises
        ------
        UnknownImageError, ImageTooLargeError, DeepSignError
        """
        verifier, loop, where = self.verifier, asyncio.get_running_loop(), (page, box)
        reading = [
            loop.run_in_executor(
                self._readers, read_upload, verifier, image, name, self.settings.max_pixels, *where
            )
            for image, name in zip(images, names, strict=True)
        ]
        await asyncio.wait(reading)
        signatures = each_read(future.result for future in reading)
        self.metrics.images.inc(len(signatures))
        return signatures

    async def embed(self, canvases: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Embed canvases in the next batch; OverloadedError if too many wait."""
        _ = self.verifier
        assert self._batcher is not None  # made with the verifier
        return await asyncio.wrap_future(self._batcher.submit(np.stack(list(canvases))))

    async def references(
        self,
        signatures: Sequence[Signature],
        embeddings: np.ndarray,
        known: References | None = None,
    ) -> References:
        """References of images that were read and embedded; see `Verifier.looked_at`."""
        return await asyncio.to_thread(self.verifier.looked_at, signatures, embeddings, known)

    def enrolled(self, writer: str) -> References | None:
        """References of an enrolled writer; OtherModelError if another model embedded them."""
        kept = self.store.enrolled(writer, self.verifier.identity)
        if kept is None:
            return None
        ids, embeddings, traces = kept
        names = tuple(f"enrolled reference {number}" for number in ids)
        return References(
            embeddings,
            self.verifier.identity,
            tuple(enrolment.unlike(names, embeddings, self.verifier.scoring)),
            tuple(Trace.from_bytes(trace) if trace else None for trace in traces),
            names,
        )

    async def judge(
        self,
        references: References,
        questioned: Signature,
        embedding: np.ndarray,
        threshold: str,
    ) -> Comparison:
        """The verdict."""
        comparison = await asyncio.to_thread(
            self.verifier.judge, references, questioned, embedding, threshold
        )
        self.metrics.decisions.labels(comparison.decision).inc()
        return comparison

    async def occlusion(
        self, references: References, questioned: Signature, embedding: np.ndarray
    ) -> np.ndarray:
        """The occlusion map; see `Verifier.occlusion_map`."""
        verifier = self.verifier
        cells, canvases = occlude(questioned.canvas)
        embeddings, step = [embedding[None]], max(1, self.settings.batch_images // 2)
        for start in range(0, len(canvases), step):  # so that others come in between
            embeddings.append(await self.embed(canvases[start : start + step]))
        scores = verifier.score(references, np.concatenate(embeddings))
        return moved(cells, scores, verifier.scoring, verifier.counted(references))

    def explain(
        self,
        references: References,
        questioned: Signature,
        compared: Sequence[Signature],
        occlusion: np.ndarray,
    ) -> dict[str, Any]:
        """What the page draws: cleaned images, occlusion map, score distributions."""
        distributions = self.verifier.scoring.distributions(self.verifier.counted(references))
        return {
            "questioned": data_url(questioned.canvas),
            "references": [data_url(signature.canvas) for signature in compared],
            "occlusion": occlusion.round(3).tolist(),
            "distributions": {
                name: values.round(6).tolist() for name, values in distributions.items()
            },
        }


_one_photograph = threading.Lock()


def read_upload(
    verifier: Verifier,
    content: bytes,
    name: str,
    max_pixels: int,
    page: int | None = None,
    box: Box | None = None,
) -> Signature:
    """Decode and clean one uploaded file; its type is told by its content. Of a page or PDF in the
    place of the questioned signature, the one signature on it, or what is in the box on that page.

    Raises
    ------
    UnknownImageError
        If it is no image of a known type.
    ImageTooLargeError
        If it has more pixels than allowed.
    DeepSignError
        If it is damaged or blank, or a page without one signature.
    """
    if name == QUESTIONED and is_pdf(content):
        with _one_photograph:
            return verifier.read_questioned(content, name, page, box)
    image = (open_page if name == QUESTIONED else open_image)(content, name)
    if image.width * image.height > max_pixels:
        raise ImageTooLargeError(
            f"{name} has {image.width} x {image.height} pixels, and {max_pixels:,} are allowed: "
            "scan it at a lower resolution or crop it to the signature."
        )
    if image.format == "JPEG" and content.count(b"\xff\xda") > _MOST_SCANS:
        raise DeepSignError(f"{name} is a JPEG of too many scans: save it as a plain one.")
    large = image.width * image.height > _PHOTOGRAPH
    with _one_photograph if large else contextlib.nullcontext():
        if name == QUESTIONED:
            return verifier.read_questioned(content, name, page, box)
        return verifier.read(image, name)


def data_url(canvas: np.ndarray) -> str:
    """A canvas as a PNG, ink dark on white, inside an address."""
    content = io.BytesIO()
    Image.fromarray(255 - canvas).save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
