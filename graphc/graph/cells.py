"""What recurrent cells share: operands that may be left out, shapes in letters, and the lines of their formulas.

The lines are written so that what does not depend on the state can be taken out of a loop over time: a product stands
on a line of its own, and so does every nonlinear function, whose value is a tensor that the derivative can use again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from graphc.errors import ShapeError
from graphc.formula.size import Extent
from graphc.graph.gate import Gate
from graphc.graph.shapes import Shape, shape_text

__all__ = [
    "ByName",
    "Shapes",
    "applied",
    "check_flag",
    "check_shapes",
    "memory_lines",
    "product_lines",
    "rows",
    "summed",
]

#: Shapes of the operands that are there, by name.
Shapes = Mapping[str, Shape]


@dataclass(frozen=True)
class ByName:
    """A rule that is given shapes by operand name, as a rule that is given them in order: what `Gate` takes.

    Parameters
    ----------
    rule : callable
        Takes the shapes by name and the attributes.
    operands : tuple of str
        Names of the operands in order; the last may be left out.
    """

    rule: Callable[[Shapes, Any], Any]
    operands: tuple[str, ...]

    def __call__(self, shapes: tuple[Shape, ...], attributes: Any) -> Any:
        """Call the rule."""
        return self.rule(dict(zip(self.operands, shapes, strict=False)), attributes)


def applied(gate: Gate, operands: tuple[Any, ...], attributes: Mapping[str, Any]) -> Any:
    """Apply a gate with rules `ByName` to those of its operands that are not None, wherever they stand."""
    present = tuple(name for name, operand in zip(gate.operands, operands, strict=True) if operand is not None)
    trailing = present == gate.operands[: len(present)]
    chosen = gate if trailing else _variant(gate, present)
    return chosen(*(operand for operand in operands if operand is not None), **attributes)


@cache
def _variant(gate: Gate, operands: tuple[str, ...]) -> Gate:
    """The same gate for some of its operands: one object for each choice, which keeps the formulas that it bound."""
    rules = {}
    for name in ("definition", "prepare"):
        rule = getattr(gate, name)
        assert isinstance(rule, ByName)
        rules[name] = replace(rule, operands=operands)
    return replace(gate, **rules, operands=operands, optional=0, samples=(), _bound={})


def check_flag(attributes: Mapping[str, Any], name: str) -> None:
    """Refuse an attribute that is neither True nor False."""
    if not isinstance(attributes[name], bool):
        raise ShapeError(f"{name}={attributes[name]!r} must be True or False")


def check_shapes(name: str, shapes: Shapes, layout: Mapping[str, str]) -> dict[str, Extent]:
    """Compare shapes with a layout in letters; return the extent of every letter.

    Parameters
    ----------
    name : str
        Name of the gate.
    layout : mapping
        Extents of every operand that there may be: ``"N D"``, ``"4H H+D"``; a number multiplies the letter behind it. A
        letter takes the extent of the state ``h``, or else of the first operand that has it alone.

    Raises
    ------
    ShapeError
        If a rank or an extent does not fit.
    """
    letters: dict[str, Extent] = {}
    owner: dict[str, str] = {}
    for operand, shape in sorted(shapes.items(), key=lambda item: item[0] != "h"):
        words = layout[operand].split()
        if len(words) != len(shape):
            raise ShapeError(f"{name} needs {operand} {_tuple(words)}, found {shape_text(shape)}")
        for word, extent in zip(words, shape, strict=True):
            if len(word) == 1 and word not in letters:
                letters[word], owner[word] = extent, operand
    for operand, shape in shapes.items():
        words = layout[operand].split()
        expected = tuple(_extent(word, letters) for word in words)
        if expected == shape:
            continue
        known = {word[-1]: None for whole in words for word in whole.split("+")}
        others = [letter for letter in known if owner[letter] != operand]
        given = ", ".join(f"{letter} = {letters[letter]} from {owner[letter]}" for letter in others)
        turned = f": transpose {operand}" if shape[::-1] == expected else ""
        raise ShapeError(
            f"{name} needs {operand} {_tuple(words)} = {shape_text(expected)} with {given}; "
            f"found {shape_text(shape)}{turned}"
        )
    return letters


def _tuple(words: list[str]) -> str:
    return f"({', '.join(words)})" if len(words) > 1 else f"({words[0]},)"


def _extent(word: str, letters: Mapping[str, Extent]) -> Extent:
    total: Extent = 0
    for part in word.split("+"):
        total = letters[part[-1]] * int(part[:-1] or 1) + total
    return total


def rows(number: int) -> str:
    """Index of the rows of a gate, behind those of the gates before it: ``k + 2*size(h,1)``."""
    return f"k + {number}*size(h,1)" if number > 1 else "k + size(h,1)" if number else "k"


def summed(shapes: Shapes, number: int, *tensors: str, places: str = "") -> str:
    """Write the sum that a gate is a function of.

    Parameters
    ----------
    shapes : mapping
        Shapes of the operands that are there.
    number : int
        Position of the gate in the weights.
    *tensors : str
        What is added, by default all: ``projected``, ``recurrent``, ``bias`` and ``bias_h``. ``projected`` is ``x``
        itself where there are no weights for it, and a bias that is not there adds nothing.
    places : str
        Further axes: ``,p,q``.
    """
    terms = []
    for tensor in tensors or ("projected", "recurrent", "bias", "bias_h"):
        if tensor == "projected" and not {"weight_x", "weight"} & set(shapes):
            tensor = "x"
        if tensor.startswith("bias"):
            terms += [f"{tensor}[{rows(number)}]"] if tensor in shapes else []
        else:
            terms.append(f"{tensor}[n,{rows(number)}{places}]")
    return " + ".join(terms)


def product_lines(shapes: Shapes, row: str = "j") -> list[str]:
    """Write the products of ``x`` and of the state with their weights, each on a line of its own.

    Parameters
    ----------
    shapes : mapping
        Shapes of the operands that are there. ``weight`` stands for both weights, the columns for the state first.
        Those columns are a line, and the axis ``m`` needs a declared extent: a plain axis runs over the whole of what
        it indexes.
    row : str
        Axis of the product of the state, where that has a declared extent.
    """
    lines = []
    if "weight" in shapes:
        lines += ["weight_h[j,m] = weight[j,m]", "projected[n,j] = sum(x[n,d]*weight[j,d + size(h,1)], d)"]
    elif "weight_x" in shapes:
        lines.append("projected[n,j] = sum(x[n,d]*weight_x[j,d], d)")
    return [*lines, f"recurrent[n,{row}] = sum(h[n,m]*weight_h[{row},m], m)"]


def memory_lines(shapes: Shapes, letters: str = "ifgo", places: str = "") -> list[str]:
    """Write what an LSTM does with its products: gates, memory and what is shown of it.

    Parameters
    ----------
    shapes : mapping
        Shapes of the operands that are there; with ``peephole``, the gates but g see the memory.
    letters : str
        Gates in the order of their rows; without i it is 1 - f.
    places : str
        Further axes: ``,p,q``.
    """
    at = f"[n,k{places}]"
    lines: dict[str, list[str]] = {"i": [f"i{at} = 1 - f{at}"]}
    for number, letter in enumerate(letters):
        total, own = summed(shapes, number, places=places), []
        if "peephole" in shapes and letter != "g":
            place, memory = rows(letters.replace("g", "").index(letter)), "state" if letter == "o" else "c"
            own.append(f"seen_{letter}{at} = peephole[{place}]*{memory}{at}")
            total += f" + seen_{letter}{at}"
        lines[letter] = [*own, f"{letter}{at} = {'tanh' if letter == 'g' else 'sigmoid'}({total})"]
    written = [line for letter in (*letters[:-1], *("i" if "i" not in letters else "")) for line in lines[letter]]
    written += [f"state{at} = f{at}*c{at} + i{at}*g{at}", *lines["o"], f"shown{at} = tanh(state{at})"]
    # a tensor that is read by another line is no output: the memory needs a name that is not
    return [*written, f"h_new{at} = o{at}*shown{at}", f"c_new{at} = state{at}"]
