"""Energy is read where it is counted, wraps included, and assumed aloud elsewhere."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from luthier.train.meter import (
    WATTS_PER_BUSY_CORE,
    Counter,
    Meter,
    _high_water,
    _largest_resident,
    peak_bytes,
    rapl_counters,
)

CPU = torch.device("cpu")


def busy(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def package(root: Path, name: str, microjoules: int) -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text("5000000\n")
    return folder / "energy_uj"


def test_packages_are_summed_their_parts_are_not_and_wraps_are_added(tmp_path: Path) -> None:
    one = package(tmp_path, "intel-rapl:0", 1_000_000)
    two = package(tmp_path, "intel-rapl:1", 4_000_000)
    part = package(tmp_path, "intel-rapl:0:0", 0)
    meter = Meter(CPU, processor=rapl_counters(tmp_path), graphics=[]).start()
    for path, microjoules in ((one, 3_000_000), (two, 500_000), (part, 4_000_000)):
        path.write_text(str(microjoules))
    cost = meter.read()
    assert cost.energy_wh * 3600 == pytest.approx(2.0 + 1.5)
    assert cost.energy_source == "RAPL"
    assert "other programs" in (cost.assumption or "")


def test_a_counter_that_may_not_be_read_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "intel-rapl:0").mkdir()
    assert rapl_counters(tmp_path) == []


def test_without_counters_the_energy_is_assumed_from_processor_time_and_says_so() -> None:
    meter = Meter(CPU, processor=[], graphics=[]).start()
    busy(0.1)
    cost = meter.read()
    assert cost.energy_source == "assumed"
    assert cost.energy_wh * 3600 == pytest.approx(WATTS_PER_BUSY_CORE * 0.1, rel=0.5)
    assert cost.assumption is not None
    assert "10 W per busy core" in cost.assumption
    assert cost.seconds >= 0.1


def test_a_gpu_counter_is_added_to_the_assumed_processor() -> None:
    joules = iter([100.0, 1300.0])
    cost = Meter(CPU, processor=[], graphics=[Counter(lambda: next(joules), 1e9)]).start().read()
    assert cost.energy_wh * 3600 == pytest.approx(1200.0, rel=0.01)
    assert cost.energy_source == "NVML"


def test_the_peak_is_at_least_what_was_just_held() -> None:
    before = peak_bytes(CPU)
    held = torch.ones(64 * 2**18)
    assert peak_bytes(CPU) >= min(before, held.nbytes)
    assert peak_bytes(CPU) > 2**24


def test_a_system_that_keeps_no_high_water_mark_is_asked_otherwise(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t  20 kB\n")
    assert _high_water(tmp_path / "status") is None
    assert _high_water(tmp_path / "none") is None
    assert _largest_resident() > 2**24
    (tmp_path / "status").write_text("VmHWM:\t  20 kB\n")
    assert _high_water(tmp_path / "status") == 20 * 1024


def test_the_assumption_of_a_run_that_went_on_counts_what_its_energy_counts() -> None:
    first = Meter(CPU, processor=[], graphics=[]).start()
    busy(0.1)
    before = first.read()
    again = Meter(CPU, processor=[], graphics=[]).start()
    busy(0.2)
    cost = again.read().after(before)
    assert cost.energy_wh * 3600 == pytest.approx(WATTS_PER_BUSY_CORE * cost.busy_s)
    assert f"x {cost.busy_s:.1f} s" in (cost.assumption or "")
    assert cost.busy_s > before.busy_s
