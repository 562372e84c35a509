"""Resident memory: how much a process grows from imported and idle to training, each contestant in its own process.

Run as a module this is that process: it prints two numbers, the bytes before it built its step and the most after.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy

from graphc.benchmarks.peers import PEERS
from graphc.benchmarks.runner import RunnerError, Task, own_runner
from graphc.benchmarks.workloads import Workload, workload

__all__ = ["Rise", "rises"]

#: Steps of each process, and seconds that it may take.
_STEPS, _LIMIT = 10, 600


@dataclass(frozen=True)
class Rise:
    """Bytes that a contestant's process grew by, from imported to trained; None where it could not, with the reason."""

    workload: str
    name: str
    bytes: int | None
    note: str = ""


def rises(work: Workload, peers: list[str], threads: int) -> list[Rise]:
    """Return the rise of graphc, whose kernels are compiled before, and of each peer's first contestant.

    Parameters
    ----------
    peers : list of str
        Names as on the command line.
    threads : int
        Threads of every contestant.
    """
    if not Path("/proc/self/status").exists():
        return [Rise(work.name, name, None, "this system does not say") for name in ("graphc", *peers)]
    own, task = own_runner(work, threads)
    own.step()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "start.npz"
        arrays = {f"{kind}:{k}": v for kind in ("parameters", "states") for k, v in getattr(task, kind).items()}
        numpy.savez(start, **arrays)
        for name in ("graphc", *peers):
            command = [sys.executable, "-m", "graphc.benchmarks.memory", work.name, name, str(threads), str(start)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
                found.append(Rise(work.name, name, None, lines[-1]))
                continue
            idle, most = map(int, done.stdout.split())
            found.append(Rise(work.name, name, most - idle))
    return found


def _resident() -> int:
    """Bytes of this process that are in memory."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RunnerError("the system does not say how much memory a process has")


def _main(name: str, contestant: str, threads: int, start: str) -> None:
    work = workload(name)
    parts: dict[str, dict[str, numpy.ndarray]] = {"parameters": {}, "states": {}}
    with numpy.load(start, allow_pickle=False) as held:
        for key in held.files:
            kind, _, label = key.partition(":")
            parts[kind][label] = held[key]
    task = Task(work, parts["parameters"], parts["states"], work.data(), threads)
    if contestant == "graphc":
        importlib.import_module("graphc.kernels")
        importlib.import_module("graphc.training")
        idle = _resident()
        step = own_runner(work, threads)[0].step
    else:
        importlib.import_module(contestant)
        idle = _resident()
        step = next(iter(importlib.import_module(PEERS[contestant]).runners(task))).step
    most = idle
    for _ in range(_STEPS):
        step()
        most = max(most, _resident())
    print(idle, most)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
