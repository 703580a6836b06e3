"""DeepSign: offline signature verification as a study that can be trusted and rerun.

Importing this package alone imports neither TensorFlow nor Keras. It only makes sure that, when
they are imported later, they run on oneDNN's kernels: those are off by default on processors
without AVX-512, where they halve the time of a pass.
"""

import os

__version__ = "0.1.0"

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# TensorFlow logs remarks on its own graphs as errors; what fails is raised all the same.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class DeepSignError(ValueError):
    """Something that the user can mend: says what was wrong, where, and what to do."""
