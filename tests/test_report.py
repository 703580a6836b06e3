"""The report says what metrics.json and the notebooks say, safely, in one file."""

import base64
import copy
import json
import re
import shlex
import shutil
import subprocess
from itertools import pairwise

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from conftest import PATIENCE, ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from deepsign_utils import DeepSignError, report
from deepsign_utils.report.words import command_for
from deepsign_utils.study.parameters import read_study, resolve

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
TITLES = ["1 · The data", "2. Pairs", "Records", "The model", "Training", "Error rates"]
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="36pt"><g id="a"/></svg>'


def figure(name, caption="A caption.", data=None):
    """The two outputs of figures.show."""
    said = {"alt": f"What {name} shows.", "caption": caption, "name": name}
    picture = data or {"image/svg+xml": SVG}
    return [
        new_output("display_data", data=picture, metadata={"deepsign": said}),
        new_output(
            "display_data",
            data={"text/markdown": caption, "text/plain": caption},
            metadata={"deepsign": {"role": "caption"}},
        ),
    ]


def html(content):
    return new_output("display_data", data={"text/html": content, "text/plain": "plain"})


def code(source, outputs=(), tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def write_notebook(path, cells):
    nbformat.write(new_notebook(cells=cells), path)
    return path


def interval(value, width=0.02):
    return {"value": value, "low": value - width, "high": value + width}


def rates(eer):
    return {
        "eer": {"skilled": interval(eer), "random": interval(eer / 2)},
        "eer_per_writer": interval(eer / 3 + 0.02),
        "fmr": {"skilled": interval(eer + 0.01), "random": interval(0.004, 0.002)},
        "fnmr": interval(eer - 0.01),
        "auc": {"skilled": interval(0.93), "random": interval(0.97)},
        "cllr": interval(0.4),
    }


def make_metrics():
    """A metrics.json as chapter 6 writes it."""
    return {
        "study": "synthetic",
        "dataset": "synthetic",
        "seed": 7,
        "encoder": {"name": "lightweight_encoder", "parameters": 304672},
        "validation": {"writers": 40, "references": {"1": {"threshold": 0.61}}},
        "test": {
            "writers": 60,
            "pairs": {"genuine": 4560, "skilled": 14400, "random": 4560},
            "references": {"1": rates(0.123), "10": rates(0.081), "5": rates(0.095)},
        },
        "shortcuts": {
            "raw": {"size": {"auc": interval(0.7), "eer": interval(0.35), "verdict": "flagged"}},
            "canvas": {
                "stroke_width": {"auc": interval(0.51), "verdict": "at chance"},
                "all": None,
            },
        },
        "provenance": {
            "seed": 7,
            "parameters": {"epochs": 30, "start_from": HOSTILE},
            "versions": {"keras": "3.15.0"},
            "threads": {"intra_op": 2},
            "inputs": {"signatures.parquet": "ab12"},
            "seconds": {"05_training": 1523.7},
        },
    }


def make_notebooks(folder):
    """Six executed notebooks: prose, tables, figures, progress bars and strings that mean harm."""
    table = pd.DataFrame(
        {"path": [HOSTILE, "w1/a.png"], "width": [640, 512]}, index=pd.Index(["w0", "w1"])
    ).rename_axis("writer")
    bar = "\r 50%|#####     | 5/10\r100%|##########| 10/10\n"
    paths = []
    for number, title in enumerate(TITLES, 1):
        cells = [
            new_markdown_cell(f"# {title}\n\nNext is [pairs](02_chapter.ipynb#there). {HOSTILE}"),
            code("epochs: int = 30  # upper bound", tags=["parameters"]),
            code("secret()", figure("secret", "never shown"), tags=["hide"]),
            new_markdown_cell("#### Skips a level\n\n![remote](https://example.org/a.png)"),
            code(
                "signatures",
                [
                    new_output("stream", name="stderr", text=bar),
                    new_output("stream", name="stdout", text=f"10 %\r100 % done\n{HOSTILE}\n"),
                    html(table.to_html()),
                ],
            ),
            code(
                "figures.show(f)",
                figure(f"plot-{number}", f"Caption of plot {number}, {HOSTILE}."),
            ),
        ]
        if number == 6:
            cells.append(code("figures.show(det)", figure("headline", "Trade-off of the network.")))
        paths.append(write_notebook(folder / f"0{number}_chapter.ipynb", cells))
    return paths


def make_report(folder, notebooks, metrics):
    source, output = folder / "metrics.json", folder / "synthetic" / "index.html"
    source.write_text(json.dumps(metrics))
    assert report.write_report(notebooks, source, output) == output
    return output


def parse(path):
    return BeautifulSoup(path.read_text(), "html.parser")


@pytest.fixture
def metrics():
    return make_metrics()


@pytest.fixture
def notebooks(tmp_path):
    return make_notebooks(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The path of a report that tests only read."""
    folder = tmp_path_factory.mktemp("report")
    return make_report(folder, make_notebooks(folder), make_metrics())


@pytest.fixture(scope="module")
def page(whole):
    return parse(whole)


@pytest.fixture
def summary(tmp_path, metrics):
    """Write a report without chapters from changed numbers, and parse it."""
    return lambda **changes: parse(make_report(tmp_path, [], metrics | changes))


def text(tag):
    """What a reader reads, with single spaces."""
    return " ".join(tag.get_text().split())


# --- the numbers


def test_headline_table_equals_metrics_json_with_references_in_order(page, metrics):
    rows = [[text(c) for c in r("td")] for r in page.select("table.headline tbody tr")]
    heads = [text(h) for h in page.select("table.headline tbody th")]
    assert heads == ["1", "5", "10"]
    for head, row in zip(heads, rows, strict=True):
        expected = metrics["test"]["references"][head]
        fmr, eer = expected["fmr"], expected["eer"]
        shown = [fmr["skilled"], fmr["random"], expected["fnmr"], eer["skilled"], eer["random"]]
        assert row[:5] == [" ".join(report.format_rate(i).split()) for i in shown]
        assert row[5] == "0.40 [0.38, 0.42]"


def test_answer_comes_before_anything_else_and_carries_its_intervals(page):
    summary = page.find(id="summary")
    assert text(summary.h1).startswith("Can a small Siamese network")
    answer = text(summary.find(class_="answer"))
    assert answer == (
        "Partly: with one reference and the threshold fixed on validation writers, it accepts "
        "13.3 % [11.3, 15.3] of skilled forgeries (FMR) and rejects 11.3 % [9.3, 13.3] of genuine "
        "signatures (FNMR); its EER is 12.3 % [10.3, 14.3]."
    )
    assert text(page.main).index(answer) < text(page.main).index("Figure 6.2")


@pytest.mark.parametrize(
    ("eer", "word"), [(0.015, "Largely"), (0.2, "Partly"), (0.49, "Not shown")]
)
def test_answer_is_no_better_than_its_numbers(metrics, eer, word):
    metrics["test"]["references"] = {"1": rates(eer)}
    assert report.answer(metrics).startswith(f"{word}: ")


def test_who_accepts_half_of_the_forgeries_hardly_tells(metrics):
    metrics["test"]["references"] = {"1": rates(0.3)}
    metrics["test"]["references"]["1"]["fmr"]["skilled"] = interval(0.55)
    assert report.answer(metrics).startswith("Hardly: ")


def test_what_a_blind_verifier_does_as_well_is_not_shown(metrics):
    metrics["test"]["references"] = {"1": rates(0.3)}
    probe = {"auc": interval(0.7), "eer": {"skilled": interval(0.28)}}
    metrics["shortcuts"] = {"canvas": {"all": probe}}
    assert report.answer(metrics).startswith("Not shown: ")
    assert "a verifier which sees no stroke 28.0" in report.answer(metrics)
    # What the network cannot see, it does not compete with
    metrics["shortcuts"] = {"raw": {"all": probe}}
    assert report.answer(metrics).startswith("Partly: ")


@pytest.mark.parametrize(
    ("rate", "written"),
    [
        (interval(0.123), "12.3\u00a0% [10.3,\u00a014.3]"),
        ({"value": 0.004, "low": 0.001, "high": 0.009}, "0.40\u00a0% [0.10,\u00a00.90]"),
        ({"value": 0.0, "low": 0.0, "high": 0.02}, "0.0\u00a0% [0.0,\u00a02.0]"),
        ({"value": 0.2, "low": None, "high": None}, "20.0\u00a0%"),
        (None, "not measured"),
    ],
)
def test_rates_are_written_with_sensible_digits(rate, written):
    assert report.format_rate(rate) == written


def test_shortcuts_say_what_was_flagged(page):
    findings = {
        text(row.th): text(row.find(class_="finding"))
        for row in page.find(id="shortcuts").find_next("table").tbody("tr")
    }
    assert findings == {"image size": "flagged", "stroke width": "at chance"}
    assert "Flagged: image size (raw files)" in text(page)


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("raw", "The network sees the cleaned canvas alone, where no probe is flagged."),
        ("canvas", "Part of what the network achieves may rest on what is left"),
    ],
)
def test_a_flag_says_whether_the_network_could_see_it(summary, stage, said):
    page = summary(shortcuts={stage: {"all": {"auc": interval(0.7), "verdict": "flagged"}}})
    assert said in text(page)
    assert ("Not that strokes alone did it." in text(page)) == (stage == "canvas")


@pytest.mark.parametrize(
    ("auc", "finding"), [(0.51, "at chance"), (0.56, "inconclusive"), (0.7, "flagged")]
)
def test_probe_without_a_verdict_is_judged_by_its_interval(summary, auc, finding):
    page = summary(shortcuts={"canvas": {"extent": {"auc": interval(auc)}}})
    assert text(page.find(class_="finding")) == finding


def test_what_the_audit_of_other_writers_flags_is_flagged(summary):
    probe = {"auc": interval(0.56, 0.1), "verdict": "inconclusive"}
    audit = {"auc": interval(0.7), "verdict": "flagged"}
    page = summary(shortcuts={"canvas": {"stroke_width": probe | {"audit": audit}}})
    assert "Flagged: stroke width (cleaned canvas)" in text(page)


def test_numbers_that_were_not_measured_are_shown_as_missing(summary, metrics):
    nothing = copy.deepcopy(metrics["test"])
    for row in nothing["references"].values():
        row["fmr"]["skilled"] = row["eer"]["skilled"] = row["cllr"] = None
        row["fnmr"] = {"value": None, "low": None, "high": None}
    page = summary(test=nothing, shortcuts=None, provenance=None, validation=None, encoder=None)
    assert text(page.find(class_="answer")).startswith("This study does not tell")
    assert len(page.select("table.headline .missing")) == 4 * 3
    assert "Not measured in this run." in text(page)


def test_parts_of_another_shape_than_expected_count_as_missing(summary, metrics):
    test = metrics["test"] | {"writers": "many", "pairs": [1, 2], "published": 0.1}
    page = summary(test=test, encoder=[], validation="", shortcuts={"raw": [0.5]}, provenance=1)
    assert text(page.find(class_="answer")).startswith("Partly")


def test_limits_depend_on_the_data(summary):
    synthetic, real = summary(), summary(dataset="cedar")
    assert "Nothing about real people." in text(synthetic.find(class_="limits"))
    assert "Nothing about other forgers." in text(real.find(class_="limits"))
    assert "The test has 60 writers" in text(real.find(class_="limits"))


def test_provenance_closes_the_page(page):
    foot = " ".join(page.footer.get_text(" ").split())
    for said in ("make report STUDY=synthetic", "epochs 30", "keras 3.15.0", "25 min 24 s", "ab12"):
        assert said in foot


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{",
        "[]",
        '{"study": "x"}',
        '{"study": "x", "test": [1]}',
        '{"study": "x", "test": {"references": {}}}',
        '{"study": "x", "test": {"references": {"one": {}}}}',
        '{"study": "x", "test": {"references": {"1": {"fnmr": {"value": "0.1"}}}}}',
    ],
)
def test_unusable_metrics_are_an_error_that_names_the_file(tmp_path, notebooks, content):
    source, output = tmp_path / "metrics.json", tmp_path / "index.html"
    output.write_text("the report before")
    if content is not None:
        source.write_text(content)
    with pytest.raises(DeepSignError, match=re.escape(str(source))):
        report.write_report(notebooks, source, output)
    assert output.read_text() == "the report before"


def test_unreadable_notebook_is_an_error_that_names_the_file(tmp_path, notebooks, metrics):
    notebooks[3].write_text("{ half a note")
    with pytest.raises(DeepSignError, match=re.escape(str(notebooks[3]))):
        make_report(tmp_path, notebooks, metrics)


def test_a_run_under_another_name_is_repeated_from_its_dataset_s_study(summary):
    command = text(summary(study="trial").footer.find("pre"))
    assert command.startswith("make report STUDY=synthetic RUN=trial")


@pytest.mark.parametrize(("eer", "scale"), [(0.3, "50 %"), (0.62, "100 %")])
def test_no_bar_is_cut_off_at_the_end_of_its_scale(summary, metrics, eer, scale):
    metrics["test"]["references"]["1"] = rates(eer) | {"fnmr": interval(0.05)}
    page = summary(test=metrics["test"])
    assert f"on a scale from 0 to {scale};" in text(page.find(class_="key"))
    for span in page.select(".tiles .span"):
        assert 0 < float(span["x"]) + float(span["width"]) < 100


def test_the_command_of_a_study_repeats_it(metrics):
    # Given runs that differ from their study in parameters, and in the images
    usual = resolve(read_study(ROOT / "notebooks/studies/synthetic.yaml")) | {"data_root": ""}

    def command(study: str, **changed) -> list[str]:
        parameters = {**usual, "study": study, **changed}
        run = {**metrics, "study": study, "dataset": parameters["dataset"]}
        return shlex.split(command_for({**run, "provenance": {"parameters": parameters}}))

    # then each is told, as make and a shell take it, and nothing else.
    assert command("synthetic") == ["make", "report", "STUDY=synthetic"]
    assert command("trial", epochs=3, loss="contrastive", references=[1, 2]) == [
        *("make", "report", "STUDY=synthetic", "RUN=trial"),
        "PARAMS=-r loss contrastive -p epochs 3 -y 'references: [1, 2]'",
    ]
    assert command("trial", dataset='a "$b" c')[-1] == """PARAMS=-r dataset 'a "$b" c'"""
    assert command("mine", dataset="our own", data_root="our own") == [
        *("make", "report", "STUDY=synthetic", "DATA=…/our own", "RUN=mine"),
    ]
    assert command("mine", dataset="other", data_root="signatures")[-1] == "PARAMS=-r dataset other"


def test_one_s_own_images_under_the_default_study_are_not_called_simulated(summary, metrics):
    kept = metrics["provenance"]["parameters"] | {"data_root": "our_customers"}
    page = summary(provenance=metrics["provenance"] | {"parameters": kept})
    assert "simulated" not in text(page.find(class_="limits"))


def test_tables_for_the_notebook_say_what_metrics_json_says(metrics):
    results = metrics["test"]["references"]
    errors = report.error_table(results)
    assert list(errors.index) == [1, 5, 10]
    assert errors.loc[5, "FMR, skilled"] == report.format_rate(results["5"]["fmr"]["skilled"])
    assert errors.loc[1, "Cllr"] == "0.40 [0.38,\u00a00.42]"
    probes = report.shortcut_table(metrics["shortcuts"]).set_index("probe")
    assert probes.loc["image size", "finding"] == "flagged"
    assert probes.loc["stroke width", "EER, shortcut alone"] == "–"


def test_findings_and_card_carry_the_answer_and_survive_missing_numbers(metrics):
    assert report.answer(metrics) in report.findings(metrics)
    assert "Nothing was asked" not in report.findings(metrics)
    few = copy.deepcopy(metrics)
    few["test"]["references"] = {"1": metrics["test"]["references"]["1"]}
    few["provenance"]["parameters"]["references"] = [1, 5, 10]
    assert "Nothing was asked with 5 or 10 references" in report.findings(few)
    card = report.model_card(metrics)
    assert report.answer(metrics) in card
    assert re.search(r"trained by DeepSign (\S+ )?on writers of the dataset `synthetic`, and", card)
    assert "| 10 | 9.1\u00a0% [7.1,\u00a011.1] |" in card
    assert "size (raw files)" in card
    assert "a cohort of others" not in card
    metrics["provenance"]["parameters"]["cohort_share"] = 0.3
    metrics["encoder"]["whitening"] = 500
    assert "500 more" in (card := report.model_card(metrics))
    assert "a cohort of others" in card
    metrics["test"]["references"] = {"1": {}}
    bare = {key: metrics[key] for key in ("study", "test")}
    assert "does not tell" in report.findings(bare)
    assert "Not measured." in report.model_card(bare)


# --- the notebooks


def test_notebooks_become_chapters_in_order(page):
    chapters = page.main.find_all("section", class_="chapter", recursive=False)
    titles = ["The data", "Pairs", "Records", "The model", "Training", "Error rates"]
    assert [text(chapter.h2) for chapter in chapters] == titles
    links = [a["href"] for a in page.select("nav > ol > li > a")]
    assert links == ["#summary", *(f"#chapter-{n}" for n in range(1, 7)), "#provenance"]
    assert all(page.find(id=link[1:]) for link in links)


def test_headings_skip_no_level_and_ids_are_unique(page):
    levels = [int(h.name[1]) for h in page.find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    ids = [tag["id"] for tag in page.find_all(id=True)]
    assert len(ids) == len(set(ids))


def test_code_is_folded_and_what_only_matters_while_running_is_gone(whole, page):
    folds = page.select("#chapter-1 details.code")
    assert [text(fold.summary) for fold in folds] == [
        "Parameters and their defaults 1 line",
        "Code 1 line",
        "Code 1 line",
    ]
    assert not any(fold.has_attr("open") for fold in folds)
    content = whole.read_text()
    assert "never shown" not in content
    assert "secret" not in content
    assert "#####" not in content
    assert "100 % done" in content
    assert "10 %\r" not in content


def test_every_figure_has_one_caption_an_alternative_and_its_size(page):
    captions = [text(c) for c in page.find_all("figcaption")]
    assert captions[0] == captions[-1] == "Figure 6.2 Trade-off of the network."
    assert captions[1] == f"Figure 1.1 Caption of plot 1, {HOSTILE}."
    assert len(captions) == 1 + 6 + 1
    assert text(page).count("Caption of plot 1,") == 1
    assert len(page.find_all("img")) == len(captions)
    first = page.select_one("#chapter-1 img")
    assert first["alt"] == "What plot-1 shows."
    assert (first["width"], first["height"]) == ("96", "48")
    assert base64.b64decode(first["src"].partition(",")[2]).decode() == SVG


def test_a_report_without_a_headline_figure_does_without(tmp_path, notebooks, metrics):
    page = parse(make_report(tmp_path, notebooks[:1], metrics))
    assert not page.find(id="summary").find("figure")


def test_tables_are_accessible_and_can_be_sorted(page):
    table = page.select_one("#chapter-1 table")
    assert table.has_attr("data-sortable")
    assert table.parent["class"] == ["scroll"]
    assert [(text(h), h["scope"]) for h in table.thead("th")] == [
        ("writer", "col"),
        ("path", "col"),
        ("width", "col"),
    ]
    assert [h["scope"] for h in table.tbody("th")] == ["row", "row"]
    assert [c.get("class") for c in table.tbody.tr("td")] == [None, ["num"]]


def test_a_table_without_rows_says_so(tmp_path, metrics):
    empty = pd.DataFrame(columns=["path", "reason"]).to_html()
    notebook = write_notebook(tmp_path / "a.ipynb", [code("left_out", [html(empty)])])
    chapter = parse(make_report(tmp_path, [notebook], metrics)).find(id="chapter-1")
    assert not chapter.table
    assert text(chapter.find(class_="note")) == "No rows. (Columns: path, reason)"


def test_link_to_a_notebook_leads_to_its_chapter(page):
    assert page.find("a", string="pairs")["href"] == "#chapter-2"


# --- what must not get in


def test_nothing_is_fetched(page):
    for tag in page.find_all(src=True):
        assert tag["src"].startswith("data:image/")
    assert not page.find_all(["link", "iframe", "object", "embed", "base", "video", "audio"])
    style = page.style.string
    assert "url(" not in style
    assert "@import" not in style
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_strings_from_data_stay_strings(tmp_path, notebooks, metrics):
    hostile = metrics | {"study": HOSTILE, "dataset": HOSTILE}
    output = make_report(tmp_path, notebooks[:1], hostile)
    page = parse(output)
    assert [s for s in page.find_all("script") if "alert" in s.get_text()] == []
    assert len(page.find_all("script")) == 1
    handlers = [a for tag in page.find_all(True) for a in tag.attrs if a.startswith("on")]
    assert handlers == []
    assert all(image["src"] != "x" for image in page.find_all("img"))
    assert HOSTILE in page.select_one("#chapter-1 table td").get_text()
    assert HOSTILE in page.title.get_text()
    assert "<script>alert" not in output.read_text()


@pytest.mark.parametrize(
    "harm",
    [
        "<script>harm()</script>",
        "<p onclick='harm()'>text</p>",
        "<a href='javascript:harm()'>text</a>",
        "<a href=' JaVaScRiPt:harm()'>text</a>",
        "<a href='data:text/html,harm()'>text</a>",
        "<iframe src='https://harm.example/harm()'></iframe>",
        "<style>@import 'harm()'</style>",
        "<svg><script>harm()</script></svg>",
        "<img src='https://harm.example/harm()' alt=''>",
        "<table><tr><td style='background:url(harm())'>text</td></tr></table>",
    ],
)
def test_html_written_by_a_notebook_is_disarmed(tmp_path, metrics, harm):
    cells = [new_markdown_cell(f"# Title\n\n{harm}"), code("x", [html(harm)])]
    notebook = write_notebook(tmp_path / "a.ipynb", cells)
    assert "harm" not in make_report(tmp_path, [notebook], metrics).read_text()


def test_names_from_the_right_keep_to_themselves(tmp_path, metrics):
    table = pd.DataFrame({"writer": ["محمد", "שלום"], "images": [3, 4]})
    said = "In order: محمد, שלום, 12."
    cells = [new_markdown_cell(f"# Title\n\n{said}"), code("x", [html(table.to_html())])]
    cells += [code("show()", figure("a", f"Caption: {said}"))]
    notebook = write_notebook(tmp_path / "a.ipynb", cells)
    page = parse(make_report(tmp_path, [notebook], metrics | {"dataset": "محمد"}))
    alone = "In order: \u2068محمد\u2069, \u2068שלום\u2069, 12."
    assert text(page.main).count(alone) == 2
    cells = [text(cell) for cell in page.select("td")]
    assert {"\u2068محمد\u2069", "\u2068שלום\u2069"} <= set(cells)
    command = page.select_one("#provenance pre.text, footer pre.text")
    assert "\u2068" not in text(command)  # it is to be typed as it stands


def test_a_heavy_report_is_written_with_a_warning_that_names_the_figure(tmp_path, metrics):
    heavy = {"image/png": base64.b64encode(bytes(11_500_000)).decode()}
    cells = [code("show()", figure("too-heavy", data=heavy))]
    notebook = write_notebook(tmp_path / "a.ipynb", cells)
    with pytest.warns(UserWarning, match="too-heavy"):
        output = make_report(tmp_path, [notebook], metrics)
    assert output.stat().st_size > report.SIZE_LIMIT


def test_an_ordinary_report_is_light_and_leaves_nothing_beside_it(whole):
    assert whole.stat().st_size < 1_000_000
    assert list(whole.parent.iterdir()) == [whole]


# --- the index


def test_index_puts_studies_side_by_side_and_lists_what_cannot_be_read(tmp_path, metrics):
    for name, content in {
        "cedar": json.dumps(metrics | {"study": "cedar", "dataset": HOSTILE}),
        "synthetic": json.dumps(metrics),
        "half": '{"study": "half"',
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(content)
    (tmp_path / "synthetic" / "index.html").write_text("a report")

    page = parse(report.write_index(tmp_path))

    rows = {text(row.th): [text(c) for c in row("td")] for row in page.tbody("tr")}
    assert list(rows) == ["cedar", "synthetic"]
    assert rows["synthetic"] == [
        "synthetic",
        "60",
        "13.3 % [11.3, 15.3]",
        "11.3 % [9.3, 13.3]",
        "12.3 % [10.3, 14.3]",
        "8.1 % [6.1, 10.1]",
        "7",
    ]
    assert rows["cedar"][0] == HOSTILE
    assert [a["href"] for a in page.main("a")] == ["synthetic/index.html"]
    assert "half" in text(page.find(class_="limits"))


# --- copies, and the same with one pen


def test_copies_are_said_in_words(summary):
    nothing = {"files": 0, "across_writers": 0, "across_kinds": 0, "across_splits": 0}
    quality = {
        "images": 5400,
        "left_out": {"blank": 2, "unreadable": 1},
        "exact": nothing | {"files": 994},
        "near": nothing | {"files": 3, "across_writers": 2},
    }
    said = (
        "5,400 images are used; 3 are left out (2 blank, 1 unreadable). 994 repeat another byte "
        "for byte. 3 nearly copy another: 2 of them across writers. Of two near copies under "
        "different writers one label is wrong: chapter 1 names them, and the error rates count "
        "them as they are labelled."
    )
    assert report.quality_in_words(quality) == said
    assert said in text(summary(quality=quality).find(id="summary"))


def test_a_study_and_its_counterpart_stand_side_by_side(tmp_path, metrics):
    # Given a study, and its run with normalised strokes
    for name, strokes, eer in (("dutch", "as_is", 0.2), ("dutch_normalised", "normalised", 0.3)):
        metrics["test"]["references"] = {"1": rates(eer)}
        provenance = {"parameters": {"stroke_width": strokes}}
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(
            json.dumps(metrics | {"study": name, "provenance": provenance})
        )
    # Then the report of each shows both
    for name in ("dutch", "dutch_normalised"):
        folder = tmp_path / name
        page = parse(report.write_report([], folder / "metrics.json", folder / "index.html"))
        rows = page.find(id="pens").find_next("table").tbody("tr")
        assert [text(row.th) for row in rows] == ["as they are", "one pen"]
        assert [text(row("td")[-1]) for row in rows] == [
            "20.0 % [18.0, 22.0]",
            "30.0 % [28.0, 32.0]",
        ]
    # And without the other, nothing is said of it
    (tmp_path / "dutch_normalised" / "metrics.json").unlink()
    page = parse(
        report.write_report([], tmp_path / "dutch/metrics.json", tmp_path / "dutch/index.html")
    )
    assert page.find(id="pens") is None


# --- the demonstration and the matrix


def demonstrated(as_is=0.02, one_paper=0.38, swapped=0.97):
    return {
        "naive": {
            "as_is": interval(as_is),
            "one_paper": interval(one_paper),
            "swapped": interval(swapped),
        },
        "deepsign": {"eer": interval(0.3), "fmr": interval(0.31), "fnmr": interval(0.28)},
        "stroke_blind": {"raw": interval(0.02), "canvas": interval(0.5)},
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Mostly paper"),
        ({"swapped": 0.45}, "In part paper"),
        ({"swapped": 0.45, "one_paper": 0.04}, "Not shown to be paper"),
    ],
)
def test_the_demonstration_claims_no_more_than_its_numbers(changes, said):
    assert report.demonstration_answer(demonstrated(**changes)).startswith(f"{said}: ")


def test_the_demonstration_opens_with_its_table_and_joins_the_index(tmp_path, metrics):
    folder = tmp_path / "demo"
    folder.mkdir()
    metrics |= {"study": "demo", "demonstration": demonstrated()}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    cells = [new_markdown_cell("# What it is worth"), code("show()", figure("headline", "All."))]
    notebook = write_notebook(tmp_path / "shortcut_demo.ipynb", cells)

    page = parse(
        report.write_demonstration(notebook, folder / "metrics.json", folder / "index.html")
    )
    index = parse(report.write_index(tmp_path))

    rows = [[text(c) for c in row(["th", "td"])] for row in page.select(".headline tbody tr")]
    assert [row[0] for row in rows][:2] == ["Naive recipe", "the same network"]
    assert [row[2] for row in rows] == [
        "2.0 % [0.0, 4.0]",
        "38.0 % [36.0, 40.0]",
        "97.0 % [95.0, 99.0]",
        "2.0 % [0.0, 4.0]",
        "30.0 % [28.0, 32.0]",
        "50.0 % [48.0, 52.0]",
    ]
    assert page.find("figure")
    assert index.find("a", href="demo/index.html")
    assert "38.0 %" in text(index.main)
    assert "Not readable" not in text(index.main)


def make_matrix():
    def cell(eer):
        of = {"eer": interval(eer), "fmr": interval(eer), "fnmr": interval(eer + 0.1)}
        return of | {"threshold": -0.5, "writers": 9, "pairs": {"genuine": 1, "skilled": 1}}

    return {
        "studies": {
            name: {"dataset": name, "writers": 9, "canvas": "64 x 128, fill"} for name in ("a", "b")
        },
        "cells": {"a": {"a": cell(0.1), "b": cell(0.4)}, "b": {"a": None, "b": cell(0.2)}},
    }


def test_the_matrix_shows_every_cell_and_links_the_studies(tmp_path):
    (tmp_path / "matrix").mkdir()
    file = tmp_path / "matrix" / "matrix.json"
    file.write_text(json.dumps(make_matrix()))

    page = parse(report.write_matrix(file, tmp_path / "matrix" / "index.html"))

    answer = text(page.find(class_="answer"))
    assert "EER is 15.0 % on average; on other data, 40.0 %" in answer
    assert "1 of 1 cases" in answer
    assert "that of a accepts 40.0 % [38.0, 42.0] of the forgeries of b" in answer
    rows = [[text(c) for c in row(["th", "td"])] for row in page.select("table tbody tr")][:4]
    assert rows[1][:4] == ["a", "b", "9", "40.0 % [38.0, 42.0]"]
    assert rows[2] == ["b", "a", "0", "–", "–", "–"]
    assert len(page("figure")) == 3
    assert {a["href"] for a in page.main("a")} == {
        "../index.html",
        "../a/index.html",
        "../b/index.html",
    }
    assert parse(report.write_index(tmp_path)).find("a", href="matrix/index.html")


def test_index_without_studies_says_how_to_make_one(tmp_path):
    page = parse(report.write_index(tmp_path))
    assert "make report" in text(page.main)


# --- in a browser


def test_the_page_s_script_passes_its_own_policy(whole, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium here: the page's script is not run")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", whole.as_uri()]
    dump = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=True
    ).stdout
    page = BeautifulSoup(dump, "html.parser")
    assert page.html["class"] == ["js"]
    assert text(page.select_one("#chapter-1 thead button")) == "writer"
