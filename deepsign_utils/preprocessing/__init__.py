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
)
from deepsign_utils.preprocessing.images import (
    ENDINGS,
    FORMATS,
    MAX_PIXELS,
    READABLE,
    ImageTooLargeError,
    load_grayscale,
    open_image,
    read_image_file,
)
from deepsign_utils.preprocessing.ink import (
    BlankPageError,
    has_ink,
    ink_box,
    ink_mask,
)

__all__ = [
    "ENDINGS",
    "FORMATS",
    "MAX_PIXELS",
    "READABLE",
    "BlankPageError",
    "Cleaned",
    "ImageTooLargeError",
    "Preprocessing",
    "clean",
    "clean_files",
    "has_ink",
    "ink_box",
    "ink_mask",
    "load_grayscale",
    "open_image",
    "read_image_file",
]
