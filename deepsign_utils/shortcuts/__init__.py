"""Shortcuts: how far one gets without looking at a stroke.

A shortcut is anything that separates forged from genuine without comparing two signatures: the
shade of the paper, the size of the image, the mode of the file, the pen that the forgers happened
to share. A probe measures one: a random forest sees the features of a single image, and is scored
on writers that it never saw. Each feature belongs to one probe and is named after it
(`size.width`, `stroke_width.mean`); the probe "all" sees all of them together.

The probes of the raw file are

- size: width and height;
- background: gray levels, of the paper and of the ink that stands out from it (how dark a scan
  shows the same ink depends on the scanner);
- border: gray levels of the outermost rows and columns and of the four corners;
- marks: the darkest and the brightest single pixel of the paper against its neighbours, and where
  they lie;
- mode: file format, compression, pixel mode, resolution and the metadata that the file carries;

those of the cleaned canvas

- background: what is left outside the ink;
- stroke_width: mean and spread of twice the distance to the stroke's edge;
- extent: the ink's box and density;
- image: the whole canvas through a small convolutional layer with fixed filters, pooled. It sees
  strokes, though it compares nothing, so "all" does without it.
"""

from deepsign_utils.shortcuts.features import (
    canvas_feature_table,
    canvas_features,
    raw_feature_table,
    raw_features,
)
from deepsign_utils.shortcuts.probes import (
    AUDITED,
    PROBES,
    FittedProbe,
    ProbeResult,
    audit,
    fit_probes,
    probe,
    probe_columns,
    probe_name,
    sample,
    verdict,
    verify_with_probes,
    with_audit,
)

__all__ = [
    "AUDITED",
    "PROBES",
    "FittedProbe",
    "ProbeResult",
    "audit",
    "canvas_feature_table",
    "canvas_features",
    "fit_probes",
    "probe",
    "probe_columns",
    "probe_name",
    "raw_feature_table",
    "raw_features",
    "sample",
    "verdict",
    "verify_with_probes",
    "with_audit",
]
