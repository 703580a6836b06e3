"""Whole pages: images, multi-page TIFF and PDF, and the signatures on them cut out.

PDF is rendered by pypdfium2, the extra `pages`, in a process of its own with limited memory and
time: a file made to do harm ends that process and is refused, like such an image.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from deepsign_utils import DeepSignError
from deepsign_utils.preprocessing import (
    UnknownImageError,
    has_ink,
    is_pdf,
    load_grayscale,
    open_image,
    read_image_file,
)
from deepsign_utils.preprocessing.colour import in_gray
from deepsign_utils.study.artefacts import check_new_folder, write_atomically
from deepsign_utils.verifying.find_signatures import Box, Found, Looked, has_pieces_of_a_page, look
from deepsign_utils.verifying.scan_faults import has_several_pages

MOST_PAGES = 200
"""Files with more pages are refused."""

MANIFEST = "manifest.csv"
COLUMNS = ("page_file", "page", "left", "top", "right", "bottom", "confidence", "file")

_MARGIN = 0.12  # of a signature's height, kept around it
_SECONDS = 30  # a page may take to render
_LEAST_PAGE = 700  # pixels of the longer side: smaller images are of a signature alone
_SMALL = 800  # pixels of the longer side, in which many pages are kept at once
_MOST_PAGE = 36_000_000  # pixels: A4 at 600 dots an inch


class OnPage(NamedTuple):
    """A signature found on a document: its page, from 1, its box there, and how it looks."""

    page: int
    box: Box
    image: np.ndarray


class WhichSignatureError(DeepSignError):
    """A document does not show just one signature.

    Parameters
    ----------
    problem : str
        What was found, in words.
    found : sequence of OnPage
        The signatures on it.
    """

    def __init__(self, problem: str, found: Sequence[OnPage] = ()) -> None:
        self._problem = problem
        self.found = tuple(found)
        super().__init__(self.told("the parameters page and box"))

    def told(self, options: str = "") -> str:
        """What to do about it; `options` say which signature is meant, where something can."""
        say = f"say where the one meant stands, with {options}, or " if options else ""
        cut = " (`deepsign extract` cuts them out)" if self.found else ""
        listed = "; ".join(f"page {one.page}, box {in_words(one.box)}" for one in self.found)
        return (
            f"{self._problem}: {say}give an image of the signature alone{cut}."
            + f" They are: {listed}." * bool(listed)
        )


class Page(NamedTuple):
    """A page: which of its file's pages, from 1, and its pixels, uint8 (H, W) or (H, W, 3)."""

    number: int
    image: np.ndarray


Document = str | Path | bytes | Image.Image
"""A file, a file's content, or one page's image."""


def read_pages(source: Document, name: str = "the document") -> Iterator[Page]:
    """Read a document page by page: an image, a TIFF of several pages, or a PDF.

    Parameters
    ----------
    source : Document
    name : str
        What to call it in messages, where it is not a file.

    Yields
    ------
    Page
        PDF at 300 dots an inch, at most 5,000 pixels a side.

    Raises
    ------
    DeepSignError
        If it cannot be read, is too large, damaged or encrypted, has more than `MOST_PAGES` pages,
        or is a PDF and pypdfium2 is not installed.
    """
    if isinstance(source, Image.Image):
        yield Page(1, _pixels(source, name))
        return
    if not isinstance(source, bytes):
        source, name = read_image_file(Path(source)), str(source)
    if is_pdf(source):
        yield from _pdf_pages(source, name)
        return
    image = open_page(source, name)
    several = image.format == "TIFF"
    for number in count(1):
        if number > MOST_PAGES:
            raise _too_many_pages(name)
        yield Page(number, _pixels(image, name))
        if not several:
            return
        try:
            image = open_image(source, name)  # anew: decoding may have changed what seek finds
            image.seek(number)
        except EOFError:
            return
        except DeepSignError:
            raise
        except Exception as error:  # a damaged file can raise nearly anything
            raise DeepSignError(
                f"{name} is damaged: its page {number + 1} cannot be read"
            ) from error


