"""What is learned: the objectives a recipe can name. A new one is a file, one line below, and passes `contract.py`."""

from luthier.objectives.classify import Classify
from luthier.objectives.objective import Objective
from luthier.objectives.regress import Regress
from luthier.objectives.sft import SFT

objectives: dict[str, type[Objective]] = {"sft": SFT, "classify": Classify, "regress": Regress}
"""A stranger's objective is named `module:Class`."""

__all__ = ["SFT", "Classify", "Objective", "Regress", "objectives"]
