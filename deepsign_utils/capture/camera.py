"""What a camera makes of a sheet: the view, the light, the lens, the sensor, the file."""

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils.capture.paper import (
    DEFAULT_DPI,
    as_image,
    dots,
    paper_of,
    widened,
)

MOST_TILT_DEGREES = 30
MOST_DEFOCUS_MM = 0.5
MOST_MOTION_MM = 1.0
MOST_NOISE = 30.0
MOST_LIGHT_LOST = 0.6
WORST_JPEG_QUALITY = 10
MOST_SURROUNDINGS = 0.6

_DISTANCE = 2.5  # of the camera from the sheet, in the sheet's longer side


def perspective(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """The sheet seen aslant; 1 tilts it by 30 degrees about an axis of any direction."""
    if not strength:
        return image
    height, width = image.shape[:2]
    matrix = _view(height, width, np.radians(strength * MOST_TILT_DEGREES), rng)
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    fill = np.median(border, axis=0)
    return _warped(image, matrix, (height, width), fill)


def _view(height: int, width: int, tilt: float, rng: np.random.Generator) -> np.ndarray:
    """The homography (3, 3) from the sheet's pixels to an image of the same size that holds it."""
    way = rng.uniform(0, 2 * np.pi)
    axis = np.array([np.cos(way), np.sin(way), 0])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + np.sin(tilt) * cross + (1 - np.cos(tilt)) * cross @ cross  # Rodrigues
    middle = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    onto_plane = np.column_stack([turn[:, 0], turn[:, 1], [0, 0, _DISTANCE * max(height, width)]])
    matrix = onto_plane @ middle
    corners = matrix @ np.array([[0, width, width, 0], [0, 0, height, height], [1, 1, 1, 1]])
    seen = corners[:2] / corners[2]
    low, high = seen.min(axis=1), seen.max(axis=1)
    scale = min(width / (high[0] - low[0]), height / (high[1] - low[1]))
    centre = (low + high) / 2
    fit = np.array(
        [
            [scale, 0, width / 2 - scale * centre[0]],
            [0, scale, height / 2 - scale * centre[1]],
            [0, 0, 1],
        ]
    )
    return fit @ matrix


def _warped(
    image: np.ndarray, matrix: np.ndarray, shape: tuple[int, int], fill: np.ndarray
) -> np.ndarray:
    back = np.linalg.inv(matrix)
    back = back / back[2, 2]
    colour = tuple(map(int, fill)) if image.ndim == 3 else int(fill)
    picture = Image.fromarray(image).transform(
        shape[::-1],
        Image.Transform.PERSPECTIVE,
        tuple(back.ravel()[:8]),
        Image.Resampling.BICUBIC,
        fillcolor=colour,
    )
    return np.asarray(picture)


def desk(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """A sheet on a dark desk, a little turned; 1 leaves the sheet two fifths of the photograph."""
    if not strength:
        return image
    free = round(dots(3, dpi))
    image = widened(image, rng, free, free, free, free)
    height, width = image.shape[:2]
    # Around the sheet a border as broad everywhere, of the wanted share of the whole.
    share = strength * MOST_SURROUNDINGS
    half, area = (height + width) / 2, height * width
    border = (-half + np.sqrt(half**2 + area * share / (1 - share))) / 2
    border = max(2, round(border))
    shape = (height + 2 * border, width + 2 * border)
    turn = np.radians(rng.uniform(-1, 1) * min(2.0, np.degrees(np.arctan(border / max(shape)))))
    centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    back = np.array([[1, 0, shape[1] / 2], [0, 1, shape[0] / 2], [0, 0, 1]])
    rotation = np.array(
        [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    matrix = back @ rotation @ centre
    fill = np.median(paper_of(image), axis=0)
    sheet = _warped(image, matrix, shape, fill).astype(np.float32)
    inside = _warped(np.full((height, width), 255, np.uint8), matrix, shape, np.zeros(1)[0])
    inside = inside.astype(np.float32) / 255
    wood = _wood(shape, rng, dpi)
    # The sheet throws a narrow shadow on the desk.
    reach = dots(rng.uniform(0.5, 1.5), dpi)
    under = ndimage.shift(
        ndimage.gaussian_filter(inside, reach, truncate=2.5),
        (reach, reach),
        order=1,
        mode="nearest",
    )
    wood = wood * (1 - 0.5 * under)
    if image.ndim == 3:
        wood = wood[..., None] * np.array([1.25, 0.95, 0.7], np.float32)
        inside = inside[..., None]
    return as_image(wood + inside * (sheet - wood))


def _wood(shape: tuple[int, int], rng: np.random.Generator, dpi: float) -> np.ndarray:
    """A dark wooden top, its grain along or across: float32 (H, W)."""
    along = int(rng.integers(2))
    grain = ndimage.gaussian_filter1d(rng.standard_normal(shape[along]), dots(0.6, dpi))
    grain = np.broadcast_to(grain / grain.std(), shape) if along else grain[:, None] / grain.std()
    return np.broadcast_to(rng.uniform(30, 90) * (1 + 0.25 * grain), shape).astype(np.float32)


def shading(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """Light from one side that falls off towards the corners; 1 takes 60 % of it at the darkest."""
    if not strength:
        return image
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape[:2]), indexing="ij")
    way = rng.uniform(0, 2 * np.pi)
    from_side = np.cos(way) * x + np.sin(way) * y
    # A lens's own fall-off goes with the fourth power of the cosine of the angle of view.
    lens = 1 - 1 / (1 + 0.15 * (x**2 + y**2)) ** 2
    lost = from_side - from_side.min() + lens
    return _lit(image, 1 - strength * MOST_LIGHT_LOST * lost / lost.max())


def shadow(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float = DEFAULT_DPI,
    penumbra_mm: float = 8.0,
) -> np.ndarray:
    """The shadow of a hand or phone over part of the sheet; 1 takes 60 % of the light there.

    Its edge runs slightly bent across the ink and is as soft as `penumbra_mm` is wide: the sharper,
    the nearer the object to the sheet or the smaller the lamp.
    """
    if not strength:
        return image
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    way = rng.uniform(0, 2 * np.pi)
    through = np.array([width, height]) * rng.uniform(0.3, 0.7, 2)
    across = np.cos(way) * (x - through[0]) + np.sin(way) * (y - through[1])
    along = np.cos(way) * (y - through[1]) - np.sin(way) * (x - through[0])
    across = across + along**2 * rng.uniform(-0.3, 0.3) / max(height, width)
    inside = 1 / (1 + np.exp(-np.clip(across / max(dots(penumbra_mm, dpi) / 6, 0.3), -30, 30)))
    return _lit(image, 1 - strength * MOST_LIGHT_LOST * inside)


def sharp_shadow(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """`shadow` with a sharp edge, its penumbra half a millimetre wide."""
    return shadow(image, rng, strength, dpi, penumbra_mm=0.5)


def _lit(image: np.ndarray, light: np.ndarray) -> np.ndarray:
    return as_image(image * (light if image.ndim == 2 else light[..., None]))


def defocus(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """Out of focus: each point becomes a disc; 1 is one of 0.5 mm radius."""
    return _blurred(image, _disc(dots(strength * MOST_DEFOCUS_MM, dpi))) if strength else image


def motion(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """The camera moves while it looks: each point becomes a streak; 1 is one of 1 mm."""
    if not strength:
        return image
    length, way = dots(strength * MOST_MOTION_MM, dpi), rng.uniform(0, np.pi)
    reach = int(np.ceil(length / 2)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = np.abs(np.cos(way) * x + np.sin(way) * y)
    across = np.abs(np.cos(way) * y - np.sin(way) * x)
    kernel = np.clip(length / 2 + 0.5 - along, 0, 1) * np.clip(1 - across, 0, 1)
    return _blurred(image, kernel)


def _disc(radius: float) -> np.ndarray:
    reach = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)


def _blurred(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    kernel = (kernel / kernel.sum()).astype(np.float32)
    kernel = kernel if image.ndim == 2 else kernel[..., None]
    return as_image(ndimage.convolve(image.astype(np.float32), kernel, mode="nearest"))


def noise(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """Sensor noise, half of its variance read out and half by the photons; 1 is 30 levels on white.

    Photons come one by one, so that their share of the variance grows with the light.
    """
    if not strength:
        return image
    levels = image.astype(np.float32)
    deviation = strength * MOST_NOISE * np.sqrt((1 + levels / 255) / 2)
    return as_image(levels + deviation * rng.standard_normal(image.shape, dtype=np.float32))


def sharpened(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """A telephone's unsharp mask, which leaves bright seams along strokes; 1 adds it thrice."""
    if not strength:
        return image
    levels = image.astype(np.float32)
    sigma = (1.2, 1.2, 0)[: image.ndim]
    return as_image(levels + 3 * strength * (levels - ndimage.gaussian_filter(levels, sigma)))


def jpeg(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """Kept as JPEG; 1 is quality 10, and lower strengths have higher quality."""
    if not strength:
        return image
    file = io.BytesIO()
    quality = round(100 - strength * (100 - WORST_JPEG_QUALITY))
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def photograph(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """A telephone's photograph of a sheet: slant, shade, a soft shadow, lens, sensor, JPEG at once.

    At strength 1: 12 degrees of slant, 30 % of the light lost to shade and again to a shadow,
    0.15 mm out of focus, noise of 4 levels, sharpened, quality 55.
    """
    if not strength:
        return image
    steps = (
        (perspective, 0.4),
        (shading, 0.5),
        (shadow, 0.5),
        (defocus, 0.3),
        (noise, 0.15),
        (sharpened, 0.3),
        (jpeg, 0.5),
    )
    for step, share in steps:
        image = step(image, rng, strength * share, dpi)
    return image


def on_a_desk(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """`photograph` of a sheet on a dark desk that shows around it, on a third of the picture."""
    if not strength:
        return image
    return photograph(desk(image, rng, 0.5 * strength, dpi), rng, strength, dpi)
