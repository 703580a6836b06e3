"""What the tests of verifier, service and page share: drawn signatures, a tiny model, a service."""

import contextlib
import functools
import io
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
from conftest import PATIENCE
from PIL import Image, ImageDraw

from deepsign_utils import models, scoring
from deepsign_utils.deployed_encoder import export
from deepsign_utils.preprocessing import Preprocessing, clean
from deepsign_utils.study import seal, write_json
from deepsign_utils.synthetic import pages
from deepsign_utils.verifying.find_signatures import find_signatures

ROOT = Path(__file__).resolve().parent.parent
CANVAS = Preprocessing(32, 64, "aspect")


def signature(writer: int, specimen: int = 0, unsteadiness: float = 3) -> Image.Image:
    """A scrawl of 300 x 120: the same writer, the same curve; each specimen a little off."""
    curve = np.random.default_rng([7, writer]).uniform((30, 25), (270, 95), (9, 2))
    curve[:, 0].sort()
    shaken = curve + np.random.default_rng([writer, specimen]).normal(0, unsteadiness, curve.shape)
    image = Image.new("L", (300, 120), 255)
    ImageDraw.Draw(image).line([tuple(point) for point in shaken], fill=30, width=4, joint="curve")
    return image


@functools.cache
def letter() -> Image.Image:
    """A page at 150 dots an inch, on which just one signature is found."""
    drawn = (
        pages.compose(5, number, kind="letter", signed=True, script="latin", dpi=150)
        for number in itertools.count()
    )
    page = next(page for page in drawn if len(find_signatures(page.image)) == 1)
    return Image.fromarray(page.image).convert("RGB")


def png(image: Image.Image) -> bytes:
    """The image as a PNG file's bytes."""
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


@functools.cache
def model_folder() -> Path:
    """A model folder: random weights, and a scoring fitted to its scores of drawn signatures."""
    folder = Path(tempfile.mkdtemp(prefix="deepsign-model-"))
    encoder = models.build_encoder(
        "lightweight_encoder", CANVAS.canvas_height, CANVAS.canvas_width, seed=1
    )
    models.save_encoder(encoder, folder / "encoder.keras")
    write_json(folder / "preprocessing.json", CANVAS.to_dict())
    write_json(folder / "scoring.json", _fitted(encoder).to_dict())
    export.export_encoder(folder / "encoder.keras", CANVAS, folder)
    seal(folder)
    return folder


def _fitted(encoder) -> scoring.Scoring:
    rows, canvases = [], []
    for writer in range(8):
        for specimen in range(10):
            forged = specimen >= 6
            image = signature(writer, specimen, unsteadiness=14 if forged else 3)
            canvases.append(clean(np.asarray(image), CANVAS))
            rows.append((writer, forged))
    pairs, trials = [], []
    for writer in range(8):
        own = [i for i, (w, forged) in enumerate(rows) if w == writer and not forged]
        false = [i for i, (w, forged) in enumerate(rows) if w == writer and forged]
        other = [i for i, (w, forged) in enumerate(rows) if w == (writer + 1) % 8 and not forged]
        name = str(writer)
        pairs += [(a, b, "genuine", name) for a, b in combinations(own, 2)]
        for kind, questioned in (("skilled", false), ("random", other)):
            pairs += [(a, b, kind, name) for a in own for b in questioned]
        for kind, questioned in (("genuine", own[3:]), ("skilled", false), ("random", other)):
            trials += [(name, 0, own[:3], q, kind) for q in questioned]
    embeddings, ids = models.embed(encoder, np.stack(canvases)), np.arange(len(rows))
    genuine = np.array([not forged for _, forged in rows])
    writers = np.array([writer for writer, _ in rows])
    population = scoring.Population.of(embeddings[genuine], writers[genuine])
    tables = scoring.score_tables(
        embeddings,
        ids,
        pd.DataFrame(pairs, columns=["left", "right", "kind", "writer"]),
        pd.DataFrame(trials, columns=["writer", "draw", "references", "questioned", "kind"]).assign(
            count=3
        ),
        population,
    )
    measured_on = [{"dataset": "drawn", "split": "validation", "writers": 8}]
    return scoring.fit_scoring(
        {"drawn": tables}, population, measured_on, np.random.default_rng(0), 50
    )


class Service:
    """The service as its own process, on a port that it takes itself."""

    def __init__(self, store: Path, **settings: object) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the service
        environment = {f"DEEPSIGN_{name.upper()}": str(value) for name, value in settings.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deepsign_utils", "serve"],
            cwd=ROOT,
            env={
                **os.environ,
                "DEEPSIGN_MODEL": str(model_folder()),
                "DEEPSIGN_STORE": str(store),
                "DEEPSIGN_PORT": "0",
                "DEEPSIGN_REQUEST_SECONDS": str(PATIENCE),  # unless a test asks how it gives up
                **environment,
            },
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE)

    @functools.cached_property
    def port(self) -> int:
        """Where it listens, as it says itself; 0 if it ended before."""
        while True:
            ended = self.process.poll() is not None
            if said := re.search(r"listening at http://\S+:(\d+)", self.log()):
                return int(said[1])
            if ended:
                return 0
            time.sleep(0.05)

    @property
    def url(self) -> str:
        """Address of the service."""
        return f"http://127.0.0.1:{self.port}"

    def wait(self) -> "Service":
        """Return when the model is loaded."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if self.client.get("/ready").status_code == 200:
                    return self
            time.sleep(0.2)
        raise AssertionError(f"the service is not ready:\n{self.log()}")

    def log(self) -> str:
        """All that it wrote so far."""
        # The process writes where the file's one position is: it must not be moved.
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode()

    def kill(self) -> None:
        """As a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; return its exit status."""
        self.client.close()
        self.process.terminate()
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def serving(store: Path, **settings: object) -> Iterator[Service]:
    """A service that is ready, and stopped in the end."""
    service = Service(store, **settings)
    try:
        yield service.wait()
    finally:
        if service.process.poll() is None:
            service.stop()


def upload(field: str, *images: Image.Image | bytes) -> list[tuple]:
    """Multipart files of one field."""
    contents = [image if isinstance(image, bytes) else png(image) for image in images]
    return [(field, (f"{field}.png", content)) for content in contents]
