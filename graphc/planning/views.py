"""Two views of a convolution, read off its formula: a sparse matrix with shared weights, and patches times filters.

Nothing here knows the name of a gate. Any formula ``y[...] = sum(x[...] * w[...], ...)`` has both views: the indices,
affine in the axes, say which weight stands at which place. A part of the sums may be cut out by a second line, as a
transposed convolution cuts off its padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy

from graphc.errors import GraphcError
from graphc.formula.expression import Call, Symbol
from graphc.formula.size import Extent, extent_value
from graphc.formula.statement import Access, Affine, Formula, Interval, Statement, affine_extent
from graphc.graph.node import Application, Node
from graphc.graph.reference import bind_sizes, numeric_array
from graphc.graph.shapes import shape_text

if TYPE_CHECKING:
    import scipy.sparse

__all__ = ["Patches", "Toeplitz", "patches", "toeplitz"]

Array = numpy.ndarray


# ---- reading the formula ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Product:
    """The sum of products of a formula, with its operands told apart, and the line that cuts a part out of it."""

    statement: Statement
    cut: Statement | None
    application: Application
    x: Access
    w: Access
    image: Node
    weight: Node
    result: Node
    example: str  # axis that runs along examples, or an empty string

    def extents(self, sizes: Mapping[str, int], axes: Iterable[str]) -> dict[str, int]:
        """Extent of each of the axes, and value of every size of the formula that is known."""
        known: dict[str, int] = {}
        for name, extent in self.application.sizes.items():
            try:
                known[name] = extent_value(extent, sizes)
            except KeyError:
                continue  # refused below, if an axis has it
        wanted = set(axes)
        for axis in (*self.statement.axes, *(self.cut.axes if self.cut else ())):
            if axis.name not in wanted:
                continue
            unknown = sorted(set(axis.extent.names()) - set(known))
            if unknown:
                extent = affine_extent(axis.extent, self.application.sizes)
                raise GraphcError(
                    f"the axis {axis.name} of {self.result.label!r} has the extent {extent}, which must be a number "
                    f"for this view\n  declared at {self.result.site}",
                    node=self.result,
                )
            known[axis.name] = axis.extent.value(known)
        return known

    def summed(self, sizes: Mapping[str, int], skip: int) -> tuple[int, ...]:
        """Extents of what the sum of products writes, less the leading ones."""
        tensor = self.statement.write.tensor
        extents = (self.application.sizes[f"{tensor}.{d}"] for d in range(skip, len(self.statement.write.index)))
        return tuple(extent_value(extent, sizes) for extent in extents)

    def kept(self, sizes: Mapping[str, int], shape: tuple[int, ...], skip: int) -> Array:
        """Where each summed element stands in the result, of ``shape``, or -1 where it is cut off."""
        summed = self.summed(sizes, skip)
        if self.cut is None:
            return numpy.arange(math.prod(summed))
        first = _plain(self.cut.write, 0) if skip else None
        axes = [axis.name for axis in self.cut.axes if axis.name != first]
        known = self.extents(sizes, axes)
        grid, points = _grid(axes, known), tuple(known[name] for name in axes)
        (read,) = (access for _, access in self.cut.reads)
        source, inside = _positions(Access(read.tensor, read.index[skip:]), summed, grid, points)
        target, _ = _positions(Access(self.cut.write.tensor, self.cut.write.index[skip:]), shape, grid, points)
        found = numpy.full(math.prod(summed), -1)
        found[source[inside]] = target[inside]
        return found


def _product(node: Any, view: str) -> _Product:
    if not isinstance(node, Node):
        raise GraphcError(
            f"{view} needs a node, the result of a convolution, found {type(node).__name__}: {node!r:.60}"
        )
    application = node.application
    found = _factors(application.formula) if application is not None else None
    if application is None or found is None:
        formula = f": {application.formula}" if application is not None else ""
        raise GraphcError(
            f"{view} needs a node whose formula is one sum of products x[...] * w[...], found the {node.kind} "
            f"{node.label!r}{formula}\n  declared at {node.site}\n"
            "  Try: the convolution alone, for a layer the operand of its bias, or bias=False",
            node=node,
        )
    by_name = dict(zip(application.formula.inputs, application.operands, strict=True))
    first, second = found
    # the parameter is the weight; where that does not tell them apart, the second factor
    if by_name[first.tensor].kind == "parameter" and by_name[second.tensor].kind != "parameter":
        first, second = second, first
    statement = application.formula.statements[0]
    leading = [_plain(access, 0) for access in (first, statement.write)]
    axis = leading[0] if leading[0] == leading[1] and leading[0] not in second.axes() else ""
    image, weight = by_name[first.tensor], by_name[second.tensor]
    cut = application.formula.statements[1] if len(application.formula.statements) > 1 else None
    return _Product(statement, cut, application, first, second, image, weight, node, axis or "")


def _factors(formula: Formula) -> tuple[Access, Access] | None:
    """Return the reads of ``x`` and ``w``, if the formula is one sum of their products."""
    statement, *further = formula.statements
    if len(further) > 1 or not all(_cuts(item, statement.write.tensor) for item in further):
        return None
    reads, body = dict(statement.reads), statement.body
    if statement.operator not in ("set", "sum") or statement.accumulate or statement.lets or len(reads) != 2:
        return None
    if not (isinstance(body, Call) and body.function == "mul" and all(isinstance(o, Symbol) for o in body.operands)):
        return None
    names = [o.name for o in body.operands if isinstance(o, Symbol)]
    if set(names) != set(reads):
        return None
    first, second = reads[names[0]], reads[names[1]]
    accesses = (first, second, statement.write)
    if first.tensor == second.tensor or any(
        a.flat or not all(isinstance(i, Affine) for i in a.index) for a in accesses
    ):
        return None
    # the intervals of a formula that was declared say where a read is inside its tensor; others are derived ones
    return (first, second) if all(isinstance(guard, Interval) for guard in statement.guards) else None


def _cuts(statement: Statement, tensor: str) -> bool:
    """Whether a statement only cuts a part out of a tensor."""
    accesses = [access for _, access in statement.reads]
    return (
        [access.tensor for access in accesses] == [tensor]
        and statement.operator == "set"
        and isinstance(statement.body, Symbol)
        and not (statement.lets or statement.accumulate or statement.write.flat or accesses[0].flat)
        and all(isinstance(item, Affine) for item in (*accesses[0].index, *statement.write.index))
    )


def _plain(access: Access, dimension: int) -> str | None:
    item = access.index[dimension] if len(access.index) > dimension else None
    return item.plain() if isinstance(item, Affine) else None


def _grid(axes: Iterable[str], known: Mapping[str, int]) -> dict[str, Any]:
    """Every point of a domain: sizes as they are, and each axis as an array along its own dimension."""
    names = list(axes)
    environment: dict[str, Any] = dict(known)
    for k, name in enumerate(names):
        environment[name] = numpy.arange(known[name]).reshape([-1 if d == k else 1 for d in range(len(names))])
    return environment


def _positions(
    access: Access, shape: tuple[int, ...], grid: Mapping[str, Any], points: tuple[int, ...]
) -> tuple[Any, Any]:
    """Row-major element of each read or write, and whether it lies inside the tensor."""
    position, inside = numpy.zeros(points, dtype="int64"), numpy.ones(points, dtype=bool)
    for item, extent in zip(access.index, shape, strict=True):
        assert isinstance(item, Affine)  # checked by _factors
        index = item.value(grid)
        position = position * extent + index
        inside = inside & (index >= 0) & (index < extent)
    return numpy.where(inside, position, 0), inside


def _numbers(shape: Iterable[Extent], node: Node) -> tuple[int, ...]:
    shape = tuple(shape)
    if not all(isinstance(extent, int) for extent in shape):
        raise GraphcError(
            f"{node.label!r} has the shape {shape_text(shape)}, whose extents must be numbers for this view\n"
            f"  declared at {node.site}",
            node=node,
        )
    return tuple(int(str(extent)) for extent in shape)


# ---- the sparse matrix --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Toeplitz:
    """A convolution as one sparse matrix: ``y.ravel() = matrix(weight) @ x.ravel()`` for each example.

    Entry ``k`` stands in row ``rows[k]`` and column ``columns[k]`` and is element ``elements[k]`` (row-major) of
    the weight. Print it to see the pattern.

    Attributes
    ----------
    rows, columns, elements : array of int
        One item for each product that the convolution forms.
    output_shape, input_shape : tuple of int
        Of one example.
    weight_shape : tuple of int
    """

    rows: Array = field(repr=False)
    columns: Array = field(repr=False)
    elements: Array = field(repr=False)
    output_shape: tuple[int, ...]
    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Elements of one result, elements of one input."""
        return math.prod(self.output_shape), math.prod(self.input_shape)

    @property
    def uses(self) -> Array:
        """How many entries each element of the weight fills: 1 everywhere means that nothing is shared."""
        count = numpy.bincount(self.elements, minlength=math.prod(self.weight_shape))
        return count.reshape(self.weight_shape)

    def sparse(self, weight: Any) -> scipy.sparse.csr_array:
        """Return the matrix with the values of a weight, in compressed rows."""
        import scipy.sparse

        values = self._weight(weight).ravel()[self.elements]
        return scipy.sparse.csr_array((values, (self.rows, self.columns)), shape=self.shape)

    def matrix(self, weight: Any) -> Array:
        """Return the matrix with the values of a weight, zeros written out."""
        return self.sparse(weight).toarray()

    def _weight(self, weight: Any) -> Array:
        array = numpy.asarray(weight, dtype="float64")
        if array.shape != self.weight_shape:
            raise GraphcError(f"the weight needs the shape {self.weight_shape}, found {array.shape}")
        return array

    def __str__(self) -> str:
        """Write the pattern, ``w3`` for element 3 of the weight and a point for zero; only its size if it is wide."""
        height, width = self.shape
        if height > 40 or width > 40:
            return f"{height:,} x {width:,}, {len(self.rows):,} of {height * width:,} entries are not zero"
        cells: list[list[list[str]]] = [[[] for _ in range(width)] for _ in range(height)]
        for row, column, element in zip(self.rows, self.columns, self.elements, strict=True):
            cells[row][column].append(f"w{element}")
        table = [["+".join(cell) or "." for cell in line] for line in cells]
        wide = max((len(cell) for line in table for cell in line), default=1)
        return "\n".join(" ".join(cell.ljust(wide) for cell in line).rstrip() for line in table)


