"""Image file -> clean canvas: what remains is the shape of the ink and nothing of the scan.

Paper shade, gray levels, file mode and image size separate forged from genuine signatures in the
public sets almost perfectly, because genuine and forged sheets were scanned on different days. So
a canvas keeps none of them.
"""

from deepsign_utils.preprocessing.canvas import (
    Cleaned,
    Preprocessing,
    clean,
    clean_files,
    clean_table,
    density,
    draw,
)
from deepsign_utils.preprocessing.form import FineInk, Plain, Removal, finely, has_ink, plain
from deepsign_utils.preprocessing.images import (
    ENDINGS,
    FORMATS,
    MAX_PIXELS,
    READABLE,
    ImageTooLargeError,
    UnknownImageError,
    image_from_array,
    is_pdf,
    load_grayscale,
    load_image,
    open_image,
    read_image_file,
)
from deepsign_utils.preprocessing.ink import (
    EDGE,
    BlankPageError,
    ink_box,
    ink_mask,
)

__all__ = [
    "EDGE",
    "ENDINGS",
    "FORMATS",
    "MAX_PIXELS",
    "READABLE",
    "BlankPageError",
    "Cleaned",
    "FineInk",
    "ImageTooLargeError",
    "Plain",
    "Preprocessing",
    "Removal",
    "UnknownImageError",
    "clean",
    "clean_files",
    "clean_table",
    "density",
    "draw",
    "finely",
    "has_ink",
    "image_from_array",
    "ink_box",
    "ink_mask",
    "is_pdf",
    "load_grayscale",
    "load_image",
    "open_image",
    "plain",
    "read_image_file",
]
