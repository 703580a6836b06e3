"""DeepSign: offline signature verification as a study that can be trusted and rerun.

Importing this package alone imports neither TensorFlow nor Keras. It only makes sure that, when
they are imported later, they run on oneDNN's kernels, which are off by default on processors
without AVX-512, where they halve the time of a pass; that Keras has settings of its own rather
than those of the user's other projects; and that onnxruntime reports nothing over the network.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

__version__ = "0.1.0"

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
# TensorFlow logs remarks on its own graphs as errors; what fails is raised all the same.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # else onnxruntime tells its makers of every use
os.environ["KERAS_HOME"] = str(Path(__file__).parent / "keras_settings")
# Nobody need hear that its font cache takes a while, or that a face has no bold.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
for _set in (
    *("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"),  # they cut every training short,
    *("TF_XLA_FLAGS", "TF_SET_ONEDNN_FPMATH_MODE"),  # or have graphs computed in another way
    *("ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE"),
    *("DNNL_MAX_CPU_ISA", "DNNL_DEFAULT_FPMATH_MODE"),  # their older names
):
    os.environ.pop(_set, None)
if not os.environ.get("SOURCE_DATE_EPOCH", "0").isdecimal():
    del os.environ["SOURCE_DATE_EPOCH"]  # with which NumPy cannot be imported


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """What libraries of C write to standard error goes nowhere."""
    with contextlib.ExitStack() as after:
        with contextlib.suppress(OSError):  # where there is no standard error
            kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
            after.callback(os.close, kept)
            after.callback(os.dup2, kept, 2)
        yield


class _TensorFlowUnheard(PathFinder):
    """Finds TensorFlow, which logs of itself as it is loaded whatever its settings say."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where TensorFlow is, if that is asked for; it is loaded unheard."""
        if fullname != "tensorflow":
            return None
        found = super().find_spec(fullname, path, target)
        if found and found.loader:
            load = found.loader.exec_module
            found.loader.exec_module = lambda module: _unheard()(load)(module)  # type: ignore[method-assign]
        return found


sys.meta_path.insert(0, _TensorFlowUnheard)


class DeepSignError(ValueError):
    """Something that the user can mend: says what was wrong, where, and what to do."""