def toeplitz(conv: Node) -> Toeplitz:
    """View a convolution as a sparse matrix in which weights are shared.

    Parameters
    ----------
    conv : Node
        Result of a gate whose formula is one sum of products, such as ``graphc.conv2d(x, w)``; all extents but
        the number of examples are numbers.

    Returns
    -------
    Toeplitz

    Raises
    ------
    GraphcError
        If the formula is not one sum of products, or an extent is not a number.

    Notes
    -----
    The weight is the operand that is a parameter, else the second one. Examples run along the first axis where
    input and result share it and the weight has not got it. Products with padding have no entry. Memory: three
    whole numbers for each product of one example.

    Source
    ------
    Gray, Toeplitz and Circulant Matrices (2006), section 1; Goodfellow, Bengio, Courville, Deep Learning (2016),
    section 9.1.

    Examples
    --------
    >>> import graphc
    >>> x, w = graphc.input("x", (5,)), graphc.parameter("w", (3,))
    >>> slide = graphc.gate("y[i] = sum(x[i+r] * w[r], r)")
    >>> print(graphc.toeplitz(slide(x, w)))
    w0 w1 w2 .  .
    .  w0 w1 w2 .
    .  .  w0 w1 w2
    """
    product = _product(conv, "toeplitz")
    statement, skip = product.statement, int(bool(product.example))
    axes = [axis.name for axis in statement.axes if axis.name != product.example]
    known = product.extents({}, axes)
    grid = _grid(axes, known) | ({product.example: 0} if skip else {})
    points = tuple(known[name] for name in axes)
    output_shape = _numbers(conv.shape[skip:], conv)
    input_shape = _numbers(product.image.shape[skip:], product.image)
    weight_shape = _numbers(product.weight.shape, product.weight)
    keep = numpy.ones(points, dtype=bool)
    found = []
    for access, shape, first in (
        (statement.write, product.summed({}, skip), skip),
        (product.x, input_shape, skip),
        (product.w, weight_shape, 0),
    ):
        position, inside = _positions(Access(access.tensor, access.index[first:]), shape, grid, points)
        keep = keep & inside
        found.append(position)
    rows, columns, elements = (position[keep] for position in found)
    rows = product.kept({}, output_shape, skip)[rows]
    columns, elements, rows = columns[rows >= 0], elements[rows >= 0], rows[rows >= 0]
    order = numpy.lexsort((elements, columns, rows))
    return Toeplitz(rows[order], columns[order], elements[order], output_shape, input_shape, weight_shape)


