"""What a request may hold: its parameters and fields, and what each has to be."""

from typing import Annotated

from fastapi import File, Query, UploadFile
from fastapi import Path as PathParameter

_SWITCH = "true or false"
NEEDED = {
    "references": "genuine signatures of the writer, a file each (multipart/form-data)",
    "questioned": "the signature to judge, one file (multipart/form-data): an image, or a page or "
    "PDF that shows it",
    "threshold": "eer; fmr=0.01 or fnmr=0.01 for another rate of one of the errors; or "
    "fmr=0.01,fnmr=0.01 for both, what lies between being referred to a person",
    "page": "a whole number from 1: the page of the questioned document that is meant",
    "box": "four whole numbers, left,top,right,bottom: where on that page, in pixels, such as "
    "120,340,560,520",
    "explain": f"{_SWITCH}: add cleaned images, occlusion map, distributions",
    "report": f"{_SWITCH}: add a case file, HTML that needs nothing else, to keep and print",
    "keep_images": f"{_SWITCH}: keep the image files too",
    "writer": "a name of your choice, 1 to 64 characters: letters a to z and A to Z, digits, and "
    "inside or at the end _ . @ -",
    "reference": "a whole number from 1: the reference's id",
}
"""What each parameter and field has to be, for the OpenAPI text and for refusals."""

References = Annotated[list[UploadFile], File(min_length=1, description=NEEDED["references"])]
Questioned = Annotated[UploadFile, File(description=NEEDED["questioned"])]
Threshold = Annotated[
    str,
    Query(
        description=NEEDED["threshold"],
        max_length=40,
        examples=["eer", "fmr=0.05", "fmr=0.02,fnmr=0.02"],
    ),
]
Page = Annotated[int | None, Query(ge=1, description=NEEDED["page"])]
Box = Annotated[
    str | None,
    Query(
        pattern=r"^\d{1,6},\d{1,6},\d{1,6},\d{1,6}$",
        description=NEEDED["box"],
        examples=["120,340,560,520"],
    ),
]
Report = Annotated[bool, Query(description=NEEDED["report"])]
Explain = Annotated[bool, Query(description=NEEDED["explain"])]
WriterId = Annotated[
    str,
    PathParameter(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$",
        description=NEEDED["writer"],
        examples=["w-1042"],
    ),
]
KeepImages = Annotated[bool, Query(description=NEEDED["keep_images"])]
ReferenceId = Annotated[int, PathParameter(ge=1, le=2**62, description=NEEDED["reference"])]
