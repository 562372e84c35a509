"""``graphc bench``: one training step of a few networks, timed in turn with the same step in PyTorch and JAX."""

from graphc.benchmarks.measure import Result, Row, measure
from graphc.benchmarks.runner import Runner, RunnerError, Task
from graphc.benchmarks.table import memory_table, report
from graphc.benchmarks.workloads import WORKLOADS, Workload, workload

__all__ = [
    "WORKLOADS",
    "Result",
    "Row",
    "Runner",
    "RunnerError",
    "Task",
    "Workload",
    "measure",
    "memory_table",
    "report",
    "workload",
]
