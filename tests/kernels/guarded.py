"""Arrays beside memory that nobody may touch: reading or writing there ends the process."""

import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy

_KEPT = []


def guarded(size, behind=True):
    """float32 numbers that end where such a page begins, or begin where one ends."""
    library, page = ctypes.CDLL(None, use_errno=True), mmap.PAGESIZE
    whole = -(-4 * size // page) * page
    memory = mmap.mmap(-1, whole + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    _KEPT.append(memory)
    for place in (start, start + page + whole):
        assert library.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(page), 0) == 0
    return numpy.frombuffer(memory, "float32", size, page + (whole - 4 * size if behind else 0))


def stays_whole(program):
    """Run a program that prints ``whole`` at its end in a process of its own."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "whole\n", (done.returncode, done.stderr[-2000:])
