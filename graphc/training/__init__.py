"""Training: optimisers as formulas, metrics, the trainer, its history, and checkpoints."""

from __future__ import annotations

from graphc.training.history import History
from graphc.training.metrics import accuracy
from graphc.training.optimizers import SGD, Adam, Optimizer
from graphc.training.sampling import sample
from graphc.training.trainer import Trainer

__all__ = ["SGD", "Adam", "History", "Optimizer", "Trainer", "accuracy", "sample"]
