"""Nodes: what the user declared, exactly as written.

Two equal expressions stay two nodes (planning merges them). A gate with several outputs has one node for
each, sharing an `Application`. Shapes are checked at declaration.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphc.errors import GraphcError, ShapeError, Site
from graphc.formula.size import Extent, Size, named
from graphc.formula.statement import Formula
from graphc.graph import registry, verbs
from graphc.graph.shapes import Shape

if TYPE_CHECKING:
    import numpy

    from graphc.graph.gate import Gate

__all__ = [
    "Application",
    "Node",
    "as_node",
    "call_site",
    "check_name",
    "parse_shape",
    "topological",
]

_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
_counter = itertools.count()

DTYPES = ("float32", "float64", "int32", "int64")


def call_site() -> Site:
    """Return the first frame outside graphc: where the user wrote the declaration."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return Site(frame.f_code.co_filename, frame.f_lineno)


def check_name(name: Any, site: Site | None = None) -> str:
    """Return a name that can be printed on one line, or refuse it."""
    if not isinstance(name, str) or not name.strip():
        raise GraphcError(f"a name is a non-empty text, found {name!r}", site=site)
    if not name.isprintable():
        raise GraphcError(
            f"the name {name!r} contains a line break or another character that cannot be printed; "
            "a name is one line of printable characters",
            site=site,
        )
    return name


def parse_shape(shape: Any, site: Site | None = None) -> Shape:
    """Turn a user's shape (numbers and names) into extents."""
    if isinstance(shape, int | str):
        shape = (shape,)
    if not isinstance(shape, Iterable):
        raise ShapeError(f"a shape is a tuple of numbers and names, found {shape!r}", site=site)
    result: list[Extent] = []
    for extent in shape:
        if isinstance(extent, str) and extent.isidentifier():
            result.append(named(extent))
        elif isinstance(extent, Size):
            result.append(extent)
        elif isinstance(extent, bool) or not hasattr(extent, "__index__"):
            raise ShapeError(
                f"{extent!r} is not an extent: use a whole number, or a name such as 'N' for a size known at run time",
                site=site,
            )
        elif int(extent) < 0:
            raise ShapeError(f"an extent cannot be negative, found {extent}", site=site)
        else:
            result.append(int(extent))
    return tuple(result)


@dataclass(eq=False)
class Application:
    """One use of a gate: formula, operands in formula order, attributes, and the sizes of every tensor."""

    gate: Gate | None
    formula: Formula
    operands: tuple[Node, ...]
    attributes: Mapping[str, Any]
    sizes: Mapping[str, Extent]
    site: Site
    outputs: tuple[Node, ...] = field(default=(), repr=False)


