"""The executor: one small compiled loop that calls kernels from a table of addresses.

The table holds ``[number of launches, address of a meeting counter, patience, then for each launch: kernel address,
arguments address, how many threads it is worth]``. The executor is itself a kernel, kept in the same cache, so that a
step is one call from Python whatever the number of launches. Every thread runs it: a launch that is worth one thread is
run by the first, and threads meet after a launch unless the first alone ran it and runs the next.

A thread that waits reads the counter and tells the processor so; only beyond its patience does it let other threads
have the processor. Giving way early would hand it to other work for milliseconds at every meeting.
"""

from __future__ import annotations

from graphc.kernels.cpu.cache import Source

__all__ = ["ENTRIES", "EXECUTOR", "HEAD", "WORKER"]

#: Entries of the table before the launches, and of each launch.
HEAD, ENTRIES = 3, 3

EXECUTOR = Source(
    '''"""Call the kernels of a table one after the other, as one thread of several."""

from graphc.kernels.cpu.memory import arrive, call_kernel, give_way, read_shared, relax


def kernel(arguments, thread, threads):
    count, counter, patience = arguments[0], arguments[1], arguments[2]
    for launch in range(count):
        place = 3 + 3 * launch
        worth = min(arguments[place + 2], threads)
        if thread < worth:
            call_kernel(arguments[place], arguments[place + 1], thread, worth)
        last = launch + 1 == count
        if threads > 1 and (last or worth > 1 or arguments[place + 5] > 1):
            ticket = arrive(counter)
            goal = (ticket // threads + 1) * threads
            waited = 0
            while read_shared(counter) < goal:
                waited += 1
                relax()
                if waited > patience:
                    give_way()
                    waited = 0
''',
    "the executor",
)

#: Waits for work: ``[generation, executor address, table address, threads, last generation seen by each thread ...]``.
#: Returns when nothing came for a while, so that an idle thread sleeps.
WORKER = Source(
    '''"""Run the executor whenever the first thread says so."""

from graphc.kernels.cpu.memory import call_kernel, read_shared, relax


def kernel(arguments, thread, threads):
    address = threads  # of the same numbers: read as shared
    waited = 0
    while waited < 60000:
        generation = read_shared(address)
        if generation != arguments[4 + thread]:
            arguments[4 + thread] = generation
            call_kernel(arguments[1], arguments[2], thread, arguments[3])
            waited = 0
        waited += 1
        relax()
''',
    "the worker",
)
