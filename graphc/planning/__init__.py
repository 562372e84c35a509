"""Graph → launch plan: merge, views, contractions, liveness, one arena; plain data."""

from graphc.planning.count import Count, Layer, count
from graphc.planning.lower import plan
from graphc.planning.plan import Buffer, Kernel, Launch, Plan
from graphc.planning.target import LAYOUTS, SCHEDULES, Target
from graphc.planning.views import Patches, Toeplitz, patches, toeplitz

__all__ = [
    "LAYOUTS",
    "SCHEDULES",
    "Buffer",
    "Count",
    "Kernel",
    "Launch",
    "Layer",
    "Patches",
    "Plan",
    "Target",
    "Toeplitz",
    "count",
    "patches",
    "plan",
    "toeplitz",
]
