"""A verdict written down for a file: one page of HTML that holds all that it rests on."""

from __future__ import annotations

import base64
import hashlib
import io
import platform
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from PIL import Image, ImageOps

from deepsign_utils import __version__
from deepsign_utils.preprocessing import open_image, read_image_file
from deepsign_utils.scoring import Rule
from deepsign_utils.study.names import isolated_value
from deepsign_utils.verifying.comparison import Comparison, listed, per_cent
from deepsign_utils.verifying.references import each_read

if TYPE_CHECKING:
    from deepsign_utils.verifying.find_signatures import Box
    from deepsign_utils.verifying.verifier import Verifier

_TEMPLATES = Path(__file__).parent.parent / "report/templates"
_PACKAGES = "numpy", "onnxruntime", "pillow", "scipy"  # that a verdict is made with
_SHOWN = 700  # pixels of an original's longer side
_ZOOM = 6  # of a canvas in the heat map
_FORGED, _GENUINE, _NEUTRAL = (np.array(c) for c in ((213, 94, 0), (0, 114, 178), (150, 155, 160)))
_ERRORS = {
    "fmr_skilled": "skilled accepted",
    "fmr_random": "random accepted",
    "fnmr": "genuine rejected",
}
_PROPOSITIONS = {
    "skilled": "Somebody else wrote it, imitating that writer's signature (skilled forgery).",
    "random": "Somebody else wrote it, in their own way of signing (random forgery).",
}


@dataclass(frozen=True, eq=False)
class CaseImage:
    """An image of a case.

    Attributes
    ----------
    title : str
        Such as "Reference 1".
    file : str
        What the file is called.
    content : bytes or None
        The file, where it is at hand.
    canvas : uint8 (H, W) or None
        Cleaned.
    cutting : uint8 (h, w) or (h, w, 3) or None
        What was judged of it, where it is a page.
    """

    title: str
    file: str
    content: bytes | None
    canvas: np.ndarray | None
    cutting: np.ndarray | None = None


def verify_files(
    verifier: Verifier,
    references: Sequence[str],
    questioned: str,
    threshold: str,
    page: int | None,
    box: Box | None,
    command: Sequence[str],
) -> tuple[Comparison, str]:
    """Compare image files, and write the case down; DeepSignError as `Verifier.compare`."""
    verifier.scoring.rule(threshold, len(references))
    files = [*references, questioned]
    contents = [read_image_file(Path(file)) for file in files]
    readings = [partial(verifier.read, *one) for one in zip(contents[:-1], references, strict=True)]
    readings.append(partial(verifier.read_questioned, contents[-1], questioned, page, box))
    *signatures, last = each_read(readings)
    known = verifier.references_of(signatures)
    comparison = verifier.judge(known, last, verifier.embed(last.canvas[None])[0], threshold)
    titles = [f"Reference {n}" for n in range(1, len(files))] + ["Questioned"]
    *images, asked = (
        CaseImage(title, file, content, signature.canvas, signature.cutting)
        for title, file, content, signature in zip(
            titles, files, contents, [*signatures, last], strict=True
        )
    )
    occlusion = verifier.occlusion_map(known, last)
    return comparison, case_file(comparison, images, asked, occlusion, command)


def case_file(
    comparison: Comparison,
    references: Sequence[CaseImage],
    questioned: CaseImage,
    occlusion: np.ndarray,
    command: Sequence[str],
) -> str:
    """Write a verdict down, as HTML that needs nothing else and prints on one or two A4 pages.

    Parameters
    ----------
    comparison : Comparison
    references : sequence of CaseImage
    questioned : CaseImage
        With its content and canvas.
    occlusion : float (8, 16)
        From `Verifier.occlusion_map`.
    command : sequence of str
        What to type to repeat it.
    """
    assert questioned.canvas is not None
    verdict, *more = comparison.in_words()
    headline, _, reason = verdict.partition(": ")
    images = [questioned, *references]
    heat = _address(_heat(questioned.canvas, occlusion)) if comparison.has_evidence else None
    kinds = [kind for kind, rate in comparison.expected_errors["fmr"].items() if rate]
    # The report's own renderer stands on what only studies need.
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=isolated_value,
    )
    style = (_TEMPLATES / "case.css").read_text(encoding="utf-8")
    return templates.get_template("case.html.j2").render(
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        decision=comparison.decision,
        headline=headline,
        sentences=[reason[:1].upper() + reason[1:], *more],
        propositions=[_PROPOSITIONS[kind] for kind in kinds],
        questioned=_shown(questioned),
        references=[_shown(reference) for reference in references],
        heat=heat,
        warnings=[warning._asdict() for warning in comparison.warnings],
        figures=_figures(comparison),
        hashes=[
            (f"{image.title}: {image.file}", hashlib.sha256(image.content).hexdigest())
            for image in images
            if image.content is not None
        ]
        + [
            ("Model: its encoder and preprocessing", comparison.model),
            ("Model: its scoring.json", comparison.scoring),
        ],
        command=shlex.join(command),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        versions=f"Made with DeepSign {__version__}, Python {platform.python_version()}, "
        + ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
        + ".",
    )


