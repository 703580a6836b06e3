"""Image files, read safely: formats, limits, gray levels."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pi_heif
from PIL import Image, ImageFile, ImageOps

from deepsign_utils import DeepSignError

MAX_PIXELS = 65_000_000
"""Images with more pixels are refused from their header, before anything is decoded."""

FORMATS = ("PNG", "TIFF", "JPEG", "BMP", "WEBP", "AVIF", "HEIF")
"""Pillow's names of the file formats that are read; HEIF is that of an iPhone's .heic."""

ENDINGS = (
    ".png",
    ".tif",
    ".tiff",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".webp",
    ".avif",
    ".heic",
    ".heif",
)
"""Endings of such files' names, in either case."""

READABLE = "PNG, TIFF, JPEG, BMP, WebP, AVIF or HEIC"
"""The same in words."""

pi_heif.register_heif_opener()

_MAX_BYTES = 4 * MAX_PIXELS
WORKING_SIDE = 2000  # longer scans are reduced first: strokes stay far wider than a pixel


class UnknownImageError(DeepSignError):
    """The file is no image of a format that is read."""


class ImageTooLargeError(DeepSignError):
    """The image has more pixels, or its file more bytes, than are read."""


def open_image(source: Path | str | bytes, name: str = "the image") -> ImageFile.ImageFile:
    """Open an image file or its bytes, reading the header only.

    Parameters
    ----------
    source : Path, str or bytes
        A file, or a file's content.
    name : str
        What to call the image in messages, where `source` is bytes.

    Returns
    -------
    PIL.ImageFile.ImageFile
        Not yet decoded.

    Raises
    ------
    DeepSignError
        UnknownImageError if it is no image of a known format; ImageTooLargeError if it has more
        than `MAX_PIXELS` pixels.
    """
    if not isinstance(source, bytes):
        source, name = read_image_file(Path(source)), str(source)
    try:
        image = Image.open(BytesIO(source), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(name) from error
    except Exception as error:  # a damaged header can raise nearly anything
        if is_pdf(source):
            raise UnknownImageError(
                f"{name} is a PDF, and an image of one signature is needed here: cut the signature "
                "out, as `deepsign extract` does, and give that."
            ) from error
        raise UnknownImageError(f"{name} is not a readable {READABLE} image") from error
    _refuse_large(image, name)
    return image


def is_pdf(content: bytes) -> bool:
    """Whether a file's content is a PDF: its mark stands within the first kilobyte."""
    return b"%PDF-" in content[:1024]


def load_grayscale(
    source: Path | str | bytes | Image.Image | np.ndarray, name: str = "the image"
) -> np.ndarray:
    """Decode an image to gray levels.

    Parameters
    ----------
    source : Path, str, bytes, PIL.Image.Image or np.ndarray
        A file, a file's content, an image, or an array (H, W), (H, W, 3) or (H, W, 4) of bool,
        uint8 or uint16.
    name : str
        What to call the image in messages, where `source` is not a file.

    Returns
    -------
    np.ndarray
        Shape (H, W), uint8. Transparent parts show white paper, or black behind light ink; 16 bit
        are scaled to 8, and a camera's orientation mark is obeyed.

    Raises
    ------
    DeepSignError
        If the image is damaged, too large or of an unknown kind; the message names the file.
    """
    return np.asarray(_decoded(source, name).convert("L"))


def load_image(
    source: Path | str | bytes | Image.Image | np.ndarray, name: str = "the image"
) -> np.ndarray:
    """Decode an image to gray levels, or to colours where it shows some.

    Parameters
    ----------
    source, name
        As for `load_grayscale`.

    Returns
    -------
    np.ndarray
        Shape (H, W), or (H, W, 3) in RGB where something is coloured: uint8.

    Raises
    ------
    DeepSignError
        As `load_grayscale`.
    """
    image = _decoded(source, name)
    if image.mode != "RGB" or not shows_colour(np.asarray(image)):
        image = image.convert("L")
    return np.asarray(image)


def _decoded(source: Path | str | bytes | Image.Image | np.ndarray, name: str) -> Image.Image:
    """The image on white paper, of the mode 1, L or RGB."""
    if isinstance(source, np.ndarray):
        source = image_from_array(source, name)
    elif not isinstance(source, Image.Image):
        if not isinstance(source, bytes):
            name = str(source)
        source = open_image(source, name)
    _refuse_large(source, name)
    try:
        if max(source.size) > 2 * WORKING_SIDE:
            # A JPEG photograph is decoded at half its size, in a quarter of the memory.
            source.draft(None, (source.width // 2, source.height // 2))
        return _on_paper(ImageOps.exif_transpose(source))
    except Exception as error:  # a damaged file can raise nearly anything while it is decoded
        raise DeepSignError(f"{name} is damaged and cannot be decoded ({error})") from error


def shows_colour(rgb: np.ndarray) -> bool:
    """Whether an image (H, W, 3), uint8, has ink or paper of a colour to speak of."""
    step = max(1, rgb.shape[0] // 200), max(1, rgb.shape[1] // 400)
    red, green, blue = (rgb[:: step[0], :: step[1], channel] for channel in range(3))
    chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if chroma.max() <= 40:
        return False
    return bool(np.count_nonzero(chroma - np.median(chroma) > 40) > 0.0005 * chroma.size)


def read_image_file(path: Path) -> bytes:
    """Read an image file's bytes.

    Parameters
    ----------
    path : Path
        A file.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    DeepSignError
        If it cannot be read; ImageTooLargeError if it is larger than any image that is decoded.
    """
    if path.is_dir():
        raise DeepSignError(f"{path} is a folder: name the images in it.")
    try:
        with path.open("rb") as file:
            # A pipe's or a device's size is not known before.
            known = os.fstat(file.fileno()).st_size
            content = file.read(_MAX_BYTES + 1) if known <= _MAX_BYTES else b""
    except OSError as error:
        raise DeepSignError(f"{path} cannot be read: {error.strerror or error}") from error
    if max(known, len(content)) > _MAX_BYTES:
        raise ImageTooLargeError(f"{path} is larger than {_MAX_BYTES // 1_000_000} MB")
    return content


def _too_many_pixels(name: str) -> ImageTooLargeError:
    return ImageTooLargeError(
        f"{name} has more than {MAX_PIXELS // 1_000_000} million pixels: scan it at a lower "
        "resolution or crop it to the signature"
    )


def _refuse_large(image: Image.Image, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_many_pixels(name)


def image_from_array(array: np.ndarray, name: str) -> Image.Image:
    """An array (H, W) of bool, uint8 or uint16, or (H, W, 3 or 4) of uint8, as an image.

    Raises
    ------
    DeepSignError
        If it is another one, or empty.
    """
    colour = array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8
    gray = array.ndim == 2 and array.dtype in (np.bool_, np.uint8, np.uint16)
    if array.size == 0 or not (colour or gray):
        raise DeepSignError(
            f"{name} must be an array (H, W) of bool, uint8 or uint16, or (H, W, 3 or 4) of "
            f"uint8, not {array.shape} of {array.dtype}"
        )
    return Image.fromarray(array)


def _on_paper(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        # A scanner may fill 10, 12 or 16 of the bits, so the brightest level sets the scale.
        levels = np.maximum(np.nan_to_num(np.asarray(image, np.float32)), 0)
        return Image.fromarray(np.rint(levels * (255 / max(levels.max(), 1e-6))).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        ground = "black" if _is_light_on_clear(rgba) else "white"
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, ground), rgba)
    elif image.mode == "LAB":
        image = image.getchannel(0)
    elif image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    image.load()
    return image.convert("RGB") if image.mode == "RGBA" else image


def _is_light_on_clear(rgba: Image.Image) -> bool:
    """Whether light ink stands on a transparent ground, which white paper would hide."""
    pixels = np.asarray(rgba.reduce(max(1, min(rgba.size) // 256)))
    seen = pixels[..., 3] > 128
    mixed = seen.any() and not seen.all()
    return bool(mixed and np.quantile(pixels[seen][:, :3], 0.02) > 150)


def resize(array: np.ndarray, shape: tuple[int, int], filter_: Image.Resampling) -> np.ndarray:
    """Resize a gray image to (height, width)."""
    return np.asarray(Image.fromarray(array).resize(shape[::-1], filter_))
