"""Counting a graph: parameters, activations, FLOP and bytes of each layer, read off the formulas.

Nothing is estimated from the names of gates: the FLOP of a statement are the points of its iteration
domain times the operations of its body, one more for the reduction; parameters are the elements of leaves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graphc.errors import GraphcError, did_you_mean
from graphc.formula.expression import Call, Expression, Symbol
from graphc.formula.size import Extent, Size
from graphc.formula.statement import Affine, Index, Statement
from graphc.graph import verbs
from graphc.graph.mode import chooses, in_training
from graphc.graph.node import Application, Node
from graphc.graph.shapes import Shape, shape_text
from graphc.planning.plan import item_bytes

__all__ = ["Count", "Layer", "count"]

#: The name of the size that examples run along; it counts as 1 unless another number is given.
_BATCH = "N"


@dataclass(frozen=True)
class Layer:
    """One row of a `Count`.

    Attributes
    ----------
    name : str
        Prefix of the parameters (``conv1`` of ``conv1.weight``), or the name or gate of the node.
    kind : str
        Gate that does the work.
    shape : tuple
        Shape of the result.
    activations : int or Size
        Elements of the result.
    parameters : int
        Elements of the parameters.
    formula : str
        How the number of parameters comes about.
    flops : int or Size
        Operations of the forward pass; a multiply-add counts 2.
    bytes : int or Size
        Memory of the result and of the parameters.
    """

    name: str
    kind: str
    shape: Shape
    activations: Extent
    parameters: int
    formula: str
    flops: Extent
    bytes: Extent


@dataclass(frozen=True)
class Count:
    """Rows of layers in the order of the forward pass; index by name, print for the table.

    Attributes
    ----------
    layers : tuple of Layer
    sizes : dict
        Numbers that the named sizes were given.
    """

    layers: tuple[Layer, ...]
    sizes: dict[str, int]

    @property
    def parameters(self) -> int:
        """Elements of all parameters; a shared one counts once."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def activations(self) -> Extent:
        """Elements of all results, inputs included."""
        return _sum(layer.activations for layer in self.layers)

    @property
    def flops(self) -> Extent:
        """Operations of one forward pass."""
        return _sum(layer.flops for layer in self.layers)

    @property
    def bytes(self) -> Extent:
        """Memory of all results and parameters."""
        return _sum(layer.bytes for layer in self.layers)

    def __getitem__(self, name: str) -> Layer:
        """Return a layer by name."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise GraphcError(f"no layer is named {name!r}{did_you_mean(str(name), names)}; layers: {', '.join(names)}")

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython
        """What a notebook shows."""
        return verbs.lookup("notebook_bundle")(text=str(self))

    def __str__(self) -> str:
        rows = [("layer", "kind", "output", "activations", "parameters", "", "FLOP", "bytes")]
        for layer in self.layers:
            numbers = (layer.activations, layer.parameters, layer.flops, layer.bytes)
            a, p, f, b = map(number_text, numbers)
            rows.append((layer.name, layer.kind, shape_text(layer.shape), a, p, layer.formula, f, b))
        totals = (self.activations, self.parameters, self.flops, self.bytes)
        a, p, f, b = map(number_text, totals)
        rows.append(("total", "", "", a, p, "", f, b))
        widths = [max(len(row[k]) for row in rows) for k in range(8)]
        left = (0, 1, 2, 5)
        lines = []
        for row in rows:
            cells = [row[k].ljust(w) if k in left else row[k].rjust(w) for k, w in enumerate(widths) if w]
            lines.append("  ".join(cells).rstrip())
        rule = "-" * max(map(len, lines))
        given = ", ".join(f"{name} = {value}" for name, value in self.sizes.items())
        note = f"forward pass{f' with {given}' if given else ''}; a multiply-add counts 2 FLOP"
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], note])

    __repr__ = __str__


def number_text(value: Extent) -> str:
    """Write a number with thousands separated, named sizes kept: ``4,704 T``."""
    if isinstance(value, int):
        return f"{value:,}"
    parts = []
    for monomial, coefficient in reversed(value.terms):
        factors = [f"{coefficient:,}"] if coefficient != 1 or not monomial else []
        parts.append(" ".join([*factors, *monomial]))
    return " + ".join(parts)


def count(node: Node, **sizes: int) -> Count:
    """Count parameters, activations, FLOP and bytes of each layer below a node.

    Parameters
    ----------
    node : Node
        A loss, or any node.
    **sizes : int
        Numbers for named sizes. ``N`` is 1 unless given: the counts are for one example. Other names stay
        names, and the counts are then polynomials in them.

    Returns
    -------
    Count
        ``count["conv1"].parameters``, ``.activations``, ``.flops``, ``.bytes``; the same attributes of the
        whole are totals. Bytes are those of the declared dtypes.

    Raises
    ------
    GraphcError
        If ``node`` is not a node, or a size is not a name of the graph or not a whole number.

    Notes
    -----
    The activations of a layer are the elements of its result; views (flatten, reshape) have no row. Where training
    and use differ (``graphc.is_training()``), the pass in training counts.

    Source
    ------
    Krizhevsky et al., NIPS (2012), section 3, for the table of AlexNet.

    Examples
    --------
    >>> import graphc
    >>> image = graphc.input("image", ("N", 3, 32, 32))
    >>> maps = graphc.layers.conv2d(image, 20, 5, bias=False, name="conv1")
    >>> graphc.count(maps)["conv1"].parameters, graphc.count(maps)["conv1"].formula
    (1500, '20·(5·5·3)')
    """
    if not isinstance(node, Node):
        raise GraphcError(f"count needs a node, found {type(node).__name__}")
    nodes = in_training(node)
    names = {n for item in nodes for extent in item.shape if isinstance(extent, Size) for n in extent.names()}
    for name, value in sizes.items():
        if name not in names:
            known = ", ".join(sorted(names)) or "none"
            raise GraphcError(f"the graph has no size {name!r}{did_you_mean(name, names)}; named sizes: {known}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise GraphcError(f"the size {name} must be a whole number of at least 0, found {value!r}")
    known = dict(sizes)
    if _BATCH in names:
        known.setdefault(_BATCH, 1)
    return _Counter(node, nodes, known).result()


class _Row:
    """A layer while it is being collected."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.applications: dict[int, Application] = {}
        self.parameters: list[Node] = []


