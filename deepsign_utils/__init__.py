"""DeepSign: offline signature verification as a study that can be trusted and rerun.

Importing this package alone imports neither TensorFlow nor Keras. It only makes sure that, when
they are imported later, they run on oneDNN's kernels, which are off by default on processors
without AVX-512, where they halve the time of a pass; and that Keras has settings of its own rather
than those of the user's other projects.
"""

import os
from pathlib import Path

__version__ = "0.1.0"

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# TensorFlow logs remarks on its own graphs as errors; what fails is raised all the same.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_HOME"] = str(Path(__file__).parent / "keras_settings")
for _limit in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):  # cut every training short
    os.environ.pop(_limit, None)


class DeepSignError(ValueError):
    """Something that the user can mend: says what was wrong, where, and what to do."""