def open_page(content: bytes, name: str) -> Image.Image:
    """`preprocessing.open_image` where a PDF is taken, too; UnknownImageError says so."""
    try:
        return open_image(content, name)
    except UnknownImageError as error:
        raise UnknownImageError(f"{error}, nor a PDF") from error


def _too_many_pages(name: str) -> DeepSignError:
    return DeepSignError(
        f"{name} has more than {MOST_PAGES} pages: split it, or take out the pages that matter"
    )


def _pixels(image: Image.Image, name: str) -> np.ndarray:
    """In colour where there is some, as seen on white paper."""
    if image.mode not in ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr"):
        return load_grayscale(image, name)
    try:
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        return np.asarray(image.convert("RGB"))
    except Exception as error:
        raise DeepSignError(f"{name} is damaged and cannot be decoded ({error})") from error


def _pdf_pages(content: bytes, name: str) -> Iterator[Page]:
    if importlib.util.find_spec("pypdfium2") is None:
        raise DeepSignError(
            f"{name} is a PDF, and reading it needs a package that is not installed: "
            "pip install 'deepsign-utils[pages]'."
        )
    with tempfile.TemporaryDirectory(prefix="deepsign-") as folder:
        file = Path(folder) / "document.pdf"
        file.write_bytes(content)
        command = [sys.executable, "-m", "deepsign_utils.verifying.render_pdf", str(file)]
        command.append(str(MOST_PAGES))
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            try:
                yield from _rendered(child, name)
            finally:
                child.kill()


def _rendered(child: subprocess.Popen[bytes], name: str) -> Iterator[Page]:
    """Pages as `render_pdf` writes them: a line of JSON, then the pixels."""
    assert child.stdout is not None  # it was started with a pipe
    while True:
        with _limited(child, _SECONDS):
            head = child.stdout.readline()
            told: dict[str, Any] = {"problem": None}
            if head.endswith(b"\n"):
                told = json.loads(head)
            wanted = told.get("bytes", 0)
            pixels = child.stdout.read(wanted) if wanted else b""
        if told.get("end"):
            return
        if told.get("problem") == "pages":
            raise _too_many_pages(name)
        if told.get("problem") == "password":
            raise DeepSignError(f"{name} is encrypted: save a copy that needs no password")
        if "problem" in told or len(pixels) < wanted:
            raise DeepSignError(
                f"{name} is damaged, or asks for more memory or time than a page needs, and cannot "
                "be rendered: print it to a new PDF, or scan the page"
            )
        image = np.frombuffer(pixels, np.uint8).reshape(told["shape"])
        yield Page(told["number"], image)


