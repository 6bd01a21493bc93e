"""The page: one HTML file that holds its own style, script and data, and may not ask the network for anything.

Every text is escaped by the template engine. Should that ever fail, the page's security policy still runs only the
one script and the one style sheet whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from luthier.report import changed, figures, ledger, texts
from luthier.report.curves import Chart
from luthier.report.folder import read_run
from luthier.report.view import View, view
from luthier.words import spelled

NAME = "report.html"


def write(run: Path) -> Path:
    """Writes `report.html` into a run folder and returns its path; an older one is replaced whole or not at all.

    Raises RunError naming the file of the run that is missing or damaged.
    """
    return placed(render(view(read_run(run))), run / NAME)


def placed(page: str, target: Path) -> Path:
    """Writes a page whole or not at all."""
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.write_text(page, encoding="utf-8", newline="\n")
    os.replace(unfinished, target)
    return target


def render(seen: View) -> str:
    """The HTML of a prepared run."""
    style, script = static("report.css"), static("report.js")
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            view=seen,
            run=seen.run,
            report=seen.report,
            version=version("luthier"),
            style=style,
            script=script,
            policy=policy(style, script),
            shown_rows=changed.SHOWN,
            named=ledger.EXAMPLES,
            chart_data=[readable(chart) for chart in seen.charts],
        )
    )


def environment() -> Environment:
    """The templates, every text escaped; a name a template misspells is an error."""
    made = Environment(
        loader=PackageLoader("luthier.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    made.filters.update(_FILTERS)
    return made


_FILTERS: dict[str, Callable[..., object]] = {
    "number": figures.number,
    "places": figures.places,
    "span": figures.span,
    "count": figures.count,
    "memory": figures.memory,
    "p_value": figures.p_value,
    "words": spelled,
    "visible": figures.visible,
    "when": figures.when,
    "excerpt": texts.excerpt,
    "fold": texts.fold,
    "learned_text": texts.learned_text,
    "prose": texts.prose,
    "typeset": texts.typeset,
}


def static(name: str) -> Markup:
    """A file that stands in the page as it is."""
    return Markup(resources.files("luthier.report").joinpath("static", name).read_text(encoding="utf-8"))


def policy(style: str, script: str) -> str:
    """What the page may do: its one style, its one script, and nothing else."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def readable(chart: Chart) -> dict[str, object]:
    """What the pointer reads off a chart."""
    return {
        "unit": chart.unit,
        "x": [chart.x.low, chart.x.high, chart.x.start, chart.x.stop],
        "y": [chart.y.low, chart.y.high, chart.y.start, chart.y.stop],
        "series": [{"name": line.name, "style": line.style, "points": line.points} for line in chart.series],
    }
