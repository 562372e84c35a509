"""What normalisations share: letters for axes, and the lines of centring and scaling."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["LETTERS", "at", "normal_lines"]

#: Axes of the operand after the first two, or all of them.
LETTERS = "ijklmnrstuvabd"


def at(tensor: str, index: Sequence[str]) -> str:
    """Write a tensor at an index; a scalar has none."""
    return f"{tensor}[{','.join(index)}]" if index else tensor


def normal_lines(element: Sequence[str], kept: Sequence[str], reduced: Sequence[str], affine: Sequence[str]) -> str:
    """Write ``y = (x - mean)/sqrt(variance + epsilon)*gain + bias`` in three lines.

    The variance is the mean of squared differences from the mean, in a second pass: the mean of squares less the
    square of the mean would cancel.

    Parameters
    ----------
    element : sequence of str
        Index of ``x`` and ``y``.
    kept : sequence of str
        Axes that each have a mean of their own.
    reduced : sequence of str
        Axes that the statistics are taken over.
    affine : sequence of str
        Index of ``gain`` and ``bias``.
    """
    x, average, variance = at("x", element), at("average", kept), at("variance", kept)
    y, gain, bias = at("y", element), at("gain", affine), at("bias", affine)
    axes = ", ".join(reduced)
    lines = (
        f"{average} = mean({x}, {axes})",
        f"{variance} = mean(({x} - {average})**2, {axes})",
        f"{y} = ({x} - {average})/sqrt({variance} + epsilon)*{gain} + {bias}",
    )
    return "\n".join(lines)
