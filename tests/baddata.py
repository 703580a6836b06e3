"""Bad datasets on purpose: every kind of file that a folder of scans can hold, and its fate.

`FILES` names them: for each, how to write it and the reason for which it is left out ("" if it is
used). `TREES` are random mixtures of them, laid out as `<writer>/*`, `<writer>_forg/*`.
"""

import io
import os
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from PIL import Image, ImageDraw


@cache
def scribble(seed: int = 0, size: tuple[int, int] = (90, 45)) -> Image.Image:
    """A few dark lines on bright paper."""
    points = np.random.default_rng(seed).uniform(0.1, 0.9, (8, 2)) * size
    image = Image.new("L", size, 245)
    ImageDraw.Draw(image).line([tuple(point) for point in points], fill=30, width=3)
    return image


@cache
def encoded(kind: str = "PNG", mode: str = "L", seed: int = 0, **options) -> bytes:
    """A scribble as a file's bytes."""
    buffer = io.BytesIO()
    scribble(seed).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be a huge image."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@cache
def text_bomb() -> bytes:
    """A PNG whose comment unpacks to 100 MB."""
    whole = encoded()
    text = chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(100_000_000), 9))
    return whole[:33] + text + whole[33:]


@cache
def wide_blank() -> bytes:
    """Fifty million pixels of nothing, eight pixels high."""
    buffer = io.BytesIO()
    Image.new("1", (6_000_000, 8), 1).save(buffer, "PNG")
    return buffer.getvalue()


@cache
def two_pages() -> bytes:
    buffer = io.BytesIO()
    scribble(1).save(buffer, "TIFF", save_all=True, append_images=[scribble(2)])
    return buffer.getvalue()


@cache
def sixteen_bits() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(scribble(), np.uint16) * 257).save(buffer, "PNG")
    return buffer.getvalue()


@cache
def blank(size: tuple[int, int], level: int = 255) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size, level).save(buffer, "PNG")
    return buffer.getvalue()


def of(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


class Bad(NamedTuple):
    """How a file is written, its ending, and the reason for which it is left out."""

    write: Callable[[Path], object]
    reason: str = ""
    ending: str = ".png"


WHOLE = encoded()
FILES = {
    "good": Bad(of(WHOLE)),
    "upper case ending": Bad(of(WHOLE), ending=".PNG"),
    "jpeg": Bad(of(encoded("JPEG")), ending=".jpg"),
    "cmyk jpeg": Bad(of(encoded("JPEG", "CMYK")), ending=".jpeg"),
    "bmp": Bad(of(encoded("BMP")), ending=".bmp"),
    "tiff": Bad(of(encoded("TIFF")), ending=".tif"),
    "wrong ending": Bad(of(WHOLE), ending=".tif"),
    "one bit": Bad(of(encoded("PNG", "1"))),
    "palette": Bad(of(encoded("PNG", "P"))),
    "transparent": Bad(of(encoded("PNG", "LA"))),
    "colour": Bad(of(encoded("PNG", "RGBA"))),
    "lab": Bad(of(encoded("TIFF", "LAB")), ending=".tiff"),
    "float": Bad(of(encoded("TIFF", "F")), ending=".tif"),
    "16 bit": Bad(lambda path: path.write_bytes(sixteen_bits())),
    "two pages": Bad(lambda path: path.write_bytes(two_pages()), ending=".tif"),
    "text": Bad(of(b"hello"), "unreadable"),
    "html": Bad(of(b"<html><script>alert(1)</script>"), "unreadable"),
    "gif": Bad(of(encoded("GIF")), "unreadable"),
    "truncated": Bad(of(WHOLE[: len(WHOLE) // 2]), "unreadable"),
    "header only": Bad(of(WHOLE[:20]), "unreadable"),
    "truncated tiff": Bad(of(encoded("TIFF")[:300]), "unreadable", ".tif"),
    "truncated jpeg": Bad(of(encoded("JPEG")[:200]), "unreadable", ".jpg"),
    "empty": Bad(of(b""), "empty file"),
    "blank": Bad(lambda path: path.write_bytes(blank((90, 45))), "blank"),
    "black": Bad(lambda path: path.write_bytes(blank((90, 45), 0)), "blank"),
    "a pixel": Bad(lambda path: path.write_bytes(blank((1, 1))), "too small"),
    "a line": Bad(lambda path: path.write_bytes(blank((900, 3))), "too small"),
    "bomb": Bad(of(bomb(60_000, 60_000)), "too large"),
    "endless bomb": Bad(of(bomb(2**31 - 1, 2**31 - 1)), "too large"),
    "text bomb": Bad(lambda path: path.write_bytes(text_bomb()), "unreadable"),
    "pdf": Bad(of(b"%PDF-1.4"), "not an image", ".pdf"),
    "spreadsheet": Bad(of(b"a,b\n"), "not an image", ".csv"),
    "no ending": Bad(of(WHOLE), "not an image", ""),
    "folder": Bad(lambda path: path.mkdir(), "not a file"),
    "folder of images": Bad(
        lambda path: (path.mkdir(), (path / "a.png").write_bytes(WHOLE)), "not a file"
    ),
    "broken link": Bad(lambda path: path.symlink_to("gone.png"), "not a file"),
    "link to itself": Bad(lambda path: path.symlink_to(path.name), "not a file"),
    "link to nowhere": Bad(lambda path: path.symlink_to("x" * 300), "not a file"),
    "pipe": Bad(os.mkfifo, "not a file"),
    "hidden": Bad(of(b"left by a system"), "hidden", ".png"),
}
"""What a folder may hold. Those of the reason "hidden" do not count as found."""

STEMS = st.sampled_from(
    [
        *("1", "scan 2", "it's", '"quoted"', "<b>", "a&amp;b", "neue\nZeile", "%s{0}", "$(true)"),
        *("-rf", "é", "подпись", "শ্রী", "A", "a", "9" * 60, "x" * 200, "NA", "null", "\u202e"),
    ]
)
WRITERS = st.sampled_from(
    [
        *("1", "2", "10", "anna", "Anna", "it's <b>", "{{7*7}}", "..a", "a b", "٣", "_forg"),
        *("x" * 120, "9" * 100, "=1+1", "writer\n2"),
    ]
)
TREES = st.dictionaries(
    st.tuples(WRITERS, st.booleans()),
    st.dictionaries(STEMS, st.sampled_from(sorted(FILES)), max_size=5),
    min_size=1,
    max_size=6,
)


def plant(root: Path, tree: dict) -> dict[str, str]:
    """Write a tree; return the reason of every file that counts, by its path below the root."""
    reasons = {}
    for (writer, forged), files in tree.items():
        folder = root / (f"{writer}_forg" if forged else writer)
        folder.mkdir(exist_ok=True)
        for stem, kind in files.items():
            bad = FILES[kind]
            path = folder / f"{'.' if bad.reason == 'hidden' else ''}{stem}{bad.ending}"
            if path.exists() or path.is_symlink():
                continue
            bad.write(path)
            if not (path.name.startswith(".") or folder.name.startswith(".")):
                reasons[path.relative_to(root).as_posix()] = bad.reason
    return reasons