def _figures(comparison: Comparison) -> list[tuple[str, str]]:
    values = comparison.to_dict()
    rows = [("References", str(values["references"]))]
    if comparison.has_evidence:
        rows += [
            ("Score", f"{values['score']:.4f}"),
            ("Threshold", f"{comparison.threshold_name}: {_limits(comparison.rule)}"),
            (
                "Distances (1 less the cosine)",
                ", ".join(f"{one:.3f}" for one in values["distances"]),
            ),
            *_rates(comparison),
        ]
    k = values["measured_references"]
    return [
        *rows,
        ("Measured with", f"{k} reference{'s' * (k > 1)}"),
        ("Measured on", _measured_on(values["measured_on"])),
        ("Comparisons", ", ".join(f"{n:,} {kind}" for kind, n in values["pairs"].items())),
    ]


def _limits(rule: Rule) -> str:
    """Where a rule accepts and rejects."""
    if rule.reject_below == rule.accept_from:
        return f"{rule.accept_from:.4f}"
    return f"rejects below {rule.reject_below:.4f}, accepts from {rule.accept_from:.4f}"


def _rates(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Likelihood ratios, and how often such verdicts err."""
    for kind, llr in comparison.llrs.items():
        low, high = comparison.bounds[kind]
        said = f"{llr:.2f} (natural); the data support {low:.2f} to {high:.2f}"
        yield f"Log likelihood ratio, {kind}", said
    for kind, rate in comparison.expected_errors["fmr"].items():
        if rate:
            yield f"{kind.capitalize()} forgeries accepted", per_cent(rate)
    yield "Genuine signatures rejected", per_cent(comparison.expected_errors["fnmr"])
    if shares := comparison.expected_referrals:
        told = [f"{kind} {100 * share:.1f} %" for kind, share in shares.items()]
        yield "Referred to a person", ", ".join(told)
    for name, rates in comparison.errors_by_set.items():
        told = [f"{_ERRORS[key]} {100 * rates[key]:.1f} %" for key in rates if key in _ERRORS]
        yield f"On {name} alone", ", ".join(told)


def _measured_on(sets: dict[str, Any] | Sequence[dict[str, Any]]) -> str:
    sets = [sets] if isinstance(sets, dict) else sets
    return "; ".join(
        ", ".join(
            f"{name.replace('_', ' ')} {listed(value) if isinstance(value, list) else value}"
            for name, value in one.items()
            if name != "sha256"  # scoring.json has it, and is named by its own hash
        )
        for one in sets
    )


def _shown(image: CaseImage) -> dict[str, Any]:
    return {
        "title": image.title,
        "original": None if image.content is None else _address(_original(image, image.content)),
        "cleaned": None if image.canvas is None else _address(Image.fromarray(255 - image.canvas)),
    }


def _original(image: CaseImage, content: bytes) -> Image.Image:
    """Of a size to look at, without what a file holds besides its picture."""
    if image.cutting is None:
        opened = ImageOps.exif_transpose(open_image(content, image.file))
    else:
        opened = Image.fromarray(image.cutting)
    if opened.mode.startswith(("I", "F")):  # 16 bits, say
        levels = np.asarray(opened, np.float32)
        opened = Image.fromarray((levels * (255 / max(levels.max(), 1))).astype(np.uint8))
    opened = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
    opened.thumbnail((_SHOWN, _SHOWN))
    paper = Image.new("RGB", opened.size, "white")
    paper.paste(opened, mask=opened.getchannel("A") if opened.mode == "RGBA" else None)
    return paper


def _heat(canvas: np.ndarray, occlusion: np.ndarray) -> Image.Image:
    """The ink, coloured by what it spoke for: as the page of the service draws it."""
    height, width = (_ZOOM * side for side in canvas.shape)
    drawn = Image.fromarray(canvas).resize((width, height), Image.Resampling.BICUBIC)
    ink = np.asarray(drawn, np.float64)[..., None] / 255
    # Effects below half a unit of log likelihood stay pale, rather than be blown up.
    cells = Image.fromarray((occlusion / max(0.5, np.abs(occlusion).max())).astype(np.float32))
    moved = np.asarray(cells.resize((width, height), Image.Resampling.BILINEAR))[..., None]
    strength = np.minimum(np.abs(moved), 1) ** 0.7
    hue = np.where(moved > 0, _FORGED, _GENUINE)
    paper = 255 + 0.14 * strength * (hue - 255)
    colour = _NEUTRAL + strength * (hue - _NEUTRAL)
    return Image.fromarray(np.rint(paper + ink * (colour - paper)).astype(np.uint8))


def _address(image: Image.Image) -> str:
    content = io.BytesIO()
    if image.mode == "RGB":
        image.save(content, "JPEG", quality=85)
    else:
        image.save(content, "PNG")
    kind = "jpeg" if image.mode == "RGB" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
