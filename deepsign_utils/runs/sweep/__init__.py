"""Many studies as tasks of a Dask cluster: every study with every seed and every setting.

A run is one study made into its own folder by ``make report``, in a process of its own, so that its
seeds, TensorFlow settings and threads are its own. A finished run leaves its fingerprint beside its
metrics, and is not made again, whoever asks.

>>> sweep = read_sweep(Path("notebooks/sweeps/example.yaml"))  # doctest: +SKIP
>>> results = run_sweep(sweep)  # doctest: +SKIP
"""

from deepsign_utils.runs.sweep.grid import Run, Sweep, read_sweep
from deepsign_utils.runs.sweep.many_runs import run_sweep
from deepsign_utils.runs.sweep.one_run import last_error_line
from deepsign_utils.runs.sweep.page import write_report
from deepsign_utils.runs.sweep.results import gather, settings, write_tables

__all__ = [
    "Run",
    "Sweep",
    "gather",
    "last_error_line",
    "read_sweep",
    "run_sweep",
    "settings",
    "write_report",
    "write_tables",
]
