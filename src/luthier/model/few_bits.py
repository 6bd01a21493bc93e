"""bitsandbytes, imported so that nothing is fetched: to pack weights, to pack moments, and before PEFT does it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from luthier.errors import ModelError


def require(wanted: str, instead: str) -> None:
    """Imports it. Raises ModelError where it is not installed: what wanted it, and what to take instead."""
    try:
        with _nothing_fetched():
            import bitsandbytes  # noqa: F401
    except ImportError as error:
        remedy = f"install it with `pip install 'luthier[quantize]'`, or use {instead}"
        raise ModelError(f"{wanted} needs bitsandbytes; {remedy}") from error


def before_peft() -> None:
    """Imports it first where it is installed, since PEFT does too, whether it is wanted or not."""
    with suppress(ImportError), _nothing_fetched():
        import bitsandbytes  # noqa: F401


@contextmanager
def _nothing_fetched() -> Iterator[None]:
    """Without `kernels`, through which it would fetch code from the hub on a CPU and run it, and without its word on
    that; nothing here uses what it would fetch.
    """
    before, there = logging.root.manager.disable, sys.modules.get("kernels")
    logging.disable(logging.WARNING)
    sys.modules["kernels"] = None  # type: ignore[assignment]  # to the import system: it is not to be had
    try:
        yield
    finally:
        logging.disable(before)
        del sys.modules["kernels"]
        if there is not None:
            sys.modules["kernels"] = there
