"""Commands that fit a model to people, or hand it on."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from deepsign_utils import DeepSignError
from deepsign_utils.commands import arguments
from deepsign_utils.commands.group import Group, argument
from deepsign_utils.study import check_new_folder

if TYPE_CHECKING:
    from deepsign_utils.verifying.calibration import People

GROUP = Group("fit a model to people")


@GROUP.command(
    "fit a model's thresholds to one's own people, from genuine signatures",
    arguments.DATASET,
    arguments.NEW_MODEL,
    arguments.LAYOUT,
    arguments.MODEL,
    arguments.SEED,
    packages="evaluate",
)
def _calibrate(options: argparse.Namespace) -> None:
    """Fit a model's thresholds and likelihood ratios to one's own people and scanner.

    Genuine signatures are enough: 20 writers with three or more each. How often genuine signatures
    are refused and strangers accepted is measured on them; for skilled forgeries it is inferred, or
    measured where ten writers or more have some. Writes a model folder, which verify, compare,
    evaluate and serve take with --model.
    """
    import numpy as np

    from deepsign_utils.verifying import calibration
    from deepsign_utils.verifying.verifier import Verifier

    if options.output.resolve() == options.model.resolve():
        raise DeepSignError("--output is the model itself: name another folder.")
    check_new_folder(options.output)
    if options.output.resolve().is_relative_to(options.folder.resolve()):
        raise DeepSignError("--output lies among the images: name a folder elsewhere.")
    verifier = Verifier.load(options.model)
    people = calibration.read_people(
        verifier, options.folder.resolve().name, options.folder, options.layout
    )
    _list_left_out(people)
    chosen = calibration.calibrate(verifier.scoring, people, np.random.default_rng(options.seed))
    if odd := calibration.unlike_their_writers(people, chosen):
        print(
            "Unlike their writer's other signatures, and measured all the same: "
            f"{', '.join(odd[:5])}{f' and {len(odd) - 5} more' * (len(odd) > 5)}. Where one is "
            "another person's, upside down or cut off, take it away and calibrate again."
        )
    calibration.write_model(options.model, options.output, chosen)
    print(f"\n{calibration.in_words(verifier.scoring, chosen)}")
    print(f"The calibrated model: {options.output}")


@GROUP.command(
    "fit a model's thresholds to several datasets, for people in none of them",
    arguments.DATASETS,
    arguments.NEW_MODEL,
    arguments.MODEL,
    arguments.SEED,
    packages="evaluate",
)
def _promise(options: argparse.Namespace) -> None:
    """Fit a model's thresholds and likelihood ratios to several datasets with skilled forgeries.

    Each counts alike. Says what people who are in none of them may expect. Each dataset is also
    judged by what the others promise. The model must not have been trained on any of these writers.
    """
    import numpy as np

    from deepsign_utils.verifying import calibration
    from deepsign_utils.verifying.verifier import Verifier

    check_new_folder(options.output)
    folders = arguments.named_folders(options.datasets)
    calibration.check_sets([name for name, _ in folders])
    verifier = Verifier.load(options.model)
    sets = [calibration.read_people(verifier, name, folder) for name, folder in folders]
    for one in sets:
        _list_left_out(one)
    chosen, left_out = calibration.promise(sets, np.random.default_rng(options.seed))
    calibration.write_model(options.model, options.output, chosen, left_out)
    table = calibration.judged_table(left_out).to_string(index=False)
    print(f"\nEach set, judged by what the others promise; error rates in %:\n\n{table}\n")
    print(f"The model: {options.output}")


def _list_left_out(people: People) -> None:
    for path, why in people.left_out.items():
        print(f"Left out: {path}: {why}", file=sys.stderr)


@GROUP.command(
    "write a model's encoder as ONNX, for programs without Keras",
    argument("model", type=arguments.path, metavar="MODEL", help="model folder of a study"),
    argument(
        "--output",
        type=arguments.path,
        metavar="FOLDER",
        help="a new folder, or an empty one; default: the model folder itself",
    ),
)
def _export(options: argparse.Namespace) -> None:
    """Write a model folder's encoder as encoder.onnx, which embeds as Keras does within 0.00001.

    Beside it golden_vectors.json, canvases and embeddings for a port to test itself by. The output
    is a model folder that verify and serve take.
    """
    from deepsign_utils.deployed_encoder import export

    output = options.output or options.model
    export.export_model(options.model, output)
    print(f"Exported: {output / export.ONNX_FILE}")
