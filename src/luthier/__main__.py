"""The program's way in: `luthier`, and `python -m luthier`. On glibc it starts itself once more, to hold less memory.

glibc cuts what it hands out aligned, as torch asks, from something larger, and puts the cuttings into lists for small
objects. Where such an object comes to lie in one, the hole that a freed tensor leaves is too small for the next tensor
of the same size. Without those lists the cuttings join their hole again: a step of LoRA on SmolLM2 holds up to a
quarter less, in the same time. They are switched off as a program starts or never; a GLIBC_TUNABLES that is set stays.
"""

from __future__ import annotations

import os
import sys

HEAP = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"}


def main() -> None:
    """The command line, on a heap without lists of small objects."""
    if _glibc() and not HEAP.keys() & os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **HEAP})
    from luthier.cli import main as command_line

    command_line()


def _glibc() -> bool:
    """Whether this is Linux with glibc."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):
        return False


if __name__ == "__main__":
    main()
