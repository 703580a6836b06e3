"""Every figure of the report, in one visual language.

Functions take plain arrays and data frames and return a matplotlib Figure that belongs to nobody:
it is made without pyplot, so there is no current figure, none is left open, and a notebook shows
it once, through `show`.

Genuine, skilled, random and stroke-blind have one colour each everywhere, taken from Okabe and
Ito's palette, which readers with any colour vision can tell apart [1]_. Random's purple is a
shade darker than theirs, so that text in it can be read on white. Curves also differ in their
dashes. Figures bring their own white background and are read alike on a light and a dark page.

Rates come in as fractions and are drawn in %. A rate is a number, or a mapping
``{"value": ..., "low": ..., "high": ...}`` whose interval is then drawn too.

References
----------
.. [1] M. Okabe and K. Ito, "Color Universal Design", 2008, https://jfly.uni-koeln.de/color/
"""

from deepsign_utils.figures.data import (
    before_after,
    dataset_overview,
    in_steps,
    probe_aucs,
    realism,
    size_scatter,
    specimens,
    storage_comparison,
)
from deepsign_utils.figures.errors import (
    DIFFERENCE,
    counted_errors,
    det,
    distance_distributions,
    error_against_threshold,
    overlaid,
    pair_gallery,
    per_writer,
    references,
    roc,
)
from deepsign_utils.figures.learning import (
    augmented_views,
    embedding_maps,
    encoder_walk,
    feature_maps,
    pair_matrices,
    training_history,
)
from deepsign_utils.figures.many_runs import (
    MOST_SETTINGS,
    bench_ratios,
    cross_matrix,
    sweep_errors,
    sweep_parameters,
)
from deepsign_utils.figures.style import (
    COLOURS,
    NAMES,
    render,
    save,
    show,
)

__all__ = [
    "COLOURS",
    "DIFFERENCE",
    "MOST_SETTINGS",
    "NAMES",
    "augmented_views",
    "before_after",
    "bench_ratios",
    "counted_errors",
    "cross_matrix",
    "dataset_overview",
    "det",
    "distance_distributions",
    "embedding_maps",
    "encoder_walk",
    "error_against_threshold",
    "feature_maps",
    "in_steps",
    "overlaid",
    "pair_gallery",
    "pair_matrices",
    "per_writer",
    "probe_aucs",
    "realism",
    "references",
    "render",
    "roc",
    "save",
    "show",
    "size_scatter",
    "specimens",
    "storage_comparison",
    "sweep_errors",
    "sweep_parameters",
    "training_history",
]
