"""Conventions of a check: what counts as right where a function has a kink."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from graphc.errors import CheckError, did_you_mean

__all__ = ["Conventions", "as_conventions"]


@dataclass(frozen=True)
class Conventions:
    """What counts as right on a kink.

    Attributes
    ----------
    relu_at_zero : "interval", 0 or 1
        Slope of relu at 0: any from 0 to 1, or that one.
    ties : "interval" or "first"
        At a tie of max, min, a maximum over an axis or a window, and at the kink of abs: any slope between those on
        either side, or the one that graphc takes itself, where the first operand wins (0 for abs).
    """

    relu_at_zero: str | int = "interval"
    ties: str = "interval"

    def __iter__(self) -> Iterator[str]:
        yield "All names are real numbers; a decimal such as 0.1 means exactly that."
        yield "The gradient of a scalar with respect to an array has the shape of the array."
        if self.relu_at_zero == "interval":
            yield "relu has any slope from 0 to 1 at 0; graphc itself takes 0 (relu is max(0, x))."
        else:
            yield f"relu has slope {self.relu_at_zero} at 0."
        if self.ties == "interval":
            yield (
                "At a kink (max, min, abs, pooling, a comparison) any value between the slopes on either side is "
                "accepted; graphc itself takes the first operand at a tie, and 0 for abs."
            )
        else:
            yield "At a tie of max, min or pooling the first operand wins; abs has slope 0 at 0."
        yield "'proved' holds wherever claim and gradient are both defined; 'agrees' is agreement at the points tried."


_ALLOWED: Mapping[str, tuple[Any, ...]] = {"relu_at_zero": ("interval", 0, 1), "ties": ("interval", "first")}


def as_conventions(given: Any) -> Conventions:
    """Read what a user gives for ``conventions=``.

    Raises
    ------
    CheckError
        If there is no such convention, or not with this value.
    """
    if given is None:
        return Conventions()
    if isinstance(given, Conventions):
        given = {field.name: getattr(given, field.name) for field in fields(given)}
    if not isinstance(given, Mapping):
        raise CheckError(f"conventions= is a mapping such as {{'relu_at_zero': 0}}, found {type(given).__name__}")
    for name, value in given.items():
        if name not in _ALLOWED:
            known = ", ".join(_ALLOWED)
            raise CheckError(f"there is no convention {name!r}{did_you_mean(str(name), _ALLOWED)}; there are {known}")
        if isinstance(value, bool) or value not in _ALLOWED[name]:
            choices = " or ".join(map(repr, _ALLOWED[name]))
            raise CheckError(f"the convention {name} is {choices}, found {value!r}")
    return Conventions(**dict(given))