class Node:
    """A value in the graph: an input, parameter, state, constant, or an output of a gate.

    Attributes
    ----------
    id : int
        Creation order.
    kind : str
        ``"input"``, ``"parameter"``, ``"state"``, ``"constant"``, ``"mode"`` (whether it is training) or ``"gate"``.
    name : str or None
        The user's name.
    shape : tuple
        Extents; a named size such as ``N`` is known at run time.
    dtype : str
        ``"float32"``, ``"float64"``, ``"int32"`` or ``"int64"``.
    site : Site
        Where the user declared it.
    """

    __slots__ = (
        "application",
        "dtype",
        "id",
        "initial",
        "kind",
        "name",
        "output",
        "shape",
        "site",
        "trainable",
        "update",
        "value",
    )

    def __init__(
        self,
        kind: str,
        shape: Shape,
        dtype: str,
        site: Site,
        *,
        name: str | None = None,
        value: Any = None,
        initial: Any = None,
        trainable: bool = True,
        application: Application | None = None,
        output: int = 0,
    ) -> None:
        self.id = next(_counter)
        self.kind = kind
        self.shape = shape
        self.dtype = dtype
        self.site = site
        self.name = name
        self.value: float | numpy.ndarray | None = value
        self.initial = initial
        self.trainable = trainable
        self.application = application
        self.output = output
        self.update: Node | None = None

    # ---- what drawings, checks and messages read -------------------------------------------------

    @property
    def gate(self) -> str:
        """Registry name of the gate, or an empty string."""
        if self.application is None:
            return ""
        gate = self.application.gate
        return gate.name if gate is not None else self.application.formula.name

    @property
    def operands(self) -> tuple[Node, ...]:
        """Operands, in order, repeats kept."""
        return self.application.operands if self.application is not None else ()

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Attributes of the gate."""
        return self.application.attributes if self.application is not None else {}

    @property
    def formula(self) -> Formula | None:
        """The bound formula, or None for a leaf."""
        return self.application.formula if self.application is not None else None

    @property
    def label(self) -> str:
        """The name, or one made of kind and number."""
        if self.name is not None:
            return self.name
        if self.kind == "constant":
            return f"{self.value:g}" if isinstance(self.value, float) else f"constant_{self.id}"
        return f"{self.gate or self.kind}_{self.id}"

    @property
    def is_float(self) -> bool:
        """Whether gradients can flow through the node."""
        return self.dtype.startswith("float")

    def named(self, name: str) -> Node:
        """Give the node a name and return it."""
        self.name = check_name(name, self.site)
        return self

    def __repr__(self) -> str:
        from graphc.graph.shapes import shape_text

        return f"<{self.kind} {self.label!r} {shape_text(self.shape)} {self.dtype}>"

    # ---- operators ask the registry ---------------------------------------------------------------

    def __add__(self, other: Any) -> Node:
        return registry.call("add", self, other)

    def __radd__(self, other: Any) -> Node:
        return registry.call("add", other, self)

    def __sub__(self, other: Any) -> Node:
        return registry.call("sub", self, other)

    def __rsub__(self, other: Any) -> Node:
        return registry.call("sub", other, self)

    def __mul__(self, other: Any) -> Node:
        return registry.call("mul", self, other)

    def __rmul__(self, other: Any) -> Node:
        return registry.call("mul", other, self)

    def __truediv__(self, other: Any) -> Node:
        return registry.call("div", self, other)

    def __rtruediv__(self, other: Any) -> Node:
        if isinstance(other, int | float) and other == 1:
            return registry.call("reciprocal", self)
        return registry.call("div", other, self)

    def __pow__(self, other: Any) -> Node:
        return registry.call("pow", self, other)

    def __rpow__(self, other: Any) -> Node:
        return registry.call("pow", other, self)

    def __matmul__(self, other: Any) -> Node:
        return registry.call("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Node:
        return registry.call("matmul", other, self)

    def __neg__(self) -> Node:
        return registry.call("neg", self)

    def __abs__(self) -> Node:
        return registry.call("abs", self)

    def __lt__(self, other: Any) -> Node:
        return registry.call("less", self, other)

    def __le__(self, other: Any) -> Node:
        return registry.call("less_equal", self, other)

    def __gt__(self, other: Any) -> Node:
        return registry.call("greater", self, other)

    def __ge__(self, other: Any) -> Node:
        return registry.call("greater_equal", self, other)

    @property
    def T(self) -> Node:  # noqa: N802 - as on NumPy's arrays
        """The node with its axes reversed."""
        return registry.call("transpose", self)

    def __getitem__(self, index: Any) -> Node:
        """Return a part, as in NumPy; an integer node as the only index picks rows (``embedding``)."""
        if isinstance(index, Node):
            return registry.call("embedding", self, index)
        return registry.call("slice", self, index)

    def __len__(self) -> int:
        if not self.shape:
            raise GraphcError(f"{self.label!r} is a scalar and has no length", node=self, site=self.site)
        if not isinstance(self.shape[0], int):
            raise GraphcError(
                f"the length of {self.label!r} is the size {self.shape[0]}, known at run time only",
                node=self,
                site=self.site,
            )
        return self.shape[0]

    def __iter__(self) -> Iterator[Node]:
        """Rows, where their number is known when the graph is declared."""
        return iter([self[k] for k in range(len(self))])

    def __bool__(self) -> bool:
        raise GraphcError(
            f"the node {self.label!r} has no truth value while the graph is declared; "
            "use graphc.equal, graphc.max or graphc.min to choose between values",
            node=self,
            site=self.site,
        )

    # numpy arrays on the left must hand the operator over instead of looping over elements
    __array_ufunc__ = None

    # ---- verbs lent by upper floors ----------------------------------------------------------------

    def draw(self, path: Any = None, **options: Any) -> Any:
        """Draw the graph below this node, without values; see ``graphc.draw``."""
        return verbs.lookup("draw")(self, path, **options)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython
        """What a notebook shows."""
        return verbs.lookup("notebook_bundle")(self) if verbs.known("notebook_bundle") else {}


def as_node(value: Any, dtype: str = "float32", site: Site | None = None, *, keep_floats: bool = False) -> Node:
    """Return a node; numbers and arrays become constants.

    ``keep_floats``: a float does not become a whole number under a dtype of whole numbers, but a float32.
    """
    if isinstance(value, Node):
        return value
    import numpy

    site = site or call_site()
    if isinstance(value, bool) or not isinstance(value, int | float | numpy.ndarray | numpy.generic | list | tuple):
        raise ShapeError(
            f"expected a node, a number or an array, found {type(value).__name__}: {value!r:.60}",
            site=site,
        )
    try:
        array = numpy.asarray(value)
    except ValueError as error:
        raise ShapeError(f"cannot make an array of {value!r:.60}: {error}", site=site) from None
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"a constant holds numbers, found dtype {array.dtype}", site=site)
    if keep_floats and array.dtype.kind == "f" and not dtype.startswith("float"):
        dtype = "float32"
    if array.ndim == 0:
        return Node("constant", (), dtype, site, value=float(array))
    whole = array.dtype.kind != "f" and not dtype.startswith("float")
    array = array.astype("int64" if whole else "float64")
    return Node("constant", array.shape, dtype, site, value=array)


def topological(roots: Iterable[Node]) -> list[Node]:
    """Return every node below the roots, operands first, in a deterministic order."""
    order: list[Node] = []
    done: set[int] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
            continue
        if node.id in done:
            continue
        done.add(node.id)
        stack.append((node, True))
        stack.extend((operand, False) for operand in reversed(node.operands) if operand.id not in done)
    return order
