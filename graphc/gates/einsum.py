"""einsum: ``y[output] = sum(x0[...] * x1[...] * ..., letters not in output)`` in Einstein's notation.

Any product of tensors in one line: traces, outer products, bilinear forms, attention over heads.

Shapes: one letter for each axis of each operand; the result has the axes after ``->``.
Derivatives: the products of the upstream gradient with all operands but one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape
from graphc.graph.axes import indexed
from graphc.graph.subscripts import read_subscripts, summed_line


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    inputs, output = read_subscripts(attributes["subscripts"], tuple(map(len, shapes)))
    return {"subscripts": f"{','.join(inputs)}->{output}"}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    inputs, output = read_subscripts(attributes["subscripts"], tuple(map(len, shapes)))
    terms = [(f"x{k}", letters) for k, letters in enumerate(inputs)]
    lines = []
    for k, (name, letters) in enumerate(terms if len(terms) > 1 else ()):
        # what only one operand knows is summed before it multiplies others
        needed = output + "".join(other for j, (_, other) in enumerate(terms) if j != k)
        kept = "".join(c for c in dict.fromkeys(letters) if c in needed)
        if any(c not in needed for c in letters):
            lines.append(summed_line(f"s{k}", kept, indexed(name, letters), letters))
            terms[k] = f"s{k}", kept
    name, letters = terms[0]
    for k, (other, others) in enumerate(terms[1:-1], 1):
        needed = output + "".join(later for _, later in terms[k + 1 :])
        kept = "".join(c for c in dict.fromkeys(letters + others) if c in needed)
        body = f"{indexed(name, letters)} * {indexed(other, others)}"
        lines.append(summed_line(f"p{k}", kept, body, letters + others))
        name, letters = f"p{k}", kept
    body = " * ".join(indexed(*term) for term in ([(name, letters), *terms[-1:]] if len(terms) > 1 else terms))
    lines.append(summed_line("result", output, body, letters + (terms[-1][1] if len(terms) > 1 else "")))
    return Definition("\n".join(lines))


GATE = Gate(
    "einsum",
    _definition,
    ("x",),
    symbol="einsum",
    attributes={"subscripts": ""},
    prepare=_prepare,
    variadic=True,
    samples=(
        Sample(
            ((3, 5), (5, 4)),
            {"subscripts": "ij,jk->ik"},
            values=(([[1.0, 2.0]], [[3.0], [4.0]]), [[11.0]]),
        ),
        Sample(((2, 2),), {"subscripts": "ii"}, values=(([[1.0, 2.0], [3.0, 4.0]],), 5.0)),
        Sample(((3, 3),), {"subscripts": "ii->i"}),
        Sample(((2, 3, 5),), {"subscripts": "abc->cb"}),
        Sample(((3,), (4,)), {"subscripts": "x, y"}),
        Sample(((2, 3), (2, 4, 3), (2, 4)), {"subscripts": "ni,nji,nj->n"}),
        Sample(((2, 3), (3, 2, 2), (2,), ()), {"subscripts": "ab,bac,d,->c"}),
        Sample(((2, 2, 3, 2), (2, 2, 3, 2)), {"subscripts": "nhqd,nhkd->nhqk"}),
    ),
    source="Einstein, Annalen der Physik 354 (1916), section 5; NumPy's einsum for the notation",
)


def einsum(subscripts: str, *x: Any) -> Node:
    """Sum of products over repeated letters.

    Parameters
    ----------
    subscripts : str
        Letters for the axes of each operand, separated by commas, and after ``->`` those of the result; without
        ``->`` the letters that occur once, in alphabetical order.
    *x : Node, any shape, one axis for each letter
        Operands; a letter that is twice in one operand means its diagonal.

    Returns
    -------
    Node, one axis for each letter after ``->``

    Raises
    ------
    ShapeError
        If the letters do not fit the operands, a letter has two extents, or the result repeats a letter or has one
        that no operand has. ``...`` is not part of the notation here.

    Notes
    -----
    Operands are multiplied from left to right; a letter is summed as soon as no later operand needs it.
    Cost: for each product 2 FLOP per combination of the letters of its two factors.

    Source
    ------
    Einstein, Annalen der Physik 354 (1916), section 5; NumPy's ``einsum`` for the notation.

    Examples
    --------
    >>> import graphc
    >>> a, w, b = graphc.input("a", ("N", 3)), graphc.parameter("w", (3, 4)), graphc.input("b", ("N", 4))
    >>> graphc.einsum("ni,ij,nj->n", a, w, b).shape
    (N,)
    """
    return GATE(*x, subscripts=subscripts)
