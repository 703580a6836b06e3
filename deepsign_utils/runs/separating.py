"""Train the network that tells a signature's ink from all other ink on its page.

``python -m deepsign_utils.runs.separating train`` draws synthetic signatures on simulated forms,
trains on them and writes `preprocessing/separation.onnx`. Drawings and the state of the training are
kept in a folder, from which an interrupted run goes on. ``… measure`` tells, on writers of another
seed, how much of the signatures' ink is lost and how much other ink stays.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from deepsign_utils.capture import camera, fax, form, geometry, pen, sheet
from deepsign_utils.capture.paper import estimated_dpi, ink_box, ink_of
from deepsign_utils.preprocessing import EDGE
from deepsign_utils.preprocessing.images import resize
from deepsign_utils.preprocessing.ink import ink_field, reduced, typical_stroke_width
from deepsign_utils.preprocessing.separation import KINDS, SEPARATOR, tell, view
from deepsign_utils.study.artefacts import check_output, replacing, write_atomically
from deepsign_utils.study.processes import ordered_map
from deepsign_utils.synthetic.draw import draw_writer

_PRINTS: tuple[tuple[str, Callable[..., np.ndarray], float], ...] = (
    ("line", form.ruled_line, 1),
    ("line", form.dashed_line, 2),
    ("line", form.lined_paper, 1),
    ("line", form.squared_paper, 2),
    ("line", fax.streaks, 0.5),
    ("box", form.box, 1),
    ("box", form.comb, 1),
    ("text", form.text_below, 1),
    ("text", form.text_above, 1),
    ("text", form.text_beside, 1),
    ("text", form.line_and_text, 1),
    ("stamp", form.stamp, 2),
    ("stamp", form.seal, 2),
    ("back", sheet.bleed_through, 1),
    ("staple", sheet.stapled, 0.5),
)
"""Kinds, how they come onto a page, and how often."""

_OFTEN = np.array([often for _, _, often in _PRINTS]) / sum(often for _, _, often in _PRINTS)
_HOW_MANY = (0.3, 0.5, 0.2)  # how often a page has none, one or two of these
_TRACE = 1e-6  # a strength at which a page grows as it would, and shows nothing
_FOUND = 0.7  # of the signature's ink, at least, is ink on the page
_VISIBLE = 4  # gray levels that print darkens a page by
_SIGNATURES = 2  # genuine and as many forged ones of each writer
_PAGES = 3  # of each signature

_CROP = (160, 448)  # pixels, of a drawing, that are learnt from at a time
_BATCH = 8
_STEPS_KEPT = 500  # after so many the training's state is kept
_RATE, _WARM_UP = 3e-3, 200  # the learning rate at its highest, and the steps until then


def _underlined(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The signature with a stroke below or through it, drawn by hand: a part of the signature."""
    ink = ink_of(image)
    if not ink.any():
        return image
    top, bottom, left, right = ink_box(image)
    high, wide = bottom - top, right - left
    width = typical_stroke_width(ink)
    x = np.linspace(rng.uniform(-0.1, 0.4), rng.uniform(0.6, 1.15), 40)
    y = rng.choice([rng.uniform(0.85, 1.15), rng.uniform(-0.1, 0.1), rng.uniform(0.3, 0.8)])
    wobble = np.cumsum(rng.normal(0, 0.03, x.size)) * width
    bend = rng.normal(0, 0.03) * wide * (x - 0.5) ** 2
    rows = top + y * high + rng.normal(0, 0.05) * wide * (x - 0.5) + bend + wobble
    columns = left + x * wide
    fine = 3
    plate = Image.new("L", (image.shape[1] * fine, image.shape[0] * fine))
    points = [(float(a) * fine, float(b) * fine) for a, b in zip(columns, rows, strict=True)]
    thick = max(1, round(width * rng.uniform(0.6, 1.2) * fine))
    ImageDraw.Draw(plate).line(points, fill=255, width=thick, joint="curve")
    share = np.asarray(plate.reduce(fine), np.float32) / 255
    dark = np.float32(np.median(image[ink]))
    return np.minimum(image, np.rint(image + share * (dark - image))).astype(np.uint8)


