"""Embeddings to scores on one scale for any number of references, and what the scores mean.

The score of a questioned signature against k references is the mean cosine of their embeddings,
less a share of how far the references' own similarity lies from that of the population: a writer
whose references resemble one another closely must resemble them closely. Where several sets of data
were measured, it is spread by how dense the writing is (`Style`).

The evaluation chapter and the verifier both score through this module, so that what is measured
is what is deployed. A higher score means more genuine. Everything that is fitted or chosen here
must be given the scores of writers whom the weights have not seen.
"""

from deepsign_utils.scoring.fitting import (
    coverage,
    fit_scoring,
    fit_style,
    fit_to_people,
)
from deepsign_utils.scoring.interpretation import (
    BY_RATE,
    DEFAULT_THRESHOLD,
    Calibration,
    Inference,
    Rule,
    Scoring,
    calibrate,
)
from deepsign_utils.scoring.scores import (
    SHARE,
    Population,
    Style,
    distances,
    pair_errors,
    pair_scores,
    score_against,
    score_tables,
    trial_scores,
)

__all__ = [
    "BY_RATE",
    "DEFAULT_THRESHOLD",
    "SHARE",
    "Calibration",
    "Inference",
    "Population",
    "Rule",
    "Scoring",
    "Style",
    "calibrate",
    "coverage",
    "distances",
    "fit_scoring",
    "fit_style",
    "fit_to_people",
    "pair_errors",
    "pair_scores",
    "score_against",
    "score_tables",
    "trial_scores",
]
