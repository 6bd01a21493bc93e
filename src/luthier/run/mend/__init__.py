"""The mended data: what checks know how to mend is mended in new files, written down row by row, and can be undone.

The order of travel: `folder` (what may be written there), `plan` (what is done to which row; `balance` and `part` on
request), `write` (the files, and the ledger `fixes.jsonl` with its summary `fixes.json`), `undo`, `told` (both, for a
terminal). The files that were read stay as they are. What only a person can decide (which of two labels is right) is
left alone, and said.
"""

from luthier.run.mend.folder import Source, refuse_loss
from luthier.run.mend.plan import MendOptions, Plan, plan
from luthier.run.mend.undo import Undone, undo
from luthier.run.mend.write import Fixed, write

__all__ = ["Fixed", "MendOptions", "Plan", "Source", "Undone", "plan", "refuse_loss", "undo", "write"]
