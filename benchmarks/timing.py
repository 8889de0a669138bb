"""Timing of both sides in one run, and peak memory.

A timing is worthless where another process takes the cores, so each run says how much CPU time it got for its wall time, and
a run that could not get its threads' worth because others were busy is repeated.
"""

import contextlib
import ctypes
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

Side = TypeVar("Side")
RATIO = 0.95  # CPU time over wall time and threads: 1.9 on two threads


@dataclass(frozen=True)
class Run:
    """One timed run.

    Args:
        wall: seconds.
        cpu: CPU seconds of this process, all threads.
        others: CPU seconds of all other processes over wall seconds, that is cores they held; None where it is not known.
        threads: threads that the run could use; 0 on a GPU, where CPU time says nothing.
    """

    wall: float
    cpu: float
    others: float | None
    threads: int

    @property
    def ratio(self) -> float:
        return self.cpu / self.wall

    @property
    def disturbed(self) -> bool:
        """Got less than its threads could do, and not only because parts of it run on one thread."""
        if self.threads == 0 or self.ratio >= RATIO * self.threads:
            return False
        return self.others is None or self.others > (os.cpu_count() or 1) - RATIO * self.threads


@dataclass
class Timing:
    """Runs of one side; disturbed ones are left out where an undisturbed one took their place."""

    runs: list[Run] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Median wall seconds."""
        return statistics.median(run.wall for run in self.runs)

    @property
    def cpu(self) -> float:
        """Median CPU seconds."""
        return statistics.median(run.cpu for run in self.runs)

    @property
    def disturbed(self) -> int:
        return sum(run.disturbed for run in self.runs)

    def cell(self) -> str:
        """Median, spread, and how far the runs can be trusted."""
        low, high = min(run.wall for run in self.runs), max(run.wall for run in self.runs)
        return f"{self.seconds:.3g} ({low:.3g} to {high:.3g})"

    def trust(self) -> str:
        """CPU time over wall time, and how many runs were disturbed."""
        if self.runs[0].threads == 0:
            return "on a GPU"
        ratio = statistics.median(run.ratio for run in self.runs)
        return f"{ratio:.2f}" + (f", **{self.disturbed} of {len(self.runs)} disturbed**" if self.disturbed else "")

    def as_dict(self) -> dict[str, Any]:
        runs = [{"wall": r.wall, "cpu": r.cpu, "others": r.others, "disturbed": r.disturbed} for r in self.runs]
        return {"median_wall": self.seconds, "median_cpu": self.cpu, "runs": runs}


class Stopwatch:
    """Times what happens between its laps, to the end of what was started on the GPU.

    Args:
        device: what the work runs on.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._last = self._now()

    def lap(self) -> Run:
        """What was taken since the last lap."""
        (busy, cpu, wall), self._last = self._last, self._now()
        now_busy, now_cpu, now_wall = self._last
        taken, own = now_wall - wall, now_cpu - cpu
        others = None if busy is None or now_busy is None else max(0.0, now_busy - busy - own) / taken
        return Run(taken, own, others, torch.get_num_threads() if self.device.type == "cpu" else 0)

    def _now(self) -> tuple[float | None, float, float]:
        synchronise(self.device)
        return _machine_busy(), time.process_time(), time.perf_counter()


def timed(function: Callable[[], object], device: torch.device) -> Run:
    """Run once."""
    watch = Stopwatch(device)
    function()
    return watch.lap()


def interleaved(
    sides: Mapping[Side, Callable[[], object]], device: torch.device, *, repeats: int, retries: int
) -> dict[Side, Timing]:
    """Time all sides in turn, `repeats` times, so that whatever changes meanwhile changes for all of them.

    Args:
        sides: what to run; each has run before.
        device: what it runs on.
        repeats: runs of each side.
        retries: how often a disturbed run is repeated; the one that got most of its CPU time counts.
    """
    timings = {name: Timing() for name in sides}
    for _ in range(repeats):
        for name, function in sides.items():
            run = timed(function, device)
            for _ in range(retries):
                if not run.disturbed:
                    break
                run = max(run, timed(function, device), key=lambda r: r.ratio)
            timings[name].runs.append(run)
    return timings


def peak_memory(function: Callable[[], object], device: torch.device) -> float | None:
    """Most memory that a run needs beyond what is held before it, in MiB; None where it cannot be read.

    On the CPU the peak of the resident set, reset before the run (Linux); the highest ever would be that of any run before.
    """
    function()  # libraries are loaded and weights have their gradients
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        function()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # or the allocator keeps what earlier runs freed, and this one seems to need nothing
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    held = _status("VmRSS")
    function()
    return _status("VmHWM") - held


def resident() -> float:
    """Memory that this process holds, in MiB; NaN where it cannot be read."""
    return _status("VmRSS") if Path("/proc/self/status").exists() else float("nan")


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _machine_busy() -> float | None:
    """CPU seconds that all processes have taken since the machine started, those of a hypervisor's other guests with them."""
    try:
        values = [int(v) for v in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    user, nice, system, _, _, interrupts, soft, steal = values
    return (user + nice + system + interrupts + soft + steal) / os.sysconf("SC_CLK_TCK")


def _status(name: str) -> float:
    """A memory figure of this process in MiB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) / 1024
