"""A recipe carried out, from file to report.

prepare.py      rows read, split, rendered and proved      estimate.py     what the run will take
train.py        base, training, tuned, the run folder      outcome.py      report.json
assistant.py    a finished run, opened to be asked         assess.py       any model on any rows
show.py         what a person is told                      environment.py  where it took place
"""

from luthier.run.assess import assess
from luthier.run.assistant import Assistant, load
from luthier.run.estimate import expect
from luthier.run.prepare import Prepared, prepare
from luthier.run.show import Show
from luthier.run.train import Outcome, resume, train

__all__ = ["Assistant", "Outcome", "Prepared", "Show", "assess", "expect", "load", "prepare", "resume", "train"]
