"""The machine that is timed: processor, cores, versions, and the rate of multiply-adds that it can reach."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path

import numpy

from graphc.graph import Gate
from graphc.graph.declare import input as declare_input

__all__ = ["CHAINS", "DEGREE", "cores", "fma_peak", "load", "processor", "versions"]

#: The kernel that measures: for each element this many polynomials, evaluated side by side so that no multiply-add
#: has to wait for the one before, each of this degree (Horner's rule: one multiply-add a degree).
CHAINS, DEGREE = 8, 16

_ELEMENTS = (16, 2048)  # 128 kB in, 128 kB out: within the second-level cache of current processors


def processor() -> str:
    """Name of the processor as the system gives it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> str:
    """Programs that were running on average over the last minute, where the system says so."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def versions(packages: list[str]) -> str:
    """Names with versions of those packages that are installed."""
    found = [f"Python {platform.python_version()}"]
    for name in packages:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def _polynomials() -> Gate:
    """Sum of `CHAINS` polynomials that start from different numbers and share their coefficients."""
    lines = []
    for chain in range(CHAINS):
        text = f"(x[n,i] + {0.125 * chain})"
        for _ in range(DEGREE):
            text = f"({text}*0.5 + 0.25)"
        lines.append(text)
    return Gate("polynomials", f"y[n,i] = {' + '.join(lines)}", ("x",), source="Horner (1819)")


def fma_peak(seconds: float = 0.5) -> float:
    """Measure the rate of float32 multiply-adds on one core.

    Parameters
    ----------
    seconds : float, default 0.5
        How long to try; the best run counts.

    Returns
    -------
    float
        FLOP/s of one core, a multiply-add counts 2. What it takes to start the kernel is part of the time.
    """
    from graphc.kernels import compile as compile_step

    step = compile_step([_polynomials()(declare_input("x", _ELEMENTS))], threads=1)
    step(x=numpy.random.default_rng(0).random(_ELEMENTS, dtype="float32"))
    best = float("inf")
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        step.program.run()
        best = min(best, time.perf_counter() - start)
    return 2 * CHAINS * DEGREE * _ELEMENTS[0] * _ELEMENTS[1] / best