class _Counter:
    def __init__(self, root: Node, nodes: list[Node], sizes: dict[str, int]) -> None:
        self.root = root
        self.nodes = nodes
        self.sizes = sizes
        self.consumers: dict[int, list[Node]] = {}
        for node in nodes:
            for operand in node.operands:
                self.consumers.setdefault(operand.id, []).append(node)

    def result(self) -> Count:
        rows: dict[str, _Row] = {}
        row_of: dict[int, str] = {}
        owned: set[int] = set()
        numbers: dict[str, int] = {}
        for node in self.nodes:
            if node.kind in ("constant", "mode", "parameter") or _view(node):
                continue
            key = self._key(node, rows, numbers)
            row = rows.setdefault(key, _Row(key))
            row.nodes.append(node)
            row_of[node.id] = key
            if node.application is not None:
                row.applications[id(node.application)] = node.application
            for operand in node.operands:
                if operand.kind == "parameter" and operand.id not in owned:
                    owned.add(operand.id)
                    row.parameters.append(operand)
        layers = [self._layer(row, row_of) for row in rows.values()]
        return Count(tuple(layers), self.sizes)

    def _key(self, node: Node, rows: dict[str, _Row], numbers: dict[str, int]) -> str:
        """Name of the row: prefix of the parameters, else the name, else gate and number."""
        for leaf in (node, *node.operands):
            if leaf.kind in ("parameter", "state") and "." in leaf.label:
                return leaf.label.rpartition(".")[0]
        if node.name is not None:
            return node.name
        stem = node.gate or node.kind
        while True:
            numbers[stem] = numbers.get(stem, 0) + 1
            key = f"{stem}_{numbers[stem]}"
            if key not in rows:
                return key

    def _layer(self, row: _Row, row_of: dict[int, str]) -> Layer:
        nodes = [n for n in row.nodes if n.kind != "state"] or row.nodes
        leaving = [
            n
            for n in nodes
            if n is self.root or any(row_of.get(c.id) != row.name for c in self.consumers.get(n.id, []))
        ]
        results = leaving or nodes[-1:]
        activations = _sum(self._elements(n.shape) for n in results)
        memory = _sum(self._elements(n.shape) * item_bytes(n.dtype) for n in results)
        work = [
            self._work(statement, application)
            for application in row.applications.values()
            if not chooses(application.outputs[0])
            for statement in application.formula.statements
        ]
        main = max(nodes, key=lambda n: any(o.kind == "parameter" and len(o.shape) > 1 for o in n.operands))
        parameters = sum(_elements_number(p) for p in row.parameters)
        memory = memory + sum(_elements_number(p) * item_bytes(p.dtype) for p in row.parameters)
        return Layer(
            row.name,
            main.gate or main.kind,
            results[-1].shape,
            activations,
            parameters,
            _parameter_formula(row),
            _sum(work),
            memory,
        )

    def _elements(self, shape: Shape) -> Extent:
        total: Extent = 1
        for extent in shape:
            total = self._known(extent) * total
        return total

    def _known(self, extent: Extent) -> Extent:
        """Put numbers for the names that are known."""
        if isinstance(extent, int):
            return extent
        terms: dict[tuple[str, ...], int] = {}
        for monomial, coefficient in extent.terms:
            rest = []
            for name in monomial:
                if name in self.sizes:
                    coefficient *= self.sizes[name]
                else:
                    rest.append(name)
            terms[tuple(rest)] = terms.get(tuple(rest), 0) + coefficient
        return Size(terms) + 0

    def _work(self, statement: Statement, application: Application) -> Extent:
        """Points of the iteration domain times operations at each."""
        if statement.write.flat:
            return 0
        placeholders = {placeholder for placeholder, _ in statement.reads}
        # one more for the reduction, and one for the exponential of logsumexp
        reduction = {"set": 0, "logsumexp": 2}.get(statement.operator, 1)
        operations = _operations(statement.body, placeholders) + reduction
        total: Extent = operations
        for axis in statement.axes:
            total = self._known(_affine(axis.extent, application)) * total
        return total


