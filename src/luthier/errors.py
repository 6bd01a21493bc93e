"""Every error Luthier raises on purpose; the command line turns each into exit code 2, a failed gate into 1.

LuthierError
|- DataError       ValueError    a file or a row of it: names file, line, value and remedy
|  `- ColumnError                columns that are not there, or not those of a known shape
|- RecipeError     ValueError    a setting: all problems of a recipe at once
|- ModelError      ValueError    a model that cannot be found, opened or shared
|- ShapeError      ValueError    tensors whose lengths do not belong together
|- RunError        RuntimeError  a run folder that is missing, foreign or damaged
|- DivergedError   RuntimeError  too many non-finite steps
`- GateError       RuntimeError  a proof before the first step that did not hold
"""


class LuthierError(Exception):
    """The root: whatever Luthier refuses, with a message a person can act on."""


class DataError(LuthierError, ValueError):
    """A file or a row of it cannot be used as it stands."""


class ColumnError(DataError):
    """A file lacks the columns it was to be read by."""


class RecipeError(LuthierError, ValueError):
    """One or more settings are unknown, missing or contradict each other."""


class ModelError(LuthierError, ValueError):
    """A model cannot be found, opened or used for what was asked."""


class ShapeError(LuthierError, ValueError):
    """Tensors whose lengths do not belong together."""


class RunError(LuthierError, RuntimeError):
    """A run folder is missing, foreign or damaged."""


class DivergedError(LuthierError, RuntimeError):
    """Training met more non-finite steps than it may survive."""


class GateError(LuthierError, RuntimeError):
    """A proof that had to hold before the first step did not."""
