"""One look for all figures, and their way out as SVG or PNG. No pyplot, no global state left behind."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from functools import cache, wraps
from itertools import cycle
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

P = ParamSpec("P")

WIDTH = 6.9
"""Width of a full-width figure [inch], 175 mm: two columns of a journal page."""

EXCITATORY, INHIBITORY, OTHER = "#D55E00", "#0072B2", "#4D4D4D"
"""Vermillion and blue of the Okabe-Ito palette, told apart under common colour deficiencies and in grey."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Okabe-Ito colours, and a marker each for print without colour."""

NEUTRAL, LIGHT, INK = "#7A8793", "#B9C0C7", "#1F2933"
RASTER_LIMIT = 3000
"""More markers than this are drawn as an embedded 300 dpi image, not one vector element each."""

_RC = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 300,
    "svg.fonttype": "path",
    "svg.hashsalt": "cortexsnn",
    "path.simplify": True,
}


def transmitter_colour(transmitter: str) -> str:
    """Warm for excitatory, blue for inhibitory, dark grey for everything else."""
    return {"excitatory": EXCITATORY, "inhibitory": INHIBITORY}.get(transmitter, OTHER)


def population_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour each where no transmitter is known: E and I as everywhere, the palette's others in turn."""
    own = {"E": EXCITATORY, "I": INHIBITORY}
    free = cycle([c for c in COLOURS if c not in own.values()])
    return {name: own[name] if name in own else next(free) for name in names}


def plain(text: object) -> str:
    """Text as it stands: a dollar sign in somebody's population name starts no formula."""
    return str(text).replace("$", r"\$")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a drawing function under the house style and lay the figure out before the style ends."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(_style()):
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()
        return figure

    return wrapper


def new_figure(width: float, height: float) -> Figure:
    """An empty figure [inch] that belongs to no window system and to no pyplot registry."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def empty_note(axes: Axes, text: str) -> None:
    """Say inside the axes why there is nothing to see."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=NEUTRAL)


def to_svg(figure: Figure, prefix: str = "") -> str:
    """The figure as one ``<svg>`` element to stand inline in HTML.

    Identifiers get `prefix`, so that several figures share a page; the metadata block, comments and name
    space declarations, which HTML does not need, go. The natural width stands in the custom property
    ``--natural`` [px].
    """
    buffer = io.StringIO()
    with mpl.rc_context(_style()):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}", svg)
    svg = re.sub(r'xlink:href="#', f'href="#{prefix}', svg).replace("xlink:href=", "href=")
    head, body = svg.split(">", 1)
    head = re.sub(r'\s+(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", head)
    natural = round(figure.get_figwidth() * 96)
    return f'{head} style="--natural: {natural}px">{body}'.strip()


def to_png(figure: Figure, dpi: int = 200) -> bytes:
    """The figure as a PNG image."""
    buffer = io.BytesIO()
    with mpl.rc_context(_style()):
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def _style() -> dict[Any, Any]:
    return {**_RC, "font.family": list(_fonts())}


@cache
def _fonts() -> tuple[str, ...]:
    """The first sans serif of print that is installed; DejaVu Sans, part of matplotlib, fills its gaps."""
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    found = [name for name in ("Helvetica", "Arial", "Liberation Sans") if name in installed]
    return (*found[:1], "DejaVu Sans")
