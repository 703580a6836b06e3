"""Executed notebooks and metrics.json -> one HTML file that needs nothing else.

The report opens with the question, the answer and its limits, all rendered from metrics.json; the
notebooks follow as chapters. Their outputs hold strings from data (writers' names, paths), so
Jinja2 escapes everything, HTML written by a notebook passes a list of allowed tags, and the page's
own Content-Security-Policy lets no script run but the report's and nothing be fetched.
"""

from deepsign_utils.report.notebooks import (
    read_notebook,
)
from deepsign_utils.report.numbers import (
    read_json,
    read_metrics,
)
from deepsign_utils.report.pages import (
    counterpart,
    matrix_answer,
    model_card,
    write_demonstration,
    write_index,
    write_matrix,
    write_report,
)
from deepsign_utils.report.rendering import (
    SIZE_LIMIT,
    figure,
    write_page,
)
from deepsign_utils.report.words import (
    answer,
    conclusion,
    coverage_table,
    demonstration_answer,
    demonstration_findings,
    demonstration_table,
    error_table,
    findings,
    flatten,
    format_number,
    format_rate,
    pairs_to_show,
    quality_in_words,
    shortcut_table,
)

__all__ = [
    "SIZE_LIMIT",
    "answer",
    "conclusion",
    "counterpart",
    "coverage_table",
    "demonstration_answer",
    "demonstration_findings",
    "demonstration_table",
    "error_table",
    "figure",
    "findings",
    "flatten",
    "format_number",
    "format_rate",
    "matrix_answer",
    "model_card",
    "pairs_to_show",
    "quality_in_words",
    "read_json",
    "read_metrics",
    "read_notebook",
    "shortcut_table",
    "write_demonstration",
    "write_index",
    "write_matrix",
    "write_page",
    "write_report",
]
