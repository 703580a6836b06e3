"""Commands that look at datasets, and at what a model makes of them."""

from __future__ import annotations

import argparse

from deepsign_utils import DeepSignError
from deepsign_utils.commands import arguments
from deepsign_utils.commands.group import Group, argument
from deepsign_utils.layouts import described
from deepsign_utils.study import ROOT, alone, check_output, write_atomically, write_json

GROUP = Group("look at data")


@GROUP.command(
    "measure a trained model on a dataset of writers it never saw",
    arguments.DATASET,
    arguments.LAYOUT,
    arguments.MODEL,
    arguments.SEED,
    argument(
        "--baselines",
        action="store_true",
        help="also measure what needs no training (the encoder's random weights, and HOG), and "
        "what remains when one pen redraws every stroke",
    ),
    argument("--output", type=arguments.path, metavar="FILE.json", help="where to keep it"),
    packages="evaluate",
)
def _evaluate(options: argparse.Namespace) -> None:
    """Measure a trained model on all writers of a dataset.

    FMR and FNMR at the model's own threshold, and the EER, with 95 % intervals by bootstrap over
    writers. The model must not have been trained on any of these writers.
    """
    import numpy as np

    from deepsign_utils.runs import evaluate
    from deepsign_utils.verifying.verifier import Verifier

    if options.output:
        check_output(options.output, [options.folder, options.model], (".json",))
    found = evaluate.evaluate(
        Verifier.load(options.model),
        options.folder,
        np.random.default_rng(options.seed),
        options.layout,
        options.baselines,
    )
    if options.output:
        write_json(options.output, found)
    print(f"\n{evaluate.in_words(found)}")


@GROUP.command(
    "measure what gives forgeries away in a dataset without a look at a stroke",
    arguments.DATASET,
    arguments.LAYOUT,
    arguments.SEED,
)
def _audit(options: argparse.Namespace) -> None:
    """Measure the shortcuts of a dataset.

    How well a classifier that sees single images, and never a reference, tells forged from genuine,
    on writers it never saw. AUC 0.5 is chance. A shortcut is flagged where its AUC lies above 0.55
    even when the interval is widened for how many probes were asked.
    """
    import numpy as np

    from deepsign_utils import metrics, shortcuts
    from deepsign_utils.datasets import missing_half, read_dataset
    from deepsign_utils.preprocessing import Preprocessing, clean_files
    from deepsign_utils.runs.evaluate import in_account

    signatures, left_out = read_dataset(options.folder, options.layout)
    if len(kinds := signatures["kind"].unique()) == 1:
        raise DeepSignError(missing_half(str(options.folder), len(signatures), kinds[0]))
    cleaned = list(
        clean_files(options.folder, signatures["path"].tolist(), Preprocessing(128, 256, "aspect"))
    )
    usable = signatures[[one.canvas is not None for one in cleaned]]
    canvases = [one.canvas for one in cleaned if one.canvas is not None]
    reasons = [*left_out["reason"], *(one.problem for one in cleaned if one.canvas is None)]
    writers = usable["writer"].nunique()
    print(f"\n{in_account(len(usable), writers, reasons)}\n")
    if few := metrics.too_few(usable["kind"] == "forgery", usable["writer"]):
        print(f"Shortcuts: {few}")
        return
    tables = {
        "raw files": shortcuts.raw_feature_table(options.folder, usable),
        "cleaned canvas": shortcuts.canvas_feature_table(usable["signature_id"], canvases),
    }
    streams = np.random.default_rng(options.seed).spawn(len(tables))
    print(f"{'images':15} {'probe':13} {'AUC':>5}  95 % interval  verdict")
    for (images, features), rng in zip(tables.items(), streams, strict=True):
        for row in shortcuts.audit(features, usable, rng).itertuples():
            found = f"{row.auc:.3f}  [{row.low:.3f}, {row.high:.3f}]  {row.verdict}"
            if row.low == row.high == 0.5:  # nothing was there to learn: nothing was measured
                found = "    -               -  the same in all images"
            print(f"{images:15} {row.probe:13} {found}")


