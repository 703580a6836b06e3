"""Executed notebooks as harmless HTML."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import nh3
from bs4 import BeautifulSoup, Tag
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from deepsign_utils import DeepSignError
from deepsign_utils.report.formulas import with_pictures
from deepsign_utils.report.rendering import FIGURE_TYPES, TEMPLATE_FOLDER, picture_size
from deepsign_utils.study.names import isolated

WIDGET = "application/vnd.jupyter.widget-view+json"


def read_chapters(paths: Sequence[Path]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Convert the notebooks, in order, in one process.

    Returns
    -------
    chapters
        ``number``, ``title``, ``sections`` (id, title) and ``body`` (HTML) of each.
    figures
        All figures in order, as `_figure` describes them.
    """
    exporter = HTMLExporter(
        config=Config(
            NbConvertBase={
                "display_data_priority": [*FIGURE_TYPES, "text/html", "text/markdown", "text/plain"]
            },
        ),
        template_name=TEMPLATE_FOLDER.name,
        extra_template_basedirs=[str(TEMPLATE_FOLDER.parent)],
        template_file="chapter.html.j2",
        exclude_anchor_links=True,
        filters={"clean": _clean},
    )
    exporter.environment.autoescape = True
    anchors = {path.name: f"#chapter-{number}" for number, path in enumerate(paths, 1)}
    chapters, figures = [], []
    for number, path in enumerate(paths, 1):
        notebook, found = _tidy(read_notebook(path), number)
        body, _ = exporter.from_notebook_node(notebook)
        title, sections, body = _arrange(body, number, anchors)
        # Pictures go in last: they are megabytes that no HTML parser need read.
        for figure in found:
            body = body.replace(figure["placeholder"], figure["source"])
        chapters.append(
            {"number": number, "title": title or path.stem, "sections": sections, "body": body}
        )
        figures += found
    return chapters, figures


def read_notebook(path: Path) -> NotebookNode:
    """Read an executed notebook.

    Raises
    ------
    DeepSignError
        If it is missing or damaged.
    """
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise DeepSignError(
            f"{path} is not a readable notebook ({type(error).__name__}). "
            "Delete it and run `make report` again: it is made anew."
        ) from error


def _tidy(notebook: NotebookNode, chapter: int) -> tuple[NotebookNode, list[dict[str, Any]]]:
    """Drop what only matters while a notebook runs, and describe its figures."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = [c for c in notebook.cells if "hide" not in c.metadata.get("tags", [])]
    figures: list[dict[str, Any]] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = with_pictures(cell.source)
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.outputs if _worth_showing(output)]
        for output in cell.outputs:
            kind = next((k for k in FIGURE_TYPES if k in output.get("data", {})), None)
            if output.output_type == "stream":
                # A progress bar overwrites its line: what it last said is enough.
                output.text = re.sub(r"[^\n]*\r(?!\n)", "", output.text)
            elif kind:
                figures.append(_figure(output, kind, f"{chapter}.{len(figures) + 1}"))
                output.metadata["figure"] = {
                    **figures[-1],
                    "source": figures[-1]["placeholder"],
                }
    return notebook, figures


def _worth_showing(output: NotebookNode) -> bool:
    if output.output_type == "stream":
        return output.name == "stdout" and bool(output.text.strip())
    caption = output.get("metadata", {}).get("deepsign", {}).get("role") == "caption"
    return not caption and WIDGET not in output.get("data", {})


def _figure(output: NotebookNode, kind: str, number: str) -> dict[str, Any]:
    """Describe a figure for the templates.

    An SVG becomes a data URI like any other picture: inside an <img> its ids clash with no other
    figure's and its scripts do not run.
    """
    content = output.data[kind]
    picture = content.encode() if kind == "image/svg+xml" else base64.b64decode(content)
    said = output.metadata.get("deepsign", {})
    plain = output.data.get("text/plain", "")
    plain = "" if plain.startswith("<") else plain
    width, height = picture_size(picture, kind)
    shown = output.metadata.get(kind, {}).get("width")
    if width and shown:  # a PNG has more pixels than it takes up on the page
        width, height = shown, round(height * shown / width)
    return {
        "number": number,
        "name": said.get("name") or "",
        "alt": said.get("alt") or plain or f"Figure {number}, not described",
        "caption": said.get("caption", ""),
        "source": f"data:{kind};base64,{base64.b64encode(picture).decode()}",
        "placeholder": f"figure:{number}:{hashlib.sha256(picture).hexdigest()}",
        "width": width,
        "height": height,
    }


ALLOWED_TAGS = set(
    re.findall(
        r"\w+",
        """
        h1 h2 h3 h4 h5 h6 p div span br hr blockquote pre ul ol li dl dt dd details summary
        table caption colgroup col thead tbody tfoot tr th td
        a abbr b code del em i img kbd mark s small strong sub sup u
        """,
    )
)
CLEANER = nh3.Cleaner(
    tags=ALLOWED_TAGS,
    clean_content_tags={"script", "style", "template", "iframe", "object", "noscript", "title"},
    attributes={
        "*": {"class", "title"},
        "a": {"href"},
        "img": {"src", "alt", "width", "height"},
        "td": {"colspan", "rowspan"},
        "th": {"colspan", "rowspan"},
    },
    # A link leads to a page; only a picture may be its own address.
    attribute_filter=lambda tag, name, value: (
        None if name == "href" and re.match(r"\s*data:", value, re.I) else value
    ),
    url_schemes={"http", "https", "mailto", "data"},
    link_rel=None,
)


def _clean(html: str) -> Markup:
    """Keep text, tables, links and pictures; drop scripts, styles, event handlers and frames."""
    soup = BeautifulSoup(CLEANER.clean(html), "html.parser")
    for image in soup("img"):
        if not str(image.get("src", "")).startswith("data:image/"):
            image.decompose()
        elif not image.get("alt"):
            image["alt"] = "Picture, not described"
    return Markup(str(soup))


def _arrange(html: str, chapter: int, anchors: dict[str, str]) -> tuple[str, list, str]:
    """Fit a notebook into the page: its title out, headings one down, links and tables mended."""
    soup = BeautifulSoup(html, "html.parser")
    title, first = "", soup.find("h1")
    if first:
        title = re.sub(r"^(chapter\s+)?\d+\s*[.:·–—-]?\s+", "", _text(first), flags=re.I)
        first.decompose()
    sections, level = [], 2
    for count, heading in enumerate(soup.find_all(re.compile(r"^h[1-6]$")), 1):
        written = int(heading.name[1])
        level = min(written + 1, level + 1, 6)
        heading.name = f"h{level}"
        heading["id"] = f"chapter-{chapter}-{count}"
        if written <= 2:
            sections.append((heading["id"], _text(heading)))
    for link in soup.find_all("a"):
        _mend_link(link, anchors)
    for table in soup.find_all("table"):
        _mend_table(table)
    for text in soup.find_all(string=True):
        if (alone := isolated(text)) != text:
            text.replace_with(alone)
    return title, sections, str(soup)


def _text(tag: Tag) -> str:
    return " ".join(tag.get_text().split())


def _mend_link(link: Tag, anchors: dict[str, str]) -> None:
    """A link to a chapter's notebook leads to the chapter; one to a file here leads nowhere."""
    target = str(link.get("href", ""))
    chapter = anchors.get(target.partition("#")[0].rpartition("/")[2])
    if chapter:
        link["href"] = chapter
    elif re.match(r"https?:|mailto:", target):
        link["rel"] = "noopener noreferrer"
    else:
        link.unwrap()


