"""What the files of a run folder say, as types. Reading them is `folder.py`; nothing here computes.

Fields a report can do without have a default, so that a run of an older or a smaller Luthier still opens.
Intervals are 95 % everywhere.

number.py    a value with its interval
verdict.py   whether tuning helped
cost.py      what it took
evidence.py  what else is known of the tuned model
report.py    report.json, of all of these
lines.py     the other files of a run folder
"""

from luthier.report.records.cost import Cost, ModelFacts, Speed, Spent
from luthier.report.records.evidence import (
    Answered,
    Beside,
    Bin,
    Calibration,
    Chance,
    Confidence,
    Forgetting,
    Kept,
    KindOfQuestion,
    Looks,
    Temperature,
    Validation,
    Warned,
)
from luthier.report.records.lines import Answer, Data, File, Measured, Prediction, Row, Split, Step
from luthier.report.records.number import Comparison, Interval, Known, finite_or_none
from luthier.report.records.report import Ancestor, IssueCount, Piece, Report, ShownRow
from luthier.report.records.verdict import Accuracy, Bar, ClassResult, Confusion, OnAll, OtherTask, Reads, Task, Verdict

__all__ = [
    "Accuracy",
    "Ancestor",
    "Answer",
    "Answered",
    "Bar",
    "Beside",
    "Bin",
    "Calibration",
    "Chance",
    "ClassResult",
    "Comparison",
    "Confidence",
    "Confusion",
    "Cost",
    "Data",
    "File",
    "Forgetting",
    "Interval",
    "IssueCount",
    "Kept",
    "KindOfQuestion",
    "Known",
    "Looks",
    "Measured",
    "ModelFacts",
    "OnAll",
    "OtherTask",
    "Piece",
    "Prediction",
    "Reads",
    "Report",
    "Row",
    "ShownRow",
    "Speed",
    "Spent",
    "Split",
    "Step",
    "Task",
    "Temperature",
    "Validation",
    "Verdict",
    "Warned",
    "finite_or_none",
]
