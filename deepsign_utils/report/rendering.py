"""Templates filled in, and pages written."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from deepsign_utils.metrics import write_bounds, write_value
from deepsign_utils.report.words import write_number, write_number_bounds
from deepsign_utils.study.artefacts import write_atomically
from deepsign_utils.study.names import isolated_value

SIZE_LIMIT = 15_000_000  # bytes; more is slow to open and to send

TEMPLATE_FOLDER = Path(__file__).parent / "templates"
FIGURE_TYPES = ("image/svg+xml", "image/png", "image/jpeg")


def picture_size(picture: bytes, kind: str) -> tuple[int | None, int | None]:
    """Width and height in CSS pixels, so that the page does not jump while it loads."""
    if kind == "image/png" and picture[12:16] == b"IHDR":
        return struct.unpack(">II", picture[16:24])
    if kind == "image/svg+xml":
        tag = re.search(rb"<svg[^>]*>", picture)
        sides = re.findall(rb'\b(width|height)="([\d.]+)(pt|px)?"', tag[0] if tag else b"")
        found = {name: float(n) * (4 / 3 if unit == b"pt" else 1) for name, n, unit in sides}
        if len(found) == 2:
            return round(found[b"width"]), round(found[b"height"])
    return None, None


def figure(
    rendered: Mapping[str, str | bytes], alt: str, caption: str, number: int
) -> dict[str, Any]:
    """Describe a drawn figure for a page of `write_page`.

    Parameters
    ----------
    rendered : mapping
        From ``figures.render``.
    alt, caption, number
        What stands for it and below it.
    """
    kind = next(kind for kind in FIGURE_TYPES if kind in rendered)
    content = rendered[kind]
    picture = content.encode() if isinstance(content, str) else content
    width, height = picture_size(picture, kind)
    source = f"data:{kind};base64,{base64.b64encode(picture).decode()}"
    return {
        "number": number,
        "alt": alt,
        "caption": caption,
        "source": source,
        "width": width,
        "height": height,
    }


def write_page(output: Path, template: str, **context: Any) -> Path:
    """Write a page in the reports' look from a template and what it needs: one file.

    Parameters
    ----------
    output : Path
        The file to write.
    template : str
        Name of a file in ``TEMPLATE_FOLDER``.
    **context
        What the template names.

    Returns
    -------
    Path
        ``output``.
    """
    return write_file(output, render(template, **context))


def render(template: str, **context: Any) -> str:
    """Fill a template of ``report/templates``."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE_FOLDER),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        finalize=isolated_value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        value=write_value,
        bounds=write_bounds,
        number=write_number,
        number_bounds=write_number_bounds,
    )
    environment.globals.update(inline=_inline)
    return environment.get_template(template).render(context)


def _inline(name: str) -> dict[str, str]:
    """A style or script for the page, with the hash by which the page's policy admits it."""
    text = (TEMPLATE_FOLDER / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {"text": text, "hash": f"sha256-{digest}"}


def write_file(path: Path, text: str) -> Path:
    """Write a page; return where it is."""
    write_atomically(path, text)
    path.touch()  # even if nothing changed: Make compares times
    return path
