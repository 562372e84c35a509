"""Threads that run the executor together with the caller.

A pool of ``threads - 1`` workers serves every program of that number of threads. A worker waits in machine code for a
moment after each step, where the next step finds it at once; then it sleeps, and costs nothing until it is woken.
A child process after a fork starts with no workers and makes its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import numpy

from graphc.errors import KernelError
from graphc.kernels.cpu import cache
from graphc.kernels.cpu.executor import WORKER

__all__ = ["available", "default_threads", "run"]

#: More threads than this are not started unless they are asked for.
_MOST = 8

_pools: dict[int, _Pool] = {}
_lock = threading.Lock()


def available() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads() -> int:
    """Threads of a step where none are asked for: ``GRAPHC_THREADS``, or the processors at hand.

    Raises
    ------
    KernelError
        If ``GRAPHC_THREADS`` is not a whole number of at least 1.
    """
    text = os.environ.get("GRAPHC_THREADS", "")
    if not text:
        return min(available(), _MOST)
    if not text.isdecimal() or int(text) < 1:
        raise KernelError(f"GRAPHC_THREADS={text!r} must be a whole number of at least 1")
    return int(text)


class _Pool:
    """Workers of one number of threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.busy = threading.Lock()  # one step at a time: programs in several Python threads take turns
        # where threads meet; of the pool, because a worker may look at it once more when the caller has gone on and
        # its program is no longer there. It only grows, so that such a look ends the wait.
        self.counter = numpy.zeros(1, numpy.int64)
        self.numbers = numpy.zeros(4 + threads, numpy.int64)
        self.numbers[3] = threads
        self.wake = threading.Condition()
        self.asleep = 0
        (address,) = cache.addresses([WORKER])
        self.serve = [cache.function(address) for _ in range(threads)]
        for thread in range(1, threads):
            threading.Thread(target=self.work, args=(thread,), name=f"graphc-{thread}", daemon=True).start()

    def work(self, thread: int) -> None:
        address = self.numbers.ctypes.data
        while True:
            self.serve[thread](address, thread, address)
            with self.wake:
                self.asleep += 1
                while self.numbers[0] == self.numbers[4 + thread]:
                    self.wake.wait()
                self.asleep -= 1

    def run(self, executor_address: int, execute: Callable[..., None], table: numpy.ndarray) -> None:
        with self.busy:
            table[1] = self.counter.ctypes.data
            address = table.ctypes.data
            self.numbers[1:3] = executor_address, address
            self.numbers[0] += 1  # last: a worker may start at once
            if self.asleep:
                with self.wake:
                    self.wake.notify_all()
            execute(address, 0, self.threads)  # returns when all have met behind the last launch


def run(executor_address: int, execute: Callable[..., None], table: numpy.ndarray, threads: int) -> None:
    """Run the executor on a table with a number of threads, this one included."""
    if threads == 1:
        execute(table.ctypes.data, 0, 1)
        return
    pool = _pools.get(threads)
    if pool is None:
        with _lock:
            pool = _pools.get(threads)
            if pool is None:
                pool = _pools[threads] = _Pool(threads)
    pool.run(executor_address, execute, table)


def _forked() -> None:
    """A child has none of its parent's threads."""
    global _lock  # noqa: PLW0603 - replaced in the child only
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