def _mend_table(table: Tag) -> None:
    """Make a pandas table accessible, right-align its numbers and mark it for sorting."""
    soup = BeautifulSoup("", "html.parser")
    frame = table.wrap(soup.new_tag("div", attrs={"class": "scroll"}))
    head, body = table.find("thead"), table.find("tbody")
    if not head or not body:
        return
    if not body.find("tr"):
        names = ", ".join(filter(None, map(_text, _cells(head))))
        frame.replace_with(note := soup.new_tag("p", attrs={"class": "note"}))
        note.string = f"No rows. (Columns: {names})"
        return
    rows = list(head.find_all("tr"))
    if len(rows) == 2 and _is_index_row(rows[0], rows[1]):
        for upper, lower in zip(_cells(rows[0]), _cells(rows[1]), strict=True):
            if _text(lower):
                upper.string = _text(lower)
        rows[1].decompose()
        rows = rows[:1]
    for cell in _cells(head):
        if not _text(cell):
            cell.name = "td"
        elif cell.name == "th":
            cell["scope"] = "colgroup" if cell.get("colspan") else "col"
    for cell in body.find_all("th"):
        cell["scope"] = "rowgroup" if cell.get("rowspan") else "row"
    grid = [_cells(row) for row in body.find_all("tr")]
    spans = any(cell.get("rowspan") or cell.get("colspan") for cell in _cells(table))
    if len(rows) == 1 and not spans and all(len(row) == len(_cells(rows[0])) for row in grid):
        table["data-sortable"] = ""
        columns = [c for c in zip(_cells(rows[0]), *grid, strict=True) if all(map(_numeric, c[1:]))]
        numbers = [cell for column in columns for cell in column]
    else:
        numbers = [cell for cell in body.find_all("td") if _numeric(cell)]
    for cell in numbers:
        cell["class"] = "num"


# A name such as 007 is no number.
NUMBER = re.compile(r"|–|nan|NaN|None|<NA>|[-−+]?(?!0\d)[\d.,]+(e[-+]?\d+)?\s*%?(\s*\[.*\])?")


def _numeric(cell: Tag) -> bool:
    return bool(NUMBER.fullmatch(_text(cell)))


def _cells(part: Tag) -> list[Tag]:
    return part.find_all(["th", "td"])


def _is_index_row(columns: Tag, index: Tag) -> bool:
    """Whether pandas put the index's name in a row of its own below the columns' names."""
    upper, lower = _cells(columns), _cells(index)
    return len(upper) == len(lower) and not any(
        _text(u) and _text(v) for u, v in zip(upper, lower, strict=True)
    )
