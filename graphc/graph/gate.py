"""Gates: a formula and what a formula cannot say; applying one declares nodes and checks shapes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from graphc.errors import FormulaError, GraphcError, ShapeError, Site, did_you_mean
from graphc.formula.definition import Definition, bind
from graphc.formula.expression import symbols
from graphc.formula.parser import index_elements, parse_expression, parse_lines
from graphc.formula.size import Extent
from graphc.formula.statement import Formula
from graphc.graph.node import Application, Node, as_node, call_site, check_name
from graphc.graph.shapes import Clash, Shape, extents, shape_text

__all__ = ["Gate", "Sample", "derived", "gate"]


@dataclass(frozen=True)
class Sample:
    """Operand shapes, attributes and known values: what tests, documents and drawings use.

    Parameters
    ----------
    shapes : tuple of tuple of int
        Shape of each operand.
    attributes : mapping
        Attributes of the call.
    interval : (float, float)
        Where operand values are drawn from, away from poles.
    values : tuple, optional
        ``(operands, result)`` with a source in ``source``.
    integers : mapping
        For integer operands, by position: the exclusive upper bound of their values.
    """

    shapes: tuple[tuple[int, ...], ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    interval: tuple[float, float] = (-2.0, 2.0)
    values: tuple[Any, Any] | None = None
    source: str = ""
    integers: Mapping[int, int] = field(default_factory=dict)


#: A definition that depends on the operands' shapes and the attributes (rank-generic gates).
DefinitionRule = Callable[[tuple[Shape, ...], Mapping[str, Any]], Definition]


@dataclass(frozen=True, eq=False)
class Gate:
    """One gate.

    Parameters
    ----------
    name : str
        Registry name, public function, label and file name: one word in every place.
    definition : Definition, str or callable
        The formula, or a rule that writes it for given shapes and attributes.
    operands : tuple of str
        Tensor names of the operands, in call order.
    symbol : str
        Short label for drawings.
    ties : str
        Who wins where the formula has a kink, or an empty string.
    stable : Definition, str or callable, optional
        An equal formula that is evaluated and differentiated instead, where the one above loses digits or overflows:
        documents show the definition, and the contract suite proves both equal.
    attributes : mapping
        Attributes with their defaults.
    prepare : callable, optional
        Normalises ``(shapes, attributes)`` before binding and refuses what does not fit.
    samples : tuple of Sample
        See `Sample`.
    source : str
        Paper or book, with equation number where there is one.
    dtype : str, optional
        Fixed dtype of the output; by default that of the float operands. ``"operands"``: whole numbers where every
        operand holds whole numbers, else as by default.
    optional : int
        How many operands, from the last, may be left out.
    variadic : bool
        Any number of operands; in the formula they are ``x0``, ``x1``, ... for the operand name ``x``.
    differentiable : bool
        False where no gradient flows (counts, positions, comparisons).
    scatter_only : str
        Why some adjoint has no gather form, or an empty string.
    """

    name: str
    definition: Definition | str | DefinitionRule
    operands: tuple[str, ...]
    symbol: str = ""
    ties: str = ""
    stable: Definition | str | DefinitionRule | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[tuple[Shape, ...], dict[str, Any]], Mapping[str, Any]] | None = None
    samples: tuple[Sample, ...] = ()
    source: str = ""
    dtype: str | None = None
    optional: int = 0
    variadic: bool = False
    differentiable: bool = True
    scatter_only: str = ""
    site: Site | None = None
    _bound: dict[Any, Formula] = field(default_factory=dict, repr=False)

    # ---- binding ---------------------------------------------------------------------------------

    def names(self, count: int) -> tuple[str, ...]:
        """Tensor names of ``count`` operands."""
        if self.variadic:
            return tuple(f"{self.operands[0]}{k}" for k in range(count))
        return self.operands[:count]

    def define(self, shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
        """Return the definition for given shapes and attributes: the formula that documents show."""
        return _definition(self.definition, shapes, attributes)

    def evaluated(self, shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
        """Return the formula that is evaluated: the stable one, where there is one."""
        return _definition(self.stable or self.definition, shapes, attributes)

    def textbook(self) -> Gate:
        """Return the gate with the formula that documents show evaluated as it stands."""
        return self if self.stable is None else replace(self, stable=None, _bound={})

    def text(self) -> str:
        """Formula text for documents: of the first sample where it depends on ranks."""
        if self.samples:
            sample = self.samples[0]
            merged = {**self.attributes, **sample.attributes}
            if self.prepare is not None:
                merged = dict(self.prepare(sample.shapes, merged))
            return self.define(sample.shapes, merged).text
        return self.definition if isinstance(self.definition, str) else self.define((), {}).text

    def bind(self, shapes: tuple[Shape, ...], attributes: Mapping[str, Any], *, whole: bool = False) -> Formula:
        """Return the formula for given shapes; one template for each rank, pattern and attributes.

        ``whole``: every tensor of the formula holds whole numbers.
        """
        definition = self.evaluated(shapes, attributes)
        names = self.names(len(shapes))
        ranks = tuple(len(shape) for shape in shapes)
        broadcast: dict[str, tuple[bool, ...]] = {}
        if _elementwise(definition.text):
            broadcast = self.pattern(shapes)
        key = (
            definition.text,
            tuple(sorted(definition.outside.items())),
            tuple(sorted(definition.extents.items())),
            ranks,
            tuple(broadcast.values()),
            tuple(sorted(attributes.items())),
            whole,
        )
        formula = self._bound.get(key)
        if formula is None:
            formula = bind(
                self.name,
                definition,
                dict(zip(names, ranks, strict=True)),
                attributes,
                inputs=names,
                broadcast=broadcast,
            )
            if whole:
                formula = replace(formula, integers=frozenset(formula.ranks))
            self._bound[key] = formula
        return formula

    def pattern(self, shapes: tuple[Shape, ...]) -> dict[str, tuple[bool, ...]]:
        """Which dimensions of each operand are repeated: NumPy's broadcasting, aligned at the right.

        Raises
        ------
        Clash
            If two extents differ and neither is 1.
        """
        rank = max((len(shape) for shape in shapes), default=0)
        full: list[Extent] = [1] * rank
        owner = [""] * rank
        names = self.names(len(shapes))
        for name, shape in zip(names, shapes, strict=True):
            for d, extent in enumerate(shape, rank - len(shape)):
                if extent == 1 or full[d] == extent:
                    continue
                if full[d] != 1:
                    raise Clash(
                        f"axis {d - rank} has two extents: {full[d]} in {owner[d]} and {extent} in {name}",
                        f"axis {d - rank}",
                        owner[d],
                        name,
                    )
                full[d], owner[d] = extent, name
        return {
            name: tuple(extent == 1 and full[d] != 1 for d, extent in enumerate(shape, rank - len(shape)))
            for name, shape in zip(names, shapes, strict=True)
        }

    # ---- applying --------------------------------------------------------------------------------

    def __call__(self, *operands: Any, **attributes: Any) -> Any:
        """Apply the gate to nodes; numbers and arrays become constants.

        Returns
        -------
        Node, or tuple of Node for a gate with several outputs
        """
        outputs = self.apply(operands, attributes)
        return outputs[0] if len(outputs) == 1 else outputs

    def apply(self, operands: tuple[Any, ...], attributes: Mapping[str, Any]) -> tuple[Node, ...]:
        """Apply the gate and return every output.

        Raises
        ------
        ShapeError
            If the number, rank, shape or dtype of the operands does not fit.
        """
        site = call_site()
        least = 1 if self.variadic else len(self.operands) - self.optional
        if len(operands) < least or (len(operands) > len(self.operands) and not self.variadic):
            count = "one or more" if self.variadic else f"{least} to " * bool(self.optional) + str(len(self.operands))
            raise ShapeError(
                f"{self.name} takes {count} operand(s) ({', '.join(self.operands)}), "
                f"found {len(operands)}\n  called at {site}",
                gate=self.name,
                site=site,
            )
        unknown = [name for name in attributes if name not in self.attributes]
        if unknown:
            raise ShapeError(
                f"{self.name} has no attribute {unknown[0]!r}{did_you_mean(unknown[0], self.attributes)}; "
                f"it has: {', '.join(self.attributes) or 'none'}\n  called at {site}",
                gate=self.name,
                site=site,
            )
        nodes = self.nodes(operands, site)
        shapes = tuple(node.shape for node in nodes)
        names = self.names(len(nodes))
        whole = self.dtype == "operands" and not any(node.is_float for node in nodes)
        given: dict[str, Any] = {**self.attributes, **attributes}
        merged: Mapping[str, Any] | None = None  # None until the attributes are known to be sound
        try:
            merged = given if self.prepare is None else dict(self.prepare(shapes, given))
            formula = self.bind(shapes, merged, whole=whole)
            self.check_dtypes(nodes, formula, site)
            sizes = extents(formula, dict(zip(names, shapes, strict=True)))
        except Clash as clash:
            repair = self.repair(clash, nodes, merged or given)
            text = self.message(str(clash), nodes, given, merged, site, repair)
            raise ShapeError(text, gate=self.name, shapes=shapes, site=site) from None
        except (ShapeError, FormulaError) as error:
            if isinstance(error, ShapeError) and error.site is not None:
                raise
            text = self.message(str(error), nodes, given, merged, site)
            raise ShapeError(text, gate=self.name, shapes=shapes, site=site) from None
        return _outputs(self, formula, nodes, merged, sizes, site, self.output_dtype(nodes))

    def nodes(self, operands: tuple[Any, ...], site: Site) -> list[Node]:
        """Operands as nodes; numbers take the dtype of the others, but a float stays one among whole numbers."""
        known = [o for o in operands if isinstance(o, Node)]
        floats = [n.dtype for n in known if n.is_float]
        dtype = "float64" if "float64" in floats else ("float32" if floats or not known else known[0].dtype)
        return [as_node(o, dtype, site, keep_floats=True) for o in operands]

    def output_dtype(self, nodes: list[Node]) -> str:
        """Dtype of the outputs."""
        if self.dtype == "operands" and not any(n.is_float for n in nodes):
            return "int32"
        if self.dtype not in (None, "operands"):
            return self.dtype
        floats = [n.dtype for n in nodes if n.is_float and n.kind != "constant"]
        return "float64" if "float64" in floats else "float32"

    def check_dtypes(self, nodes: list[Node], formula: Formula, site: Site) -> None:
        """Refuse floats where the formula uses a tensor as an index."""
        for name, node in zip(self.names(len(nodes)), nodes, strict=True):
            if name in formula.integers and node.is_float:
                raise ShapeError(
                    f"{self.name} needs integers for {name!r} (they are used as an index), found "
                    f"{node.label!r} of dtype {node.dtype} declared at {node.site}\n"
                    f"  called at {site}\n  Try: graphc.input({node.label!r}, ..., dtype='int32')",
                    gate=self.name,
                    node=node,
                    site=site,
                )

    def message(
        self,
        reason: str,
        nodes: list[Node],
        given: Mapping[str, Any],
        prepared: Mapping[str, Any] | None,
        site: Site,
        repair: str = "",
    ) -> str:
        """Word a message: formula, operands with shapes and sites, attributes, repair."""
        lines = [reason if reason.startswith(self.name) else f"{self.name}: {reason}"]
        if prepared is not None:
            try:
                text = self.define(tuple(n.shape for n in nodes), prepared).text
            except ShapeError:
                text = ""  # the rule itself refused these shapes, and the reason says why
            lines += [f"  formula  {line}" for line in text.strip().splitlines()]
        width = max((len(n.label) for n in nodes), default=0)
        for name, node in zip(self.names(len(nodes)), nodes, strict=True):
            lines.append(f"  {name:<8} {node.label!r:<{width + 2}} {shape_text(node.shape)}  declared at {node.site}")
        shown = {k: given[k] for k, default in self.attributes.items() if given[k] != default}
        if shown:
            lines.append("  with     " + ", ".join(f"{k}={v!r}" for k, v in shown.items()))
        lines.append(f"  called at {site}")
        if repair:
            lines.append(f"  Try: {repair}")
        return "\n".join(lines)

    def repair(self, clash: Clash, nodes: list[Node], attributes: Mapping[str, Any]) -> str:
        """Guess the likely repair: an operand transposed, or an extent to change at its declaration."""
        if clash.repair:
            return clash.repair
        names = self.names(len(nodes))
        by_name = dict(zip(names, nodes, strict=True))
        second = by_name.get(clash.second)
        for name, node in by_name.items():
            if len(node.shape) < 2:
                continue
            flipped = (*node.shape[:-2], node.shape[-1], node.shape[-2])
            shapes = tuple(flipped if n == name else by_name[n].shape for n in names)
            try:
                extents(self.bind(shapes, attributes), dict(zip(names, shapes, strict=True)))
            except (Clash, GraphcError):
                continue
            if flipped != node.shape:
                return f"transpose {node.label!r} (its shape would be {shape_text(flipped)}), declared at {node.site}"
        if clash.letter and second is not None and clash.first in by_name:
            first = by_name[clash.first]
            return (
                f"make {clash.letter} agree: change {second.label!r} {shape_text(second.shape)} at {second.site}, "
                f"or {first.label!r} {shape_text(first.shape)} at {first.site}"
            )
        return "check the shapes and attributes above"


def _definition(
    definition: Definition | str | DefinitionRule, shapes: tuple[Shape, ...], attributes: Mapping[str, Any]
) -> Definition:
    if callable(definition):
        definition = definition(shapes, attributes)
    return Definition(definition) if isinstance(definition, str) else definition


def _elementwise(text: str) -> bool:
    return "[" not in text


def _outputs(
    gate: Gate | None,
    formula: Formula,
    operands: list[Node] | tuple[Node, ...],
    attributes: Mapping[str, Any],
    sizes: Mapping[str, Extent],
    site: Site,
    dtype: str,
) -> tuple[Node, ...]:
    application = Application(gate, formula, tuple(operands), attributes, sizes, site)
    outputs = []
    for number, tensor in enumerate(formula.outputs):
        shape = tuple(sizes[f"{tensor}.{d}"] for d in range(formula.ranks[tensor]))
        own = "int32" if tensor in formula.integers else dtype
        outputs.append(Node("gate", shape, own, site, application=application, output=number))
    application.outputs = tuple(outputs)
    return application.outputs


def derived(
    formula: Formula,
    operands: tuple[Node, ...],
    sizes: Mapping[str, Extent],
    site: Site,
    dtype: str,
) -> tuple[Node, ...]:
    """Apply a derived formula (an adjoint): sizes are inherited from the application it came from."""
    known = dict(sizes)
    for tensor, node in zip(formula.inputs, operands, strict=True):
        count: Extent = 1
        for d, extent in enumerate(node.shape):
            known[f"{tensor}.{d}"] = extent
            count = extent * count
        known[f"{tensor}.size"] = count
    for name, expression in formula.extents.items():
        if name not in known:
            from graphc.graph.shapes import extent_of

            known[name] = extent_of(expression, known)
    return _outputs(None, formula, operands, {}, known, site, dtype)


def gate(
    text: str,
    *,
    name: str | None = None,
    outside: Mapping[str, int | str] | None = None,
    extents: Mapping[str, str] | None = None,
    symbol: str = "",
    **attributes: float,
) -> Gate:
    """Declare a gate from its formula; it reaches every backend, drawing and check.

    Parameters
    ----------
    text : str
        The formula, one statement a line, for example
        ``"y[n,i] = sum(x[n,stride*i+r] * w[r], r)"`` or ``"y = (x + sqrt(x**2 + 4)) / 2"``. It is read by
        graphc's own parser and never executed.
    name : str, optional
        Name on drawings and in messages; by default the name of the output.
    outside : mapping, optional
        Meaning of reads beyond a tensor: ``0`` or ``"skip"``, by tensor.
    extents : mapping, optional
        Extents of axes that do not follow from the formula.
    **attributes
        Names in the formula that are attributes, with their defaults.

    Returns
    -------
    Gate
        Call it on nodes. It is not entered into the registry.

    Raises
    ------
    FormulaError
        If the text is not in the language.

    Examples
    --------
    >>> import graphc
    >>> squareplus = graphc.gate("y = (x + sqrt(x**2 + 4)) / 2", name="squareplus")
    >>> x = graphc.input("x")
    >>> print(graphc.backward(squareplus(x)).at(x=0.0).grad("x"))
    0.5
    """
    site = call_site()
    lines = parse_lines(text)
    definition = Definition(text, dict(outside or {}), dict(extents or {}))
    operands = definition.inputs(attributes)
    if not operands:
        raise FormulaError(f"the formula {text.strip()!r} reads no tensor\n  declared at {site}", site=site)
    unused = [a for a in attributes if a not in text and not any(a in e for e in definition.extents.values())]
    if unused:
        raise FormulaError(
            f"the attribute {unused[0]!r} does not occur in the formula {text.strip()!r}\n  declared at {site}",
            site=site,
        )
    label = check_name(name or lines[-1][0], site)
    made = Gate(label, definition, operands, symbol or label, attributes=dict(attributes), site=site)
    # bind once with the ranks that the text itself shows, so that errors appear here and not at first use
    ranks = _written_ranks(definition, operands)
    try:
        bind(label, definition, ranks, attributes, inputs=operands)
    except FormulaError as error:
        raise FormulaError(f"{error}\n  declared at {site}", gate=label, site=site) from None
    return made


def _written_ranks(definition: Definition, operands: tuple[str, ...]) -> dict[str, int]:
    """Ranks that the text shows: indices of reads, and dimensions named in ``size(x, d)``."""
    ranks = dict.fromkeys(operands, 0)
    lines = parse_lines(definition.text)
    for tree in [e for line in lines for e in (line.value, *(line.indices or ()))]:
        for item in ast.walk(tree):
            match item:
                case ast.Subscript(value=ast.Name(id=tensor)) if tensor in ranks:
                    ranks[tensor] = len(index_elements(item))
    for text in definition.extents.values():
        for name in symbols(parse_expression(text)):
            tensor, dot, dimension = name.rpartition(".")
            if dot and tensor in ranks:
                ranks[tensor] = max(ranks[tensor], int(dimension) + 1)
    return ranks
