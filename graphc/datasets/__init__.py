"""Data for examples and tests: embedded digits, and readers for the MNIST family.

``digits`` needs no network and no other package. ``mnist`` and ``fashion_mnist`` read a folder, or
download once with the extra ``data``. Every loader gives a :class:`Dataset`: arrays of equal length
under names, which works as a dict of arrays.
"""

from __future__ import annotations

from graphc.datasets.dataset import Dataset
from graphc.datasets.digits import digits
from graphc.datasets.idx import fashion_mnist, mnist, read_idx

__all__ = ["Dataset", "digits", "fashion_mnist", "mnist", "read_idx"]
