"""The route that compares signatures which are sent along."""

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends

from deepsign_utils.verifying.case_file import CaseImage, case_file
from deepsign_utils.verifying.find_signatures import Box
from deepsign_utils.verifying.pages import in_words, parse_box
from deepsign_utils.verifying.service import fields, schema
from deepsign_utils.verifying.service.dependencies import InService, contents, each_known_and_once
from deepsign_utils.verifying.service.refusals import UPLOAD
from deepsign_utils.verifying.verifier import QUESTIONED

ROUTES = APIRouter()


@ROUTES.post(
    "/verify",
    tags=["verification"],
    dependencies=[Depends(each_known_and_once)],
    response_model=schema.Verdict,
    responses=UPLOAD,
)
async def verify(
    engine: InService,
    references: fields.References,
    questioned: fields.Questioned,
    threshold: fields.Threshold = "eer",
    explain: fields.Explain = False,
    report: fields.Report = False,
    page: fields.Page = None,
    box: fields.Box = None,
) -> dict:
    """Compare a questioned signature with references sent along; nothing is kept."""
    engine.verifier.scoring.rule(threshold, len(references))
    images, names = await contents(engine, references, "reference")
    more, more_names = await contents(engine, [questioned], QUESTIONED)
    where = (page, parse_box(box) if box else None)
    signatures = await engine.read(images + more, names + more_names, *where)
    embeddings = await engine.embed([signature.canvas for signature in signatures])
    *compared, last = signatures
    known = await engine.references(compared, embeddings[:-1])
    comparison = await engine.judge(known, last, embeddings[-1], threshold)
    verdict = comparison.to_dict()
    if explain or report:
        occlusion = await engine.occlusion(known, last, embeddings[-1])
    if explain:
        verdict["explanation"] = engine.explain(known, last, compared, occlusion)
    if report:
        verdict["report"] = await asyncio.to_thread(
            _case_file, comparison, signatures, images + more, occlusion, *where
        )
    return verdict


def _case_file(
    comparison: Any,
    signatures: Sequence[Any],
    images: Sequence[bytes],
    occlusion: Any,
    page: int | None,
    box: Box | None,
) -> str:
    titles = [f"Reference {n}" for n in range(1, len(images))] + ["Questioned"]
    *references, questioned = (
        CaseImage(title, "as uploaded", content, signature.canvas, signature.cutting)
        for title, content, signature in zip(titles, images, signatures, strict=True)
    )
    files = [f"REFERENCE_{n}" for n in range(1, len(images))]
    command = ["python", "-m", "deepsign_utils", "verify", *files, "--questioned", "QUESTIONED"]
    command += ["--threshold", comparison.threshold_name]
    command += ["--page", str(page)] if page else []
    command += ["--box", in_words(box)] if box else []
    return case_file(comparison, references, questioned, occlusion, command)
