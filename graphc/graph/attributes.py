"""Checks of attributes that gates of several kinds share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.errors import ShapeError

__all__ = ["check_positive"]


def check_positive(attributes: Mapping[str, Any], name: str) -> None:
    """Refuse an attribute that is no number greater than 0.

    Raises
    ------
    ShapeError
        If it is zero, negative, or no number.
    """
    value = attributes[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ShapeError(f"{name}={value!r} must be a number greater than 0")