@GROUP.command(
    "measure a trained model on signatures captured in other ways: forms, cameras, pens",
    argument(
        "datasets",
        nargs="*",
        default=["synthetic"],
        metavar="FOLDER or NAME=FOLDER",
        help="datasets of writers whom the model never saw; default: synthetic ones are drawn",
    ),
    argument("--writers", type=int, default=16, help="default: %(default)s"),
    argument("--genuine", type=int, default=5, help="signatures of each; default: %(default)s"),
    argument("--forgeries", type=int, default=5, help="of each writer; default: %(default)s"),
    argument(
        "--only",
        metavar="NAME,NAME",
        help="conditions to measure, such as 'ruled line,fax'; default: all",
    ),
    arguments.LAYOUT,
    arguments.MODEL,
    arguments.SEED,
    argument(
        "--pictures",
        type=arguments.path,
        metavar="FOLDER",
        help="measure nothing: only draw capture.png there, a signature under each condition",
    ),
    keeps=True,
)
def _capture(options: argparse.Namespace) -> None:
    """Capture signatures in some fifty ways, and measure what a model makes of them.

    On forms, under stamps, by camera and fax, by other pens: EER, FMR and FNMR at the threshold
    fixed on the images as scanned, and how often a warning speaks up. Writes reports/capture:
    index.html, and capture.json, .csv and .md. An interrupted run goes on where it stopped.
    """
    from deepsign_utils import figures, report
    from deepsign_utils.capture import page, pictures
    from deepsign_utils.verifying.verifier import Verifier

    if options.pictures:
        if options.only or options.datasets != ["synthetic"]:
            raise DeepSignError(
                "--pictures draws a synthetic signature under all conditions: leave out --only and "
                "the datasets."
            )
        check_output(options.pictures / f"{page.NAME}.png")
        figures.save(pictures.gallery(), options.pictures, page.NAME)
        print(f"The pictures: {options.pictures / page.NAME}.png")
        return
    with alone(ROOT / "reports" / page.NAME):
        output = page.run(
            Verifier.load(options.model),
            options.datasets,
            options.writers,
            options.genuine,
            options.forgeries,
            options.layout,
            options.seed,
            [name.strip() for name in options.only.split(",")] if options.only else None,
        )
    with alone(ROOT / "reports" / "index.html"):
        report.write_index(ROOT / "reports")
    print(f"\nThe benchmark: {output.relative_to(ROOT)}")


@GROUP.command(
    "write a first manifest.csv for a folder of images, to be corrected",
    arguments.DATASET,
    argument(
        "--pattern",
        metavar="TEXT",
        help="how a path below the folder tells, as '{writer}/{kind}_{n}' or '{kind}/{writer}-*'",
    ),
    argument(
        "--output",
        type=arguments.path,
        metavar="FILE.csv",
        help="default: manifest.csv in the folder",
    ),
)
def _manifest(options: argparse.Namespace) -> None:
    """List a folder's images with writer and kind.

    As a known layout tells, as --pattern says, or guessed from names. What is unsure is marked; a
    manifest is read when no mark is left. Paths are relative to the folder: the manifest belongs
    into it.
    """
    from deepsign_utils import datasets, manifests

    output = options.output or options.folder / manifests.NAME
    if output.exists():
        raise DeepSignError(f"{output} is there already: remove it, or name another --output.")
    tree = datasets.walk(options.folder).tree
    check_output(output, endings=(".csv",))
    rows, source = manifests.draft(options.folder, tree, options.pattern)
    write_atomically(output, manifests.to_csv(rows))
    unsure = sum(bool(row[manifests.UNSURE]) for row in rows)
    print(f"{output}: {len(rows)} images, told by {source}; {unsure} unsure.")
    if unsure:
        print(f"Correct them, then empty the column '{manifests.UNSURE}'.")
    if output.parent.resolve() != options.folder.resolve():
        print(f"Then move it to {options.folder / manifests.NAME}: its paths start there.")


@GROUP.command("show the known folder layouts, each with an example tree")
def _layouts(options: argparse.Namespace) -> None:
    """Show the known folder layouts, each with an example tree and what is read from its files."""
    print(described(), end="")


@GROUP.command(
    "set synthetic signatures beside those of datasets: what they measure alike",
    arguments.DATASETS,
    argument(
        "--output",
        type=arguments.path,
        required=True,
        metavar="FOLDER",
        help="where to write; files of the same names are replaced",
    ),
    arguments.SEED,
)
def _realism(options: argparse.Namespace) -> None:
    """Draw synthetic writers and measure them beside datasets.

    Aspect, density, stroke width, curvature, ends and branches. Writes realism.csv, realism.svg and
    a gallery of the synthetic writers; of the datasets, numbers only.
    """
    import numpy as np

    from deepsign_utils import figures
    from deepsign_utils.synthetic import realism

    for name in ("realism.csv", "realism.svg", "gallery.png"):
        check_output(options.output / name)
    real = {
        name: realism.describe_dataset(folder, np.random.default_rng(options.seed))
        for name, folder in arguments.named_folders(options.datasets)
    }
    tables = {"synthetic": realism.describe_writers(200, options.seed), **real}
    compared = realism.compare(tables)
    write_atomically(
        options.output / "realism.csv", compared.to_csv(index=False, float_format="%.4g")
    )
    figures.save(figures.realism(tables, realism.STATISTICS), options.output, "realism")
    images, writers, kinds = realism.gallery(12, options.seed)
    figures.save(
        figures.specimens(images, writers, kinds, ink_bright=False), options.output, "gallery"
    )
    overlaps = compared.pivot(index="statistic", columns="dataset", values="overlap")
    print(overlaps.loc[list(realism.STATISTICS), list(tables)[1:]].round(2).to_string())
