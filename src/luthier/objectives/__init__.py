"""What the parameters learn for. A new objective is one frozen dataclass, one line here, and `contract.check`."""

from __future__ import annotations

from luthier.objectives.sft import SFT

OBJECTIVES = {"sft": SFT}
