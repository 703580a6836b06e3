"""What the service answers, as its OpenAPI text describes it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class OnPage(BaseModel):
    """A signature found on the questioned document."""

    page: int = Field(examples=[2])
    box: str = Field(description="as the parameter takes it", examples=["120,340,560,520"])
    image: str = Field(description="small, a JPEG as a data address")


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str = Field(examples=["the questioned signature: no ink was found"])
    signatures: list[OnPage] | None = Field(
        None, description="only where the document shows none, or several to choose from"
    )


class Rate(BaseModel):
    """A rate and its 95 % interval, as fractions."""

    value: float = Field(examples=[0.084])
    low: float = Field(examples=[0.061])
    high: float = Field(examples=[0.11])


class FalseMatchRates(BaseModel):
    """Accepted among forgeries, by kind; null where it was not measured."""

    skilled: Rate | None
    random: Rate | None


class ExpectedErrors(BaseModel):
    """Error rates at the threshold: measured, or inferred, as `measured_on` says."""

    fmr: FalseMatchRates
    fnmr: Rate | None


class Threshold(BaseModel):
    """Where accepting begins, and where rejecting ends."""

    name: str = Field(examples=["eer"])
    value: float = Field(description="the same as accept_from", examples=[0.52])
    accept_from: float = Field(examples=[0.52])
    reject_below: float = Field(
        description="what lies between the two is referred to a person", examples=[0.52]
    )


class ImageWarning(BaseModel):
    """A fault of one image."""

    image: str = Field(
        description="of those sent, by their order; of enrolled references, by their id",
        examples=["reference 1", "uploaded reference 1", "enrolled reference 17"],
    )
    code: str = Field(examples=["too_small"])
    message: str = Field(examples=["The signature is small for this model."])


class CopyOf(BaseModel):
    """The reference that the questioned signature is a copy of, and how it lies on it."""

    reference: str = Field(examples=["reference 2"])
    distance: float = Field(
        description="between the lines; 1 is the signature's own radius", examples=[0.004]
    )
    turned: float = Field(description="degrees, anticlockwise", examples=[-1.2])
    scaled: float = Field(description="of the reference's size in pixels", examples=[0.5])
    stretched: float = Field(description="scaled one way by so much more", examples=[1.1])


class Explanation(BaseModel):
    """What there is to see."""

    questioned: str = Field(description="cleaned image, a PNG as a data address")
    references: list[str] = Field(description="cleaned images; none of an enrolled writer")
    occlusion: list[list[float]] = Field(
        description="8 x 16 cells over the questioned image: by how much erasing the ink there "
        "raised the log likelihood ratio; above 0, the ink spoke for a forgery"
    )
    distributions: dict[str, list[float]] = Field(
        description="score, and the densities of the kinds measured: genuine, skilled, random"
    )


class Verdict(BaseModel):
    """What the model says of a questioned signature."""

    decision: Literal["accepted", "rejected", "referred"] = Field(
        description="referred to a person: between two thresholds, a copy of a reference, a "
        "signature that is not upright and upright would be accepted, one far coarser or finer "
        "than the references that would be rejected, a stamp across one, or references that look "
        "like two writers'"
    )
    score: float = Field(description="higher is more genuine", examples=[0.61])
    llr: float | None = Field(
        description="natural-log likelihood ratio, genuine against the opponent; null where no "
        "verdict can rest on the images",
        examples=[1.7],
    )
    llrs: dict[str, float] = Field(
        description="the same by kind: against a skilled forgery, and against another person's "
        "genuine signature (random); empty where llr is null"
    )
    bounds: dict[str, list[float]] = Field(
        description="by kind, the lowest and highest that the data support"
    )
    threshold: Threshold
    references: int = Field(examples=[3])
    distances: list[float] = Field(description="from each reference")
    expected_errors: ExpectedErrors
    expected_referrals: dict[str, float] = Field(
        description="by kind, the share that scored between two thresholds and was referred to a "
        "person; empty where there is one threshold",
        examples=[{"genuine": 0.21, "skilled": 0.34, "random": 0.01}],
    )
    measured_references: int = Field(description="that expected_errors was measured with")
    errors_by_set: dict[str, dict[str, float]] = Field(
        description="the values of each set of data, where there were several"
    )
    measured_on: list[dict] = Field(
        examples=[[{"dataset": "synthetic", "split": "validation", "writers": 20}]]
    )
    opponent: Literal["skilled", "random"]
    pairs: dict[str, int] = Field(
        description="comparisons that all this was measured on; of skilled forgeries none where "
        "their rates are inferred from other people's"
    )
    model: str = Field(description="identity of the model")
    scoring: str = Field(description="SHA-256 of its scoring.json")
    copy_of: CopyOf | None = Field(
        description="an alarm: not an independent signature; the decision is then referred"
    )
    warnings: list[ImageWarning]
    words: list[str] = Field(
        description="verdict, evidence against each kind of forgery, and uncertainty; where llr is "
        "null, verdict and what to do"
    )
    explanation: Explanation | None = Field(None, description="only if asked for")
    report: str | None = Field(None, description="the case file, HTML; only if asked for")


class Reference(BaseModel):
    """One enrolled reference."""

    id: int
    enrolled_at: str = Field(examples=["2026-01-31T12:00:00+00:00"])
    model: str = Field(description="identity of the model that embedded it")
    has_image: bool = Field(description="whether the image was kept")


class Writer(BaseModel):
    """An enrolled writer."""

    writer: str = Field(examples=["w-1042"])
    usable: bool = Field(description="whether the model in service embedded all references")
    references: list[Reference]


class Enrolment(Writer):
    """A writer after an enrolment."""

    added: int = Field(description="references of this request, copies left out")
    warnings: list[ImageWarning]


class Health(BaseModel):
    """Alive, or ready."""

    status: Literal["ok", "loading"]


class Version(BaseModel):
    """What is in service."""

    model_config = ConfigDict(protected_namespaces=())

    deepsign: str = Field(examples=["0.1.0"])
    model: str = Field(description="identity: SHA-256 of the encoder and its preprocessing")
    scoring: str = Field(
        description="SHA-256 of scoring.json; a calibrated model differs in it alone"
    )
    preprocessing: dict
    opponent: Literal["skilled", "random"]
    measured_on: list[dict]
    measured_references: list[int] = Field(examples=[[1, 5, 10]])
    thresholds: list[str] = Field(
        description="that may be asked for; x and y stand for rates",
        examples=[["eer", "fmr=x", "fnmr=x", "fmr=x,fnmr=y"]],
    )
    least_rates: dict[str, float] = Field(
        description="that x and y may be, whatever the number of references; with some numbers of "
        "references they may be lower",
        examples=[{"fmr": 0.0004, "fnmr": 0.0008}],
    )
