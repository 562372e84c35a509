"""``Dataset``: labelled images, usable as a dict of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from graphc.errors import DataError

__all__ = ["Dataset"]


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Dataset:
    """Labelled images: two arrays with one row an example.

    Reads as a dict of arrays (``data["image"]``, ``dict(data)``, ``step(**data)``), but its length
    is the number of examples. It cannot be looped over, since a loop could mean names or examples:
    loop over ``keys()`` or over an array.

    Parameters
    ----------
    image : numpy.ndarray, shape (N, C, H, W), float32
        Pixels, scaled to 0..1.
    label : numpy.ndarray, shape (N,), int32
        Class of each image.

    Raises
    ------
    DataError
        If the two arrays differ in length.

    Examples
    --------
    >>> import graphc
    >>> data = graphc.datasets.digits()
    >>> data
    Dataset(1797 examples: image (1, 8, 8) float32, label () int32)
    >>> data["image"].shape
    (1797, 1, 8, 8)
    >>> train, test = data.split(0.2, seed=0)
    >>> len(train), len(test)
    (1438, 359)
    """

    image: np.ndarray[Any, np.dtype[np.float32]]
    label: np.ndarray[Any, np.dtype[np.int32]]

    def __post_init__(self) -> None:
        if len(self.image) != len(self.label):
            raise DataError(
                f"a Dataset needs one label an image; found {len(self.image)} images and {len(self.label)} labels",
                shapes=(self.image.shape, self.label.shape),
            )

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.image)

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        """Return the array called `name`; for an unknown one a KeyError lists those there are."""
        names = self.keys()
        if name not in names:
            raise KeyError(f"no array {name!r} in this Dataset; it has {', '.join(names)}")
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        """Tell whether there is an array called `name`."""
        names = self.keys()
        return name in names

    # None, not absent: Python would otherwise loop by calling data[0], data[1], ...
    __iter__ = None

    def keys(self) -> tuple[str, ...]:
        """Return the names of the arrays."""
        return tuple(field.name for field in fields(self))

    def items(self) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        """Give each name with its array."""
        return ((field.name, getattr(self, field.name)) for field in fields(self))

    def __repr__(self) -> str:
        arrays = ", ".join(f"{k} {array.shape[1:]} {array.dtype}" for k, array in self.items())
        return f"Dataset({len(self)} examples: {arrays})"

    def split(self, fraction: float = 0.2, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Split at random into a training part and a test part.

        The examples are put in the order ``numpy.random.default_rng(seed).permutation(N)``; the
        first ``round(fraction * N)`` of them are the test part (nearest integer, a half goes to the
        even one: 359 of 1,797 at 0.2), the others the training part. Equal seeds give equal parts.

        Parameters
        ----------
        fraction : float, between 0 and 1
            Share of the test part.
        seed : int
            Seed of the permutation.

        Returns
        -------
        train, test : Dataset
            Copies: no array is shared with the whole.

        Raises
        ------
        DataError
            If `fraction` leaves one part without examples.
        """
        count = round(fraction * len(self))
        if not 0 < count < len(self):
            raise DataError(
                f"a split with fraction={fraction} leaves {count} of {len(self)} examples for the"
                " test part; both parts need at least one, with a fraction between 0 and 1"
            )
        order = np.random.default_rng(seed).permutation(len(self))
        test, train = order[:count], order[count:]
        return Dataset(self.image[train], self.label[train]), Dataset(self.image[test], self.label[test])