@contextlib.contextmanager
def _limited(child: subprocess.Popen, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, child.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


# --------------------------------------------------------------------------------------------------
# Signatures cut from pages
# --------------------------------------------------------------------------------------------------


def cut(page: np.ndarray, found: Found) -> np.ndarray:
    """A signature of a page with a margin around it, upright, in the page's own pixels."""
    left, top, right, bottom = found.box
    height = right - left if found.quarters % 2 else bottom - top
    margin = max(4, round(_MARGIN * height))
    around = page[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]
    return np.ascontiguousarray(np.rot90(around, found.quarters))


def overlay(page: np.ndarray, found: Sequence[Found]) -> Image.Image:
    """The page, pale and at most 1,600 pixels high, with its signatures framed and numbered."""
    image = Image.fromarray(page).convert("RGB")
    scale = max(1.0, max(image.size) / 1600)
    image = image.resize([max(1, round(side / scale)) for side in image.size])
    image = Image.blend(image, Image.new("RGB", image.size, "white"), 0.25)
    draw = ImageDraw.Draw(image)
    for number, one in enumerate(found, 1):
        box = [round(value / scale) for value in one.box]
        draw.rectangle([box[0] - 3, box[1] - 3, box[2] + 3, box[3] + 3], None, (200, 30, 30), 3)
        text = f"{number}: {one.confidence:.2f}"
        draw.text((box[0], max(box[1] - 24, 0)), text, (200, 30, 30), font_size=18)
    return image


def extract(files: Sequence[Path], output: Path) -> Iterator[str]:
    """Cut the signatures out of documents: an image each, an overlay a page, and a manifest.

    Parameters
    ----------
    files : sequence of Path
        Images, TIFF of several pages, PDF.
    output : Path
        Folder, new or empty.

    Yields
    ------
    str
        A sentence a page, when its files are written.

    Raises
    ------
    DeepSignError
        If the folder is not empty; at the end, if documents could not be read:
        what was found on the others is kept.
    """
    check_new_folder(output)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(COLUMNS)
    stems: set[str] = set()
    problems = []
    for file in files:
        names = (f"{file.stem}-{number}" if number > 1 else file.stem for number in count(1))
        stem = next(name for name in names if name not in stems)
        stems.add(stem)
        try:
            for page in read_pages(file):
                looked = look(page.image)
                found = looked.signatures
                of_page = f"{stem}_page{page.number}"
                _write_png(output / f"{of_page}_overlay.png", overlay(page.image, found))
                for number, one in enumerate(found, 1):
                    image = f"{of_page}_signature{number}.png"
                    _write_png(output / image, Image.fromarray(cut(page.image, one)))
                    rows.writerow((file, page.number, *one.box, f"{one.confidence:.3f}", image))
                write_atomically(output / MANIFEST, table.getvalue())
                alone = not found and _may_be_alone(looked, page.image)
                hint = "; if it shows one alone, verify takes it as it is" if alone else ""
                yield f"{file}, page {page.number}: {_counted(len(found))}{hint}."
        except DeepSignError as error:
            problems.append(str(error))
    if problems:
        raise DeepSignError("\n".join(problems))


def _counted(signatures: int) -> str:
    return {0: "no signature", 1: "one signature"}.get(signatures, f"{signatures} signatures")


def _write_png(file: Path, image: Image.Image) -> None:
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=4)
    write_atomically(file, content.getvalue())


# --------------------------------------------------------------------------------------------------
# A page as the questioned document
# --------------------------------------------------------------------------------------------------


class Questioned(NamedTuple):
    """A signature that was cut from a page: its pixels, and in words where it was."""

    image: np.ndarray
    where: str


def from_page(
    source: Document,
    name: str = "the questioned document",
    page: int | None = None,
    box: Box | None = None,
) -> Questioned | None:
    """The one signature of a document; None for an image of a signature alone.

    A page with little or no print is taken whole where no page of the document has more.

    Parameters
    ----------
    source : Document
        A PDF, a TIFF of several pages, or an image.
    name : str
        What to call it in messages, where it is not a file.
    page : int, optional
        Which of its pages, from 1; all are looked at if not given.
    box : Box, optional
        Which part of the page, in pixels, rather than what is found; one of a signature that is
        found there has the same margin as without `box`.

    Raises
    ------
    DeepSignError
        If it cannot be read; WhichSignatureError if it shows no signature, or several.
    """
    if isinstance(source, (str, Path)):
        source, name = read_image_file(Path(source)), str(source)
    several = isinstance(source, bytes) and (is_pdf(source) or _has_pages(source, name))
    if not several and page is None and box is None and not _may_be_page(source, name):
        return None
    if box is not None:
        return _given(source, name, page, box)
    found, told = [], []  # signatures on pages, and what is told of each
    alone: list[OnPage] = []  # pages with little or no print: of a signature alone
    seen, printed = 0, False
    for number, image in read_pages(source, name):
        if page in (None, number):
            seen += 1
            looked = look(image)
            printed |= looked.is_page
            for one in looked.signatures:
                found.append(OnPage(number, one.box, cut(image, one)))
                told.append(f"{_where(one)}, confidence {one.confidence:.2f}")
            if _may_be_alone(looked, image):
                height, width = image.shape[:2]
                alone.append(OnPage(number, (0, 0, width, height), _small(image)))
        if page == number:
            break
    if not seen:
        raise DeepSignError(f"{name} has no page {page}.")
    if not printed and not several:
        return None
    if not printed:
        found, told = alone, ["the whole of it"] * len(alone)
        if len(alone) == 1:  # of its size only a small image was kept
            pages = read_pages(source, name)
            image = next(one.image for one in pages if one.number == alone[0].page)
            found = [alone[0]._replace(image=image)]
    if len(found) == 1:
        return Questioned(found[0].image, f"page {found[0].page}, {told[0]}")
    on = name if page is None else f"page {page} of {name}"
    if not found:
        raise WhichSignatureError(f"No signature was found on {on}")
    raise WhichSignatureError(f"{len(found)} signatures were found on {on}", found)


