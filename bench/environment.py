"""TRL's own environment, and the facts of this machine that a figure is worth nothing without."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

PINS = Path(__file__).with_name("constraints.txt")
FLAGS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures were taken on."""

    processor: str
    cores: int
    flags: tuple[str, ...]
    """Which of FLAGS the processor has."""
    memory_gb: float
    system: str
    load: float
    """Processes that were running, averaged over the minute before the benchmark began."""


def machine() -> Machine:
    """This machine now."""
    facts = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in facts.splitlines())}
    has = fields.get("flags", "").split()
    family = f" (family {fields['cpu family']}, model {fields['model']})" if "cpu family" in fields else ""
    return Machine(
        processor=fields.get("model name", platform.processor()) + family,
        cores=len(os.sched_getaffinity(0)),
        flags=tuple(flag for flag in FLAGS if flag in has),
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        load=os.getloadavg()[0],
    )


def trl_python(folder: Path, *, creator: str) -> Path:
    """The Python of TRL's environment, which is made if it is not there or its pins have changed."""
    python, ready = folder / "bin" / "python", folder / ".ready"
    if ready.is_file() and ready.read_text() == PINS.read_text():
        return python
    pins = [line for line in PINS.read_text().split() if "==" in line]
    torch = next(pin for pin in pins if pin.startswith("torch=="))
    install = [str(python), "-m", "pip", "install", "-q", "--prefer-binary", "-c", str(PINS)]
    subprocess.run([creator, "-m", "venv", str(folder)], check=True)
    subprocess.run([*install, torch], check=True)
    subprocess.run([*install, *(pin.partition("==")[0] for pin in pins if pin != torch)], check=True)
    ready.write_text(PINS.read_text())
    return python
