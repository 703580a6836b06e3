"""Routes of enrolled writers."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Response

from deepsign_utils import DeepSignError
from deepsign_utils.preprocessing import open_image
from deepsign_utils.verifying.pages import parse_box
from deepsign_utils.verifying.scan_faults import UNDER_A_STAMP
from deepsign_utils.verifying.service import fields, schema
from deepsign_utils.verifying.service.dependencies import InService, contents, each_known_and_once
from deepsign_utils.verifying.service.engine import Engine
from deepsign_utils.verifying.service.refusals import UPLOAD, not_enrolled, problems
from deepsign_utils.verifying.service.store import ChangedMeanwhileError
from deepsign_utils.verifying.verifier import QUESTIONED

ROUTES = APIRouter()
_SENT = [Depends(each_known_and_once)]


@ROUTES.post(
    "/writers/{writer}/references",
    tags=["writers"],
    dependencies=_SENT,
    status_code=201,
    response_model=schema.Enrolment,
    responses=UPLOAD | problems(409),
)
async def enrol(
    engine: InService,
    writer: fields.WriterId,
    references: fields.References,
    keep_images: fields.KeepImages = False,
) -> dict:
    """Enrol references of a writer: all of the request, or none."""
    images, names = await contents(engine, references, "uploaded reference")
    signatures = await engine.read(images, names)
    for signature in signatures:
        if signature.is_stamped:
            raise DeepSignError(f"{signature.name}: {UNDER_A_STAMP.message}")
    embeddings = await engine.embed([signature.canvas for signature in signatures])
    content = dict(zip(names, images, strict=True))
    kept = None
    while kept is None:
        there = await asyncio.to_thread(engine.store.references, writer)
        before = await asyncio.to_thread(engine.enrolled, writer)
        known = await engine.references(signatures, embeddings, before)
        new = slice(len(before.embeddings) if before else 0, None)  # without copies
        # Another request may have enrolled a copy since.
        with contextlib.suppress(ChangedMeanwhileError):
            kept = await asyncio.to_thread(
                engine.store.add,
                writer,
                known.model,
                known.embeddings[new],
                [content[name] for name in known.names[new]] if keep_images else None,
                engine.settings.max_references,
                [trace.to_bytes() if trace else None for trace in known.traces[new]],
                [one.id for one in there],
            )
    warnings = [remark._asdict() for remark in known.warnings]
    added = len(known.names[new])
    return _writer(engine, writer, kept) | {"added": added, "warnings": warnings}


@ROUTES.post(
    "/writers/{writer}/verify",
    tags=["writers"],
    dependencies=_SENT,
    response_model=schema.Verdict,
    responses=UPLOAD | problems(404, 409),
)
async def verify_writer(
    engine: InService,
    writer: fields.WriterId,
    questioned: fields.Questioned,
    threshold: fields.Threshold = "eer",
    explain: fields.Explain = False,
    page: fields.Page = None,
    box: fields.Box = None,
) -> dict:
    """Compare a questioned signature with a writer's enrolled references."""
    known = await asyncio.to_thread(engine.enrolled, writer)
    if known is None:
        raise not_enrolled()
    engine.verifier.scoring.rule(threshold, len(known.embeddings))
    where = (page, parse_box(box) if box else None)
    signatures = await engine.read(*await contents(engine, [questioned], QUESTIONED), *where)
    embedding = (await engine.embed([signatures[0].canvas]))[0]
    comparison = await engine.judge(known, signatures[0], embedding, threshold)
    verdict = comparison.to_dict()
    if explain:
        occlusion = await engine.occlusion(known, signatures[0], embedding)
        verdict["explanation"] = engine.explain(known, signatures[0], [], occlusion)
    return verdict


@ROUTES.get(
    "/writers/{writer}",
    tags=["writers"],
    response_model=schema.Writer,
    responses=problems(401, 403, 404, 422, 503),
)
def writer_references(engine: InService, writer: fields.WriterId) -> dict:
    """What is enrolled of a writer."""
    kept = engine.store.references(writer)
    if not kept:
        raise not_enrolled()
    return _writer(engine, writer, kept)


@ROUTES.get(
    "/writers/{writer}/references/{reference}/image",
    tags=["writers"],
    response_class=Response,
    responses={
        200: {"content": {"image/*": {}}, "description": "the file as it was sent"},
        **problems(401, 403, 404, 422, 503),
    },
)
def reference_image(
    engine: InService,
    writer: fields.WriterId,
    reference: fields.ReferenceId,
) -> Response:
    """The image of a reference, if it was kept."""
    image = engine.store.image(writer, reference)
    if image is None:
        raise HTTPException(404, "There is no such reference, or its image was not kept.")
    return Response(image, media_type=open_image(image).get_format_mimetype())


@ROUTES.delete(
    "/writers/{writer}",
    tags=["writers"],
    status_code=204,
    responses=problems(401, 403, 404, 422, 503),
)
def delete_writer(engine: InService, writer: fields.WriterId) -> None:
    """Delete all that is kept of a writer, for good."""
    if not engine.store.delete(writer):
        raise not_enrolled()


def _writer(engine: Engine, writer: str, kept: Sequence[Any]) -> dict[str, Any]:
    usable = all(one.model == engine.verifier.identity for one in kept)
    return {
        "writer": writer,
        "usable": usable,
        "references": [one._asdict() for one in kept],
    }
