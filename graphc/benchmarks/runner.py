"""What a contestant gets and what it gives: a step that can be run, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy

from graphc.benchmarks.workloads import Workload

__all__ = ["Peer", "Runner", "RunnerError", "Task", "own_runner", "unable"]


class RunnerError(Exception):
    """A contestant cannot run a workload; the message is one line that says why."""


@dataclass(frozen=True)
class Task:
    """A workload with the numbers that every contestant starts from.

    Attributes
    ----------
    parameters, states : mapping
        Arrays by name, as the graph declares them; to be copied, not written.
    data : mapping
        The batch by name.
    threads : int
        Threads that a contestant may use.
    """

    workload: Workload
    parameters: Mapping[str, numpy.ndarray]
    states: Mapping[str, numpy.ndarray]
    data: Mapping[str, numpy.ndarray]
    threads: int


@dataclass(frozen=True)
class Runner:
    """A contestant on one workload.

    Attributes
    ----------
    name : str
        As in the table.
    step : callable
        Runs one training step to its end and returns the loss before it; raises `RunnerError` where it cannot.
    """

    name: str
    step: Callable[[], float]


def unable(name: str, why: str = "the network is not written for it") -> Runner:
    """Return a contestant that cannot run the workload."""

    def step() -> float:
        raise RunnerError(why)

    return Runner(name, step)


class Peer(Protocol):
    """A library to compare with."""

    def runners(self, task: Task) -> Iterable[Runner]:
        """Return the contestants; the first one judges the losses of graphc."""
        ...


def own_runner(workload: Workload, threads: int) -> tuple[Runner, Task]:
    """Compile graphc's own step; return it with the task that it starts from."""
    from graphc.kernels import compile as compile_step
    from graphc.training import SGD

    optimizer = SGD(workload.learning_rate, momentum=workload.momentum)
    step = compile_step([workload.declare()], optimizer=optimizer, threads=threads, seed=0)
    data = workload.data()
    parameters = {name: array.copy() for name, array in step.parameters.items()}
    states = {name: array.copy() for name, array in step.states.items()}
    return Runner("graphc", lambda: float(step(**data)[0])), Task(workload, parameters, states, data, threads)
