"""What a run costs: time, peak memory and energy, read where the machine tells them and assumed, aloud, where not.

Energy comes from the processor's counters (RAPL, /sys/class/powercap) and the GPU's (NVML) where they are there and
readable. Elsewhere it is the processor time this process used, times an assumed power, and says so.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch

RAPL = Path("/sys/class/powercap")
WATTS_PER_BUSY_CORE = 10.0
"""Assumed draw of one busy core with its share of memory and supply: between a laptop's 5 W and a server's 15 W."""
JOULES_PER_WH = 3600.0

Source = Literal["RAPL", "NVML", "assumed"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What was spent between two readings."""

    seconds: float
    peak_bytes: int
    """Most memory held at once: of the GPU where there is one, else resident memory of this process."""
    energy_wh: float
    energy_source: Source
    assumption: str | None
    """What the energy figure takes for granted; None where nothing is."""
    busy_s: float = 0.0
    """Processor time, by which energy is assumed where no counter tells it."""

    def after(self, before: Cost) -> Cost:
        """This and what was spent before it."""
        busy = before.busy_s + self.busy_s
        told = None if self.assumption is None else self.assumption.replace(_assumed(self.busy_s), _assumed(busy))
        return replace(
            self,
            seconds=before.seconds + self.seconds,
            energy_wh=before.energy_wh + self.energy_wh,
            peak_bytes=max(before.peak_bytes, self.peak_bytes),
            assumption=told,
            busy_s=busy,
        )


@dataclass(slots=True)
class Counter:
    """An energy counter of the machine that may wrap around."""

    read: Callable[[], float]
    """Joules since some moment."""
    wraps_at: float
    """Joules at which it starts again from zero."""
    spent: float = 0.0
    last: float = 0.0

    def start(self) -> None:
        """Counts from here."""
        self.spent, self.last = 0.0, self.read()

    def sample(self) -> None:
        """Adds what was spent since the last sample; must come at least once a wrap."""
        now = self.read()
        self.spent += now - self.last if now >= self.last else now - self.last + self.wraps_at
        self.last = now


@dataclass(slots=True)
class Meter:
    """Measures from its start. Call `sample` now and then (every step is fine): energy counters wrap around."""

    device: torch.device
    processor: list[Counter] = field(default_factory=lambda: rapl_counters())
    graphics: list[Counter] = field(default_factory=lambda: nvml_counters())
    began: float = 0.0
    began_processor: float = 0.0

    def start(self) -> Meter:
        """Starts time, energy and, where the system allows it, peak memory anew; returns itself."""
        for counter in (*self.processor, *self.graphics):
            counter.start()
        _forget_peak(self.device)
        self.began, self.began_processor = time.perf_counter(), time.process_time()
        return self

    def sample(self) -> None:
        """Reads the energy counters."""
        for counter in (*self.processor, *self.graphics):
            counter.sample()

    def read(self) -> Cost:
        """What was spent since the start."""
        self.sample()
        seconds = time.perf_counter() - self.began
        busy_s = time.process_time() - self.began_processor
        joules, source, assumption = self._energy(busy_s)
        return Cost(seconds, peak_bytes(self.device), joules / JOULES_PER_WH, source, assumption, busy_s)

    def _energy(self, busy_s: float) -> tuple[float, Source, str | None]:
        counted = sum(counter.spent for counter in (*self.processor, *self.graphics))
        whole = "counters are of whole chips, other programs' share included"
        unseen = "; the GPU's energy is not counted (pip install 'luthier[nvidia]')"
        unseen = unseen if self.device.type == "cuda" and not self.graphics else ""
        if self.processor:
            return counted, "RAPL", whole + unseen
        assumed = _assumed(busy_s)
        joules = counted + WATTS_PER_BUSY_CORE * busy_s
        if self.graphics:
            return joules, "NVML", f"{whole}; processor: {assumed}"
        return joules, "assumed", assumed + unseen


def _assumed(busy_s: float) -> str:
    return f"{WATTS_PER_BUSY_CORE:g} W per busy core x {busy_s:.1f} s of processor time"


def peak_bytes(device: torch.device) -> int:
    """Most memory held since the last start: GPU memory, or resident memory of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _high_water(Path("/proc/self/status")) or _largest_resident()


def _high_water(status: Path) -> int | None:
    """Linux's own count, which `_forget_peak` can start anew; None where the system keeps none."""
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)


def _largest_resident() -> int:
    """Of the whole life of the process; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def rapl_counters(root: Path = RAPL) -> list[Counter]:
    """A counter for each processor package that may be read; parts of a package are in it already."""
    packages = [path for path in sorted(root.glob("intel-rapl:*")) if path.name.count(":") == 1]
    return [counter for path in packages if (counter := _rapl(path)) is not None]


def nvml_counters() -> list[Counter]:
    """A counter for each GPU this process sees, where the NVIDIA library is installed and the GPU keeps count."""
    if not torch.cuda.is_available() or importlib.util.find_spec("pynvml") is None:
        return []
    pynvml = importlib.import_module("pynvml")
    try:
        pynvml.nvmlInit()
        uuids = [torch.cuda.get_device_properties(i).uuid for i in range(torch.cuda.device_count())]
        handles = [pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}") for uuid in uuids]
        for handle in handles:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return []
    millijoules = pynvml.nvmlDeviceGetTotalEnergyConsumption
    return [Counter(partial(_scaled, partial(millijoules, handle), 1e-3), wraps_at=2**64 / 1e3) for handle in handles]


def _rapl(package: Path) -> Counter | None:
    joules = package / "energy_uj"
    try:
        joules.read_text()
        wraps_at = int((package / "max_energy_range_uj").read_text()) / 1e6
    except OSError:
        return None
    return Counter(lambda: int(joules.read_text()) / 1e6, wraps_at)


def _scaled(read: Callable[[], float], unit: float) -> float:
    return read() * unit


def _forget_peak(device: torch.device) -> None:
    """Starts peak memory anew; on Linux this asks the kernel, which may refuse: then the peak is the process's own."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return
