"""What the machine can do: its peak of multiply-adds and the bandwidth of its memory levels, measured, not looked up.

The peak is a loop of fused multiply-adds on registers (``probe.c``, compiled for the rung in question; numpy's matrix
product where there is no C compiler). The bandwidth is numpy's copy, read and write counted, at several footprints: a
problem that fits a cache is held against that cache.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from problems import Problem

FOOTPRINTS = tuple(1 << n for n in range(15, 30, 2))  # bytes read and written by a thread: 32 KiB to 512 MiB
FLAGS = {"v4": ("-march=x86-64-v4", 64), "v3": ("-march=x86-64-v3", 32), "v2": ("-march=x86-64-v2", 16)}


@dataclass(frozen=True)
class Machine:
    """Rates by number of threads: ``peak`` in float32 operations, ``bandwidth`` in bytes a second, by footprint."""

    cpu: str
    method: str
    peak: dict[int, float]
    bandwidth: dict[int, dict[int, float]]

    def roofline(self, problem: Problem, threads: int) -> float:
        """Seconds that the direct method needs at least: the longer of its arithmetic and its memory traffic."""
        peak = self.peak[threads] / (2 if problem.dtype == "float64" else 1)
        curve = self.bandwidth[threads]
        footprint = min(curve, key=lambda f: abs(np.log(f * threads / problem.bytes)))
        arithmetic = problem.flops / peak if problem.op == "conv" else 0.0
        return max(arithmetic, problem.bytes / curve[footprint])


def measure_machine(threads: list[int], isa: str | None, scratch: Path) -> Machine:
    rung = isa or _best_rung()
    work, method = multiply_adds(rung, scratch) or (_sgemm(), "numpy float32 matrix product")
    peak = {t: max(_rate(work, t) for _ in range(30)) for t in threads}
    bandwidth = {t: {f: max(_rate(_copy(f, t), t) for _ in range(5)) for f in FOOTPRINTS} for t in threads}
    return Machine(_cpu_name(), method, peak, bandwidth)


def _best_rung() -> str:
    """The highest x86-64 level whose probe this processor runs."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.exists() else ""
    return "v4" if "avx512vl" in flags else "v3" if "avx2" in flags else "v2"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return f"{next(names, platform.processor() or platform.machine())}, {os.cpu_count()} processors"


Work = Callable[[int], float]  # thread -> operations or bytes done


def _rate(work: Work, threads: int) -> float:
    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(work, range(threads)))
        start = perf_counter()
        done = sum(executor.map(work, range(threads)))
        return done / (perf_counter() - start)


def multiply_adds(rung: str, scratch: Path) -> tuple[Work, str] | None:
    """A loop at the peak of a rung (it returns the operations it did) and its description, if it can be compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or (platform.machine() == "x86_64") != (rung in FLAGS):
        return None
    flag, width = FLAGS[rung]
    source, library = Path(__file__).with_name("probe.c"), scratch / "probe.so"
    command = [compiler, "-O2", flag, f"-DBYTES={width}", "-ffp-contract=fast", "-shared", "-fPIC"]
    if subprocess.run([*command, "-o", str(library), str(source)], capture_output=True).returncode:
        return None
    run = ctypes.CDLL(str(library)).run
    run.restype, run.argtypes = ctypes.c_double, (ctypes.c_long, ctypes.POINTER(ctypes.c_float))

    def work(_: int) -> float:
        return float(run(1_000_000, ctypes.byref(ctypes.c_float())))

    return work, f"fused multiply-adds on registers, {flag}"


def _sgemm() -> Work:
    a = np.ones((1024, 1024), np.float32)

    def work(_: int) -> float:
        np.matmul(a, a)
        return 2.0 * 1024**3

    return work


def _copy(footprint: int, threads: int) -> Work:
    sources = [np.ones(footprint // 2, np.uint8) for _ in range(threads)]
    targets = [np.ones(footprint // 2, np.uint8) for _ in range(threads)]
    repeats = max(1, (64 << 20) // footprint)

    def work(thread: int) -> float:
        source, target = sources[thread], targets[thread]
        for _ in range(repeats):
            np.copyto(target, source)
        return float(repeats * footprint)

    return work
