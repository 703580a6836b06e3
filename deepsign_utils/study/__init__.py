"""A study: its parameters, random streams, places on disk, and the steps it need not repeat."""

from deepsign_utils.study.artefacts import (
    SEAL,
    check_new_folder,
    check_output,
    check_seal,
    clear_partial,
    digest,
    is_as_written,
    read_artefact,
    seal,
    write_artefact,
    write_atomically,
    write_json,
)
from deepsign_utils.study.folders import (
    CHAPTERS,
    DEMONSTRATION,
    PACKAGE,
    PRETRAINED,
    ROOT,
    Study,
    shards_folder,
)
from deepsign_utils.study.images import (
    images_are_newer,
    news_of_images,
    record_images,
)
from deepsign_utils.study.parameters import (
    PARAMETERS,
    Parameter,
    check_names,
    check_values,
    notebook_parameters,
    read_study,
    resolve,
    write_chapter_parameters,
)
from deepsign_utils.study.processes import (
    ordered_map,
    usable_processors,
    worker_pool,
)
from deepsign_utils.study.provenance import (
    open_study,
    processor,
    provenance,
)
from deepsign_utils.study.steps import (
    LOCKS,
    alone,
    fingerprint,
    room,
    sources,
    step,
)
from deepsign_utils.study.streams import (
    STREAMS,
    stream,
)

__all__ = [
    "CHAPTERS",
    "DEMONSTRATION",
    "LOCKS",
    "PACKAGE",
    "PARAMETERS",
    "PRETRAINED",
    "ROOT",
    "SEAL",
    "STREAMS",
    "Parameter",
    "Study",
    "alone",
    "check_names",
    "check_new_folder",
    "check_output",
    "check_seal",
    "check_values",
    "clear_partial",
    "digest",
    "fingerprint",
    "images_are_newer",
    "is_as_written",
    "news_of_images",
    "notebook_parameters",
    "open_study",
    "ordered_map",
    "processor",
    "provenance",
    "read_artefact",
    "read_study",
    "record_images",
    "resolve",
    "room",
    "seal",
    "shards_folder",
    "sources",
    "step",
    "stream",
    "usable_processors",
    "worker_pool",
    "write_artefact",
    "write_atomically",
    "write_chapter_parameters",
    "write_json",
]
