"""The executor: one small compiled loop that calls kernels from a table of addresses.

The table holds ``[number of launches, kernel address, arguments address, kernel address, ...]``. It is itself a
kernel, kept in the same cache, so that a step is one call from Python whatever the number of launches.
"""

from __future__ import annotations

from graphc.kernels.cpu.cache import Source

__all__ = ["EXECUTOR"]

EXECUTOR = Source(
    '''"""Call the kernels of a table one after the other."""

from graphc.kernels.cpu.memory import call_kernel


def kernel(arguments):
    for launch in range(arguments[0]):
        call_kernel(arguments[2 * launch + 1], arguments[2 * launch + 2])
''',
    "the executor",
)
