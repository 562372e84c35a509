"""The executor: one small compiled loop that calls kernels from a table of addresses.

The executor is itself a kernel, kept in the same cache, so that a step is one call from Python whatever the number of
launches. Every thread runs it on the same table, int64::

    length of the table, address of a meeting counter, patience, then records:
    LAUNCH   kernel address, arguments address, how many threads share it, the thread that runs it where that is 1
    MEET
    SEGMENT  threads, slices of each, bytes between the arguments of two threads, size of the batch, patches, launches,
             repetitions, moves,
             then for each patch: address of an argument, its value for the first thread at the first example, how much
             it grows with the thread, how much it falls with the example;
             then for each launch: kernel address, arguments address (both of the first thread);
             then for each move: address of an argument, how much it grows with each repetition

In a segment a thread takes one slice of its examples after the other through all launches. Patches are the addresses
of buffers that hold one slice: they are moved back by what lies before it, so that kernels count examples of the whole
batch.

A thread that waits reads the counter and tells the processor so; only beyond its patience does it let other threads
have the processor. Giving way early would hand it to other work for milliseconds at every meeting.
"""

from __future__ import annotations

from graphc.kernels.cpu.cache import Source

__all__ = ["EXECUTOR", "HEAD", "LAUNCH", "MEET", "SEGMENT", "WORKER"]

#: Entries of the table before the records.
HEAD = 3

#: Kinds of record.
LAUNCH, MEET, SEGMENT = 0, 1, 2

EXECUTOR = Source(
    '''"""Go through the records of a table, as one thread of several."""

from graphc.kernels.cpu.memory import arrive, call_kernel, fetch, give_way, pointer_int64, read_shared, relax, store


def kernel(arguments, thread, threads):
    end, counter, patience = arguments[0], arguments[1], arguments[2]
    place = 3
    while place < end:
        record = arguments[place]
        if record == 0:
            worth = min(arguments[place + 3], threads)
            if worth > 1 and thread < worth:
                call_kernel(arguments[place + 1], arguments[place + 2], thread, worth)
            elif worth == 1 and thread == arguments[place + 4] % threads:
                call_kernel(arguments[place + 1], arguments[place + 2], 0, 1)
            place += 5
        elif record == 1:
            place += 1
            if threads > 1:
                ticket = arrive(counter)
                goal = (ticket // threads + 1) * threads
                waited = 0
                while read_shared(counter) < goal:
                    waited += 1
                    relax()
                    if waited > patience:
                        give_way()
                        waited = 0
        else:
            worth, slices, distance, batch = (
                arguments[place + 1], arguments[place + 2], arguments[place + 3], arguments[place + 4])
            patches = place + 9
            launches = patches + 4 * arguments[place + 5]
            moves = launches + 2 * arguments[place + 6]
            times = arguments[place + 7]
            place = moves + 2 * arguments[place + 8]
            if thread < worth:
                own = thread * distance
                parts = worth * slices
                for part in range(thread * slices, (thread + 1) * slices):
                    example = batch * part // parts
                    for p in range(patches, launches, 4):
                        value = arguments[p + 1] + thread * arguments[p + 2] - example * arguments[p + 3]
                        store(pointer_int64(arguments[p] + own), 0, value)
                    for time in range(times):
                        for p in range(launches, moves, 2):
                            call_kernel(arguments[p], arguments[p + 1] + own, part, parts)
                        step = 1 if time + 1 < times else 1 - times  # the last move goes back to the beginning
                        for p in range(moves, place, 2):
                            moved = pointer_int64(arguments[p] + own)
                            store(moved, 0, fetch(moved, 0) + step * arguments[p + 1])
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
