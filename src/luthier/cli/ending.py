"""How a command ends: an exit code, with a sentence for what Luthier refuses and what the machine lacks, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, ParamSpec

import typer
from rich.console import Console
from safetensors import SafetensorError

from luthier.errors import GateError, LuthierError

if TYPE_CHECKING:
    from luthier.run import Outcome
    from luthier.types import Json

P = ParamSpec("P")


def told(command: Callable[P, int | None]) -> Callable[P, None]:
    """Turns what Luthier raises, and what the machine lacks, into a sentence on stderr and an exit code."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
        except LuthierError as error:
            raise stopped(f"error: {error}", 1 if isinstance(error, GateError) else 2) from None
        except (OSError, SafetensorError, MemoryError, RuntimeError) as error:
            if (why := _lack(error)) is None:
                raise
            raise stopped(f"error: {why}", 2) from None
        except KeyboardInterrupt:
            raise stopped("stopped", 130) from None
        raise typer.Exit(code or 0)

    return wrapped


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Says to whoever stops a run between its steps what is kept, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        kept = f"stopped; all that was saved is kept; go on: luthier train --resume {folder}"
        raise stopped(kept if (folder / "recipe.yaml").exists() else "stopped before anything was saved", 130) from None


def stopped(why: str, code: int) -> typer.Exit:
    """Says on stderr why a command ends."""
    style = "red" if code != 130 else None
    Console(stderr=True, emoji=False, soft_wrap=True, highlight=False).print(why, markup=False, style=style)
    return typer.Exit(code)


def ended(outcome: Outcome, *, as_json: bool, began: float | None = None) -> int:
    """Tells how a run ended. began: when the command did that made all of it, by `time.monotonic`."""
    from luthier.report import summary
    from luthier.train.log import spoken

    if outcome.report is None:
        return 130
    if as_json:
        printed({"run": str(outcome.folder), **outcome.report}, as_json=True)
        return 1 if outcome.failed else 0
    console = Console(emoji=False, highlight=False)
    console.print(summary(outcome.folder))
    if began is not None:
        console.print(f"in all  {spoken(monotonic() - began)}, with starting, opening the model and estimating")
    print(f"\nUse it without Luthier:\n\n{outcome.report['use']}\n\nor: luthier chat {outcome.folder}")
    if outcome.failed:
        raise stopped(f"failed: {outcome.failed}", 1)
    return 0


def printed(result: dict[str, Json], *, as_json: bool) -> int:
    if as_json:
        json.dump(result, sys.stdout, ensure_ascii=False, indent=1)
        print()
    return 0


def _lack(error: Exception) -> str | None:
    """What the machine lacks, in a sentence; None where the error is a defect of ours, which keeps its traceback."""
    if isinstance(error, BrokenPipeError):
        return None
    if isinstance(error, OSError):
        why = error.strerror or str(error) or type(error).__name__
        return f"{error.filename}: cannot be read or written ({why})" if error.filename else why
    if isinstance(error, SafetensorError):
        return f"weights cannot be read or written ({error})"
    if _is_out_of_memory(error):
        remedy = "halve train.token_budget (4096 if never set) or evaluate.token_budget, which decide memory alone"
        return f"out of memory: {remedy}; for a run to resume, in its recipe.yaml"
    return None


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    # PyTorch gives the CPU's no class of its own.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
