"""The embedded handwritten digits: real data on every machine, without a network."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Literal

import numpy as np

from graphc.datasets.dataset import Dataset
from graphc.errors import DataError

__all__ = ["digits"]

_FILE = Path(__file__).with_name("data") / "digits.csv.gz"
_SIDE = 8  # pixels
_LARGEST = 16  # a pixel counts the set bits of a 4 x 4 block


def digits(split: Literal["train", "test"] | None = None, *, seed: int = 0, test_fraction: float = 0.2) -> Dataset:
    """Load 1,797 handwritten digits of 8 x 8 pixels, 174 to 183 of each class.

    Parameters
    ----------
    split : "train", "test" or None
        One part of a random split, or None for all images in their original order.
    seed : int
        Seed of the split; see :meth:`Dataset.split`. Not used without `split`.
    test_fraction : float, between 0 and 1
        Share of the test part, 359 images at 0.2. Not used without `split`.

    Returns
    -------
    Dataset
        ``image``, shape (N, 1, 8, 8), float32: ink from 0 (paper) to 1, in steps of 1/16.
        ``label``, shape (N,), int32: the digit, 0 to 9. Fresh arrays at each call.

    Raises
    ------
    DataError
        If `split` is another word, or `test_fraction` leaves one part empty.

    Source
    ------
    E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository, 1998; the test part, in the copy that scikit-learn distributes (BSD 3-Clause).

    Examples
    --------
    >>> import graphc
    >>> graphc.datasets.digits()
    Dataset(1797 examples: image (1, 8, 8) float32, label () int32)
    >>> len(graphc.datasets.digits("train")), len(graphc.datasets.digits("test"))
    (1438, 359)
    """
    if split not in (None, "train", "test"):
        raise DataError(f"digits has no part {split!r}; ask for 'train', 'test' or None (all)")
    with gzip.open(_FILE, "rt", encoding="ascii") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)  # (1797, 64 pixels + 1 label)
    image = table[:, :-1].reshape(-1, 1, _SIDE, _SIDE).astype(np.float32) / np.float32(_LARGEST)
    whole = Dataset(image, table[:, -1].astype(np.int32))
    if split is None:
        return whole
    train, test = whole.split(test_fraction, seed)
    return train if split == "train" else test