def _affine(form: Affine, application: Application) -> Extent:
    total: Extent = form.constant
    for name, coefficient in form.terms:
        total = application.sizes[name] * coefficient + total
    return total


def _operations(body: Expression, placeholders: set[str]) -> int:
    """Operations that depend on data; arithmetic on sizes alone is done once."""

    def visit(item: Expression) -> tuple[int, bool]:
        if isinstance(item, Symbol):
            return 0, item.name in placeholders
        if isinstance(item, Call):
            parts = [visit(operand) for operand in item.operands]
            depends = any(part[1] for part in parts)
            return sum(part[0] for part in parts) + depends, depends
        return 0, False

    return visit(body)[0]


def _view(node: Node) -> bool:
    """Whether a node only renames the elements of its operand."""
    return node.formula is not None and all(s.write.flat for s in node.formula.statements)


def _elements_number(parameter: Node) -> int:
    total = 1
    for extent in parameter.shape:
        assert isinstance(extent, int)  # declared so: parameters are stored between calls
        total *= extent
    return total


def _parameter_formula(row: _Row) -> str:
    """Write the count as the lectures do: ``20·(5·5·3 + 1)`` for filters and a bias."""
    left = list(row.parameters)
    parts = []
    for weight in row.parameters:
        if len(weight.shape) < 2 or weight not in left:
            continue
        units, inner = _units(weight, row)
        if not inner:
            continue
        left.remove(weight)
        count = math.prod(units)
        bias = next((p for p in left if _elements_number(p) == count), None)
        text = "·".join(f"{extent:,}" for extent in inner)
        if bias is not None:
            left.remove(bias)
            text += " + 1"
        parts.append(f"{count:,}·({text})" if len(inner) > 1 or bias is not None else f"{count:,}·{text}")
    for shape in dict.fromkeys(p.shape for p in left):
        text = "·".join(f"{extent:,}" for extent in shape) or "1"
        several = sum(p.shape == shape for p in left)
        parts.append(f"{several}·{text}" if several > 1 else text)
    return " + ".join(parts)


def _units(weight: Node, row: _Row) -> tuple[list[int], list[int]]:
    """Split the extents of a weight: those that count units, and those that one unit sums over.

    A dimension counts units where its axes are written, and not together with an axis of the input alone (which
    makes it a place, as in a transposed convolution). Windows come before channels, the second axis of the input.
    """
    for application in row.applications.values():
        if weight not in application.operands:
            continue
        tensor = application.formula.inputs[application.operands.index(weight)]
        for statement in application.formula.statements:
            accesses = [access for _, access in statement.reads]
            own = next((access for access in accesses if access.tensor == tensor), None)
            if own is None or len(accesses) < 2 or len(own.index) != len(weight.shape):
                continue
            names = [_axes(item, statement) for item in own.index]
            every = set().union(*names)
            written = {a for i in statement.write.index if (of := _axes(i, statement)) <= every for a in of}
            seen = {
                a for access in accesses if access is not own for i in access.index[1:2] for a in _axes(i, statement)
            }
            units, windows, channels = [], [], []
            for axes, extent in zip(names, weight.shape, strict=True):
                (units if axes <= written else channels if axes <= seen else windows).append(extent)
            return units, [*windows, *channels]
    return [], []


def _axes(index: Index, statement: Statement) -> set[str]:
    """Axes of an index that is affine in them, sizes left out."""
    return set(index.names()) & {axis.name for axis in statement.axes} if isinstance(index, Affine) else set()


def _sum(values: Any) -> Extent:
    total: Extent = 0
    for value in values:
        total = value + total
    return total
