"""Graph → launch plan: merge, views, contractions, liveness, one arena; plain data."""

from graphc.planning.count import Count, Layer, count
from graphc.planning.lower import plan
from graphc.planning.plan import Buffer, Kernel, Launch, Plan

__all__ = ["Buffer", "Count", "Kernel", "Launch", "Layer", "Plan", "count", "plan"]
