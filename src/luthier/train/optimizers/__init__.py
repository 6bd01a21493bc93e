"""What steps the weights: the optimizers a recipe can name. A new one is a file, and one line below."""

from luthier.train.optimizers.adafactor import ADAFACTOR
from luthier.train.optimizers.adamw import ADAMW
from luthier.train.optimizers.family import Averaging, Counting, Family, Group, Laying, groups, trainable
from luthier.train.optimizers.low_memory import ADAMW_8BIT, ADAMW_PAGED
from luthier.train.optimizers.muon import MUON
from luthier.train.optimizers.schedule_free import SCHEDULE_FREE

optimizers: dict[str, Family] = {
    "adamw": ADAMW,
    "adamw-8bit": ADAMW_8BIT,
    "adamw-paged": ADAMW_PAGED,
    "adafactor": ADAFACTOR,
    "muon": MUON,
    "schedule-free": SCHEDULE_FREE,
}

__all__ = ["Averaging", "Counting", "Family", "Group", "Laying", "groups", "optimizers", "trainable"]
