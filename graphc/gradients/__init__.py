"""Reverse sweep graph → graph; local, upstream and downstream gradient of every edge."""

from graphc.gradients.backward import Backward, backward
from graphc.gradients.closed_form import IndexFormula, LetForm
from graphc.gradients.run import Run

__all__ = ["Backward", "IndexFormula", "LetForm", "Run", "backward"]