def _may_be_alone(looked: Looked, image: np.ndarray) -> bool:
    """Whether a page has little or no print: it may show a signature alone."""
    return not looked.is_page and has_ink(image if image.ndim == 2 else in_gray(image))


def _small(image: np.ndarray) -> np.ndarray:
    small = Image.fromarray(image)
    small.thumbnail((_SMALL, _SMALL))
    return np.asarray(small)


def _has_pages(content: bytes, name: str) -> bool:
    image = open_page(content, name)
    return image.format == "TIFF" and has_several_pages(image, name)


def _may_be_page(source: bytes | Image.Image, name: str) -> bool:
    """Whether an image is as large as a page, and full as one."""
    image = open_page(source, name) if isinstance(source, bytes) else source
    width, height = image.size
    if max(width, height) < _LEAST_PAGE or width * height > _MOST_PAGE:
        return False
    return has_pieces_of_a_page(_pixels(image, name))


def _given(source: Document, name: str, page: int | None, box: Box) -> Questioned:
    left, top, right, bottom = box
    chosen = None
    for one in read_pages(source, name):
        if page is None and chosen:
            raise DeepSignError(f"{name} has several pages: give the box's page, too.")
        if page in (None, one.number):
            chosen = one
        if page == one.number:
            break
    if chosen is None:
        raise DeepSignError(f"{name} has no page {page}.")
    height, width = chosen.image.shape[:2]
    if left >= right or top >= bottom:
        raise DeepSignError(
            f"The box {in_words(box)} is empty: give left,top,right,bottom, the smaller first."
        )
    if left < 0 or top < 0 or right > width or bottom > height:
        raise DeepSignError(
            f"The box {in_words(box)} does not lie on page {chosen.number} of {name}, which is "
            f"{width} x {height} pixels: give left,top,right,bottom."
        )
    # One that was listed gives what is judged where it is the only one.
    found = look(chosen.image).signatures if width * height <= _MOST_PAGE else []
    for listed in found:
        if listed.box == tuple(box):
            where = f"page {chosen.number}, {_where(listed)}, as given"
            return Questioned(cut(chosen.image, listed), where)
    where = f"page {chosen.number}, box {in_words(box)}, as given"
    return Questioned(chosen.image[top:bottom, left:right], where)


def _where(found: Found) -> str:
    """Where on its page a signature stands, and how that lies."""
    how = {1: "by 90° anticlockwise", 2: "by 180°", 3: "by 90° clockwise"}
    turned = f", turned upright {how[found.quarters]}" if found.quarters else ""
    return f"box {in_words(found.box)}{turned}"


def in_words(box: Box) -> str:
    """left,top,right,bottom: what `parse_box` reads."""
    return ",".join(map(str, box))


def parse_box(text: str) -> Box:
    """left,top,right,bottom as whole numbers; DeepSignError otherwise."""
    try:
        left, top, right, bottom = (int(part) for part in text.split(","))
    except ValueError as error:
        raise DeepSignError(
            f"A box is four whole numbers, left,top,right,bottom in pixels, not '{text}'."
        ) from error
    return left, top, right, bottom