def _by_a_hand(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The signature as another sheet, pen or scanner would have it."""
    dpi = estimated_dpi(image)
    if rng.random() < 0.25:
        image = _underlined(image, rng)
    if rng.random() < 0.25:
        image = geometry.turned(image, rng, rng.uniform(), dpi)
    pens = (pen.thinner_pen, pen.thicker_pen, pen.pencil)
    if rng.random() < 0.3:
        image = pens[rng.integers(3)](image, rng, rng.uniform(0.2, 0.9), dpi)
    scans = (geometry.finer, geometry.coarser)
    if rng.random() < 0.3:
        image = scans[rng.integers(2)](image, rng, rng.uniform(0.2, 0.8), dpi)
    return image


def _scanned(image: np.ndarray, rng: np.random.Generator, dpi: float) -> np.ndarray:
    """The page as a scanner, a telephone or a fax gives it, and no pixel in another place."""
    scans = (camera.defocus, camera.noise, camera.jpeg, fax.one_bit)
    if rng.random() < 0.6:
        image = scans[rng.integers(4)](image, rng, rng.uniform(0.1, 0.7), dpi)
    return image


def drawing(image: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Put a signature on a page that shows other ink, and tell which is which.

    Parameters
    ----------
    image : uint8 (H, W)
        A scanned signature, and nothing else.
    rng : numpy.random.Generator

    Returns
    -------
    uint8 (h, w, 4) or None
        What the network sees (`separation.view`), the share of each pixel that is the signature's,
        and the kind of other ink, from 1 on in the order of `KINDS`; 0 where there is none, or a
        later print made the page grow. None where nothing of the signature is found on the page.
    """
    page = clean = _by_a_hand(image, rng)
    dpi = estimated_dpi(image) * rng.uniform(0.8, 1.25)
    kinds = np.zeros(page.shape, np.uint8)
    for _ in range(rng.choice(len(_HOW_MANY), p=_HOW_MANY)):
        kind, print_, _ = _PRINTS[rng.choice(len(_PRINTS), p=_OFTEN)]
        seed, strength = rng.integers(1 << 31), rng.uniform(0.25, 1)
        page, bare, clean = (
            print_(one, np.random.default_rng(seed), how, dpi)
            for one, how in ((page, strength), (page, _TRACE), (clean, _TRACE))
        )
        if page.shape != clean.shape:
            return None
        kinds = np.where(bare.astype(int) - page > _VISIBLE, KINDS.index(kind) + 1, 0)
    page = reduced(_scanned(page, rng, dpi))
    field, own = ink_field(page), ink_field(reduced(clean)) > EDGE
    found = own & (field > EDGE)
    if not found.any() or np.count_nonzero(found) < _FOUND * np.count_nonzero(own):
        return None  # too faint, or the two pages grew to different sides
    own = found
    seen, box = view(page, field)
    of_kind = kinds.astype(np.uint8)[:: -(-len(kinds) // len(page)), :: -(-len(kinds) // len(page))]
    share = resize(own[box].astype(np.uint8) * 255, seen.shape[:2], Image.Resampling.BOX)
    number = resize(of_kind[box], seen.shape[:2], Image.Resampling.NEAREST)
    return np.dstack([seen, share, number])


def _draw(writer: int, seed: int, folder: Path) -> None:
    """Keep a writer's drawings in a folder, a PNG each, unless they are there."""
    done = folder / f"{writer:05}.done"
    if done.is_file():
        return
    drawn = draw_writer(seed, writer, _SIGNATURES, _SIGNATURES)
    rng = np.random.default_rng([seed, writer])
    for number, image in enumerate([*drawn.genuine, *drawn.forgeries] * _PAGES):
        found = drawing(image, rng)
        if found is not None:
            Image.fromarray(found, "RGBA").save(folder / f"{writer:05}_{number:02}.png")
    done.touch()


def draw(writers: int, seed: int, folder: Path) -> list[Path]:
    """Draw synthetic writers' signatures on pages: files of `drawing`, as PNG, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    for _ in ordered_map(
        partial(_draw, seed=seed, folder=folder), range(writers), None, True, "drawing"
    ):
        pass
    return sorted(folder.glob("*.png"))


def _crop(file: Path, rng: np.random.Generator) -> np.ndarray:
    """A part of a drawing, somewhere in a crop: float32 (*_CROP, 4)."""
    drawn = np.asarray(Image.open(file))
    part, place = [], []
    for side, room in zip(drawn.shape, _CROP, strict=False):
        start = rng.integers(max(1, side - room + 1))
        part.append(slice(start, start + room))
        start = rng.integers(max(1, room - side + 1))
        place.append(slice(start, start + min(side, room)))
    crop = np.zeros((*_CROP, 4), np.float32)
    crop[tuple(place)] = drawn[tuple(part)] / np.array([255, 255, 255, 1], np.float32)
    if rng.random() < 0.3:
        crop[..., 0] = crop[..., 1]  # as of a one-bit scan
    return crop


def train(files: Sequence[Path], steps: int, seed: int, state: Path) -> bytes:
    """Train on drawings; returns the network as ONNX.

    Parameters
    ----------
    files : sequence of Path
        From `draw`.
    steps : int
        A multiple of `_STEPS_KEPT`.
    seed : int
        Of the weights, and of what is learnt from when.
    state : Path
        A Keras file in which the training is kept as it goes, and from which it goes on.
    """
    import keras

    from deepsign_utils import losses, models

    keras.utils.set_random_seed(seed)
    if state.is_file():
        network = keras.models.load_model(state)
    else:
        network = models.separator(len(KINDS))
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, steps - _WARM_UP, warmup_target=_RATE, warmup_steps=_WARM_UP
        )
        optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-4)
        network.compile(optimizer, losses.SeparationLoss())
    while (done := int(network.optimizer.iterations)) < steps:
        learnt = network.fit(_batches(files, seed, done), steps_per_epoch=_STEPS_KEPT, verbose=0)
        with replacing(state) as beside:
            network.save(beside.with_suffix(".keras"))
            beside.with_suffix(".keras").replace(beside)
        print(
            f"{done + _STEPS_KEPT} of {steps} steps, loss {learnt.history['loss'][0]:.4f}",
            flush=True,
        )
    with tempfile.TemporaryDirectory() as folder:
        network.export(Path(folder) / SEPARATOR.name, format="onnx", verbose=False)
        return (Path(folder) / SEPARATOR.name).read_bytes()


def _batches(
    files: Sequence[Path], seed: int, step: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches from a step on: what is seen, float32 (_BATCH, *_CROP, 2), and labels (..., 3)."""
    while True:
        rng = np.random.default_rng([seed, step])
        chosen = rng.integers(len(files), size=_BATCH)
        batch = np.stack([_crop(files[one], rng) for one in chosen])
        yield batch[..., :2], batch[..., 1:]
        step += 1


def measure(files: Sequence[Path]) -> Iterator[tuple[str, int, float]]:
    """How well the shipped network separates drawings.

    Parameters
    ----------
    files : sequence of Path
        From `draw`, of a seed that `train` did not use.

    Yields
    ------
    str, int, float
        "signature", or a kind; drawings that show it; the share of its ink that is taken for the
        signature's: all of a signature's and none of any other at best.
    """
    shown = {name: [0, 0.0, 0.0] for name in ("signature", *KINDS)}
    for file in tqdm(files, "separating"):
        drawn = np.asarray(Image.open(file))
        ink, own = drawn[..., 1].astype(float), drawn[..., 2].astype(float)
        kept = tell(np.ascontiguousarray(drawn[..., :2]))[..., 0] > 0
        parts = [
            own,
            *((ink - own) * (drawn[..., 3] == 1 + number) for number in range(len(KINDS))),
        ]
        for counts, part in zip(shown.values(), parts, strict=True):
            counts[0] += bool(part.any())
            counts[1] += part.sum()
            counts[2] += part[kept].sum()
    for name, (drawings, all_ink, kept_ink) in shown.items():
        yield name, int(drawings), kept_ink / max(all_ink, 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: see the module."""
    parser = argparse.ArgumentParser(prog="python -m deepsign_utils.runs.separating")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, writers, seed in (("train", 1000, 31), ("measure", 100, 32)):
        command = commands.add_parser(name)
        command.add_argument("--writers", type=int, default=writers, help="default: %(default)s")
        command.add_argument("--seed", type=int, default=seed, help="default: %(default)s")
        command.add_argument(
            "--kept",
            type=Path,
            default=Path("data/built/separator") / name,
            help="folder of drawings and of the state of a training; default: %(default)s",
        )
        if name == "train":
            command.add_argument("--steps", type=int, default=16000, help="default: %(default)s")
            command.add_argument("--output", type=Path, default=SEPARATOR)
    options = parser.parse_args(arguments)
    if options.command == "train":
        check_output(options.output, endings=(".onnx",))
    files = draw(options.writers, options.seed, options.kept / "drawings")
    if options.command == "train":
        state = options.kept / "state.keras"
        write_atomically(options.output, train(files, options.steps, options.seed, state))
        return
    for name, drawings, kept in measure(files):
        print(f"{name:10} {drawings:5} drawings  {kept:6.1%} taken for the signature's")


if __name__ == "__main__":
    main()
