"""Evaluation: a task, a model's answers to it, and how sure one can be that tuning helped.

task.py         what is asked and what is measured, inferred from the examples
stated.py       a task as its user states it: YAML or Python
slices.py       rows by length, class, language or a column
subset.py       a fixed stratified sample; rows of one prompt merged into one with all references
run.py          one model on some examples: question.py -> answer.py and loss.py -> measure.py
calibration.py  how far a choice's confidence can be trusted
chance.py       how much calibration error mere chance gives
reads.py        how often test rows were read: a ledger beside their file
verdict.py      base beside tuned
tables.py       the pieces of report.json
predictions.py  predictions.jsonl, written and read
"""

from luthier.evaluate.calibration import calibration_json
from luthier.evaluate.measure import Evaluation, Row, evaluation
from luthier.evaluate.predictions import read_predictions, write_predictions
from luthier.evaluate.question import Progress
from luthier.evaluate.run import evaluate
from luthier.evaluate.slices import Slice, sliced
from luthier.evaluate.stated import TaskOptions, make, stated
from luthier.evaluate.subset import merge_references, sample
from luthier.evaluate.tables import classes_json, confusions_json, metrics_json, task_json, verdict_json
from luthier.evaluate.task import EvaluateOptions, Task, infer, lower_is_better
from luthier.evaluate.verdict import Verdict, compare, differences
from luthier.stats import Difference, Interval

__all__ = [
    "Difference",
    "EvaluateOptions",
    "Evaluation",
    "Interval",
    "Progress",
    "Row",
    "Slice",
    "Task",
    "TaskOptions",
    "Verdict",
    "calibration_json",
    "classes_json",
    "compare",
    "confusions_json",
    "differences",
    "evaluate",
    "evaluation",
    "infer",
    "lower_is_better",
    "make",
    "merge_references",
    "metrics_json",
    "read_predictions",
    "sample",
    "sliced",
    "stated",
    "task_json",
    "verdict_json",
    "write_predictions",
]