# ---- patches times filters ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Patches:
    """A convolution as ``patch_matrix(x) @ filter_matrix(weight)``, one row for each place of the window.

    Where places or groups have filters of their own, both matrices have a leading axis that counts them, and the
    product is one for each.

    Attributes
    ----------
    places, filters, elements, batches : tuple of str
        Axes of the formula that run along the rows of the patch matrix, along the columns of the filter matrix,
        along the elements of a patch, and along the leading axis.
    """

    places: tuple[str, ...]
    filters: tuple[str, ...]
    elements: tuple[str, ...]
    batches: tuple[str, ...]
    _product: _Product = field(repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Places of one example, elements of a patch."""
        places = [name for name in self.places if name != self._product.example]
        known = self._product.extents({}, (*places, *self.elements))
        return math.prod(known[n] for n in places), math.prod(known[n] for n in self.elements)

    def patch_matrix(self, x: Any) -> Array:
        """Return what the window sees at each place: (places of all examples, elements of a patch)."""
        image = numeric_array(self._product.image, x)
        axes = (*self.batches, *self.places, *self.elements)
        return self._gather(self._product.x, image, axes, bind_sizes({self._product.image: image}))

    def filter_matrix(self, weight: Any) -> Array:
        """Return the filters as columns: (elements of a patch, filters)."""
        array = numeric_array(self._product.weight, weight)
        axes = (*self.batches, *self.elements, *self.filters)
        return self._gather(self._product.w, array, axes, bind_sizes({self._product.weight: array}))

    def result(self, x: Any, weight: Any) -> Array:
        """Return the product of the two matrices, put in order as the result of the convolution."""
        product = self._product
        sizes = bind_sizes(
            {product.image: numeric_array(product.image, x), product.weight: numeric_array(product.weight, weight)}
        )
        axes = (*self.batches, *self.places, *self.filters)
        known = product.extents(sizes, axes)
        points = tuple(known[name] for name in axes)
        values = (self.patch_matrix(x) @ self.filter_matrix(weight)).reshape(points)
        grid = _grid(axes, known)
        shape = tuple(extent_value(extent, sizes) for extent in product.result.shape)
        summed = product.summed(sizes, 0)
        position, keep = _positions(product.statement.write, summed, grid, points)
        total = numpy.bincount(position[keep], values[keep], minlength=math.prod(summed))
        place, result = product.kept(sizes, shape, 0), numpy.zeros(math.prod(shape))
        result[place[place >= 0]] = total[place >= 0]
        return result.reshape(shape)

    def _gather(self, access: Access, array: Array, axes: tuple[str, ...], sizes: Mapping[str, int]) -> Array:
        known = self._product.extents(sizes, axes)
        points = tuple(known[name] for name in axes)
        grid = _grid(axes, known)
        position, inside = _positions(access, array.shape, grid, points)
        values = numpy.where(inside, array.ravel()[position] if array.size else 0.0, 0.0)
        inner = self.elements if access is self._product.x else self.filters
        width = math.prod(known[name] for name in inner)
        leading = math.prod(known[name] for name in self.batches)
        return values.reshape((leading, -1, width) if self.batches else (-1, width))


def patches(conv: Node) -> Patches:
    """View a convolution as a matrix of patches times a matrix of filters.

    Parameters
    ----------
    conv : Node
        Result of a gate whose formula is one sum of products, such as ``graphc.conv2d(x, w)``.

    Returns
    -------
    Patches

    Raises
    ------
    GraphcError
        If the formula is not one sum of products.

    Notes
    -----
    Axes of the result that only the input has are places, those that only the weight has are filters, those of
    both count pairs of matrices (groups, or places with weights of their own); summed axes are the elements of a
    patch. Reads outside the input are zeros.

    Source
    ------
    Chellapilla, Puri, Simard, IWFHR (2006), section 2.

    Examples
    --------
    >>> import graphc
    >>> x, w = graphc.input("x", ("N", 3, 32, 32)), graphc.parameter("w", (6, 3, 5, 5))
    >>> graphc.patches(graphc.conv2d(x, w)).shape
    (784, 75)
    """
    product = _product(conv, "patches")
    statement = product.statement
    seen, weighted, reduced = product.x.axes(), product.w.axes(), statement.reduced()
    free = statement.free()
    return Patches(
        tuple(name for name in free if name not in weighted),
        tuple(name for name in free if name in weighted and name not in seen),
        tuple(reduced),
        tuple(name for name in free if name in weighted and name in seen),
        product,
    )
