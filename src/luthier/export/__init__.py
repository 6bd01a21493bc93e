"""From a run folder to something others load, proved to be what was trained.

write.py     a format written beside its place, proved, and put there in one move
truth.py     what the tuned model says of real rows
parity.py    the proof: the same renderings, stop tokens, log-probabilities and answers
adapter.py   PEFT's layout          merged.py   a whole model in the Hugging Face layout
base.py      what a stranger opens instead of an alias or a GGUF file
use.py       the lines of Python that load a run or an export without Luthier

A format is a frozen dataclass that is its own configuration, and one line in `formats`.
"""

from luthier.export.adapter import Adapter
from luthier.export.format import Format, Tolerance
from luthier.export.merged import Merged
from luthier.export.parity import Parity, prove
from luthier.export.rows import rows_of
from luthier.export.truth import Trial
from luthier.export.use import use_lines
from luthier.export.write import Exported, export

formats: dict[str, type[Format]] = {"adapter": Adapter, "merged": Merged}
"""What the command line can name."""

__all__ = [
    "Adapter",
    "Exported",
    "Format",
    "Merged",
    "Parity",
    "Tolerance",
    "Trial",
    "export",
    "formats",
    "prove",
    "rows_of",
    "use_lines",
]
