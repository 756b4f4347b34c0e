"""What only notebooks use: annotated source, comparisons, checks, figures, widgets."""

from seglib.teach.agreement import parity
from seglib.teach.agreement_report import ParityReport
from seglib.teach.annotation import annotate
from seglib.teach.checking import MISTAKES, CheckReport, check, exercises
from seglib.teach.randomness import randomize
from seglib.teach.tasks import Exercise

__all__ = [
    "MISTAKES",
    "CheckReport",
    "Exercise",
    "ParityReport",
    "annotate",
    "check",
    "exercises",
    "parity",
    "randomize",
]
