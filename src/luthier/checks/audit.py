"""Runs the checks over one corpus, keeps what each found, and says which could not be run."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from luthier.checks import checks, surveys, thorough_surveys
from luthier.checks.check import Check, Corpus, Table
from luthier.checks.discreet import discreet, discreet_table
from luthier.errors import RecipeError
from luthier.types import Issue
from luthier.words import closest


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found, worst first."""

    issues: tuple[Issue, ...]
    tables: tuple[Table, ...]
    skipped: Mapping[str, str]
    """Checks that were not run, or not to their end, and why."""
    gates: tuple[str, ...]
    """Checks that end a run."""
    interrupted: bool = False
    """Whether someone stopped it before every check was run."""

    @property
    def failed(self) -> tuple[Issue, ...]:
        """The flagged issues of gates."""
        return tuple(issue for issue in self.issues if issue.flagged and issue.check in self.gates)

    @property
    def meaningless(self) -> tuple[Issue, ...]:
        """The flagged issues after which a run would show nothing."""
        return tuple(issue for issue in self.issues if issue.flagged and issue.severity >= 1)


def audit(corpus: Corpus, *, fast: bool = False) -> Audit:
    """Every check that is not silent; with `fast`, those that build no model of the rows.

    What they quote is masked as `personal_data` and `secret` mask it. Stopped by Ctrl-C it returns what was found until
    then. Raises RecipeError for a name that is no check.
    """
    options = corpus.options
    _known((*options.gates, *options.silent))
    gates = tuple(name for name, check in checks.items() if (check.gate or name in options.gates))
    issues: list[Issue] = []
    tables: list[Table] = []
    interrupted, done = False, 0
    skipped = {name: why for name, check in checks.items() if (why := _not_run(name, check, corpus, fast=fast))}
    wanted = [name for name in checks if name not in skipped]
    counts = {**surveys, **({} if fast else thorough_surveys)}
    works = len(wanted) + len(counts)
    try:
        for done, name in enumerate((*wanted, *counts)):
            corpus.progress("checks", done, works)
            if name in counts:
                tables += counts[name](corpus)
            else:
                for issue in checks[name].find(corpus):
                    issues.append(issue)
        corpus.progress("checks", works, works)
    except KeyboardInterrupt:
        interrupted = True
        skipped |= dict.fromkeys(wanted[done:], "stopped before it was done")
    shown = discreet(corpus, issues)
    return Audit(ranked(shown), tuple(discreet_table(table) for table in tables), skipped, gates, interrupted)


def ranked(issues: Iterable[Issue]) -> tuple[Issue, ...]:
    """Worst first; equals by check and rows, so that the same rows give the same bytes."""
    return tuple(sorted(issues, key=lambda one: (not one.flagged, -one.severity, one.check, one.examples, one.why)))


def _not_run(name: str, check: Check, corpus: Corpus, *, fast: bool) -> str | None:
    """Why a check is left out, or None."""
    if name in corpus.options.silent:
        return "silenced"
    if fast and check.thorough:
        return "takes a model of the rows; `luthier check` runs it"
    missing = [module for module in check.needs if importlib.util.find_spec(module) is None]
    if missing:
        return f"needs {', '.join(missing)}: pip install 'luthier[audit]'"
    return None


def _known(names: Sequence[str]) -> None:
    for name in names:
        if name not in checks:
            hint = closest(name, checks) or f"; there are {', '.join(checks)}"
            raise RecipeError(f"checks: {name!r} is no check{hint}")
