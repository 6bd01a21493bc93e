"""What a model forgets while it learns something else, measured without any download.

texts.py     the bundled texts, ours: requests, prose, code, dialogue, and questions whose answers can be checked
marking.py   whether a short answer is right
measure.py   one model: its answers to the questions, its bits per byte
distance.py  two models: the divergence on the requests and on what the base itself says
compare.py   before beside after, with paired intervals, and a budget
tell.py      in words, and for report.json
"""

from luthier.evaluate.forgetting.compare import Measure, by_kind, drifted, of_file, probe, read, together
from luthier.evaluate.forgetting.distance import Drift, drift, sample_base, tokens_of_forgetting
from luthier.evaluate.forgetting.measure import Reading, answers, readings
from luthier.evaluate.forgetting.options import ForgettingOptions
from luthier.evaluate.forgetting.tell import as_json, summed, told

__all__ = [
    "Drift",
    "ForgettingOptions",
    "Measure",
    "Reading",
    "answers",
    "as_json",
    "by_kind",
    "drift",
    "drifted",
    "of_file",
    "probe",
    "read",
    "readings",
    "sample_base",
    "summed",
    "together",
    "tokens_of_forgetting",
    "told",
]
