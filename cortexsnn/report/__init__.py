"""The report of a run: one self-contained HTML file, and the same facts as JSON."""

from .content import AccuracyRow as AccuracyRow
from .content import CircuitFacts as CircuitFacts
from .content import Confusion as Confusion
from .content import DaleRow as DaleRow
from .content import EpochRow as EpochRow
from .content import Fact as Fact
from .content import FidelityRow as FidelityRow
from .content import PopulationRow as PopulationRow
from .content import Provenance as Provenance
from .content import RateRow as RateRow
from .content import ReportContent as ReportContent
from .content import ReportFigure as ReportFigure
from .content import Table as Table
from .content import TimingRow as TimingRow
from .content import Verdict as Verdict
from .content import VerificationRow as VerificationRow
from .render import render_html as render_html
from .render import write_report as write_report
from .write import write_json as write_json
from .write import write_text as write_text
