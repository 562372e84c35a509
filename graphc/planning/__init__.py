"""Graph → launch plan: merge, views, contractions, liveness, one arena; plain data."""

from graphc.planning.lower import plan
from graphc.planning.plan import Buffer, Kernel, Launch, Plan

__all__ = ["Buffer", "Kernel", "Launch", "Plan", "plan"]
