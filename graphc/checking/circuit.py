"""A graph as the checker sees it: values, gradients and local gradients at a point, exact or in float64.

Everything is evaluated node by node, so that a value used many times costs once; only texts for reading and
for proofs are expanded, under a limit. Arrays are small: named sizes are numbers from 2 to 4 here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy

from graphc.checking.conventions import Conventions
from graphc.checking.numbers import Numbers, exact, undefined
from graphc.checking.opened import choose_sizes, opened, steps_of
from graphc.checking.precise import OutsideDomain
from graphc.checking.ranges import intervals
from graphc.checking.state import Edge, Later, State, numbers_of
from graphc.checking.statements import KINKS, Program, kinks
from graphc.checking.structure import aligned, functions_of, keys, label_bounds
from graphc.errors import CheckError, DerivativeError
from graphc.formula.adjoint import Operand, adjoint
from graphc.formula.expression import (
    evaluate,
    symbols,
)
from graphc.formula.repeat import repeat_adjoint
from graphc.formula.size import extent_value
from graphc.formula.statement import Formula
from graphc.gradients.local import local_body
from graphc.graph.node import Application, Node, topological

_SMALLER = "Try: declare the same computation with smaller extents; a gradient does not depend on them"

__all__ = ["Circuit", "Edge", "Later", "State", "kinks"]


class Circuit:
    """The graph below ``root``, with repeats written out and cells opened.

    Parameters
    ----------
    root : Node
    upstream : Node or array, optional
        Gradient that arrives at the root; 1 for a scalar.
    sizes : mapping, optional
        Numbers for named sizes; by default small ones are chosen.
    conventions : Conventions, optional
        What counts as right on a kink.

    Attributes
    ----------
    nodes : list of Node
        Operands first; those of the upstream gradient too.
    below : list of Node
        Those below the root.
    edges : list of Edge
        Those along which gradients reach something that varies.
    standing : mapping
        Which of `nodes` stands for a node of the user's graph.

    Raises
    ------
    CheckError
        If the root has extents and no gradient arrives at it, or arrays are too large to be checked.
    """

    def __init__(
        self,
        root: Node,
        *,
        upstream: Any = None,
        sizes: Mapping[str, int] | None = None,
        conventions: Conventions | None = None,
    ) -> None:
        self.conventions = conventions or Conventions()
        above = [root, upstream] if isinstance(upstream, Node) else [root]
        self.sizes = choose_sizes(topological(above), sizes)
        self.standing = opened(above, self.sizes)
        self.given_root, self.given_upstream, self.given_sizes = root, upstream, dict(sizes or {})
        self.root = self.standing[root]
        if root.shape and upstream is None:
            raise CheckError(
                f"{root.label!r} is an array; its gradient needs the gradient that arrives at it: check "
                f"graphc.backward({root.label}, upstream=...), or reduce it to a scalar with graphc.sum first",
                node=root,
                shapes=(root.shape,),
                site=root.site,
            )
        self.upstream = self.standing[upstream] if isinstance(upstream, Node) else upstream
        self.nodes = topological([self.root, self.upstream] if isinstance(upstream, Node) else [self.root])
        self.below = topological([self.root])
        self.shapes = {n.id: tuple(extent_value(e, self.sizes) for e in n.shape) for n in self.nodes}
        leaves = [n for n in self.nodes if n.application is None and n.kind not in ("constant", "mode")]
        self.leaves = sorted(leaves, key=lambda n: n.id)  # as declared: so a counterexample reads best
        self.keys = keys(self.leaves)
        self.direct = {n.id: aligned(n.application, self.sizes) for n in self.nodes if n.application is not None}
        self.scalar = all(n.shape == () for n in self.nodes) and all(self.direct.values())
        self.edges = self._all_edges()
        self.edges_into: dict[int, list[int]] = {}
        for position, edge in enumerate(self.edges):
            self.edges_into.setdefault(edge.target.id, []).append(position)
        self._programs: dict[int, Program] = {}
        self._reads: dict[int, tuple[list[tuple[str, int]], dict[str, int]]] = {}
        self._adjoints: dict[int, tuple[Program, tuple[Operand, ...], str] | None] = {}
        self.kinked = [n for n in self.nodes if n.application is not None and self._has_kinks(n)]
        self.bounds = label_bounds(self.nodes, self.sizes)

    def _all_edges(self) -> list[Edge]:
        active = {n.id for n in self.leaves if n.is_float}
        for node in self.nodes:
            if node.is_float and any(o.id in active for o in node.operands):
                active.add(node.id)
        below = {n.id for n in self.below}
        edges = []
        for node in self.nodes:
            application = node.application
            if application is None or not node.is_float or node.id not in below:
                continue
            if application.gate is not None and not application.gate.differentiable and not self.direct[node.id]:
                continue
            formula = application.formula
            read = {tensor for s in formula.statements for tensor in s.tensors()}  # of some only the extents are
            for k, operand in enumerate(node.operands):
                if operand.is_float and operand.id in active and formula.inputs[k] in read:
                    slope = local_body(application.formula, k) if self.direct[node.id] else None
                    edges.append(Edge(operand, node, k, slope))
        return edges

    def _has_kinks(self, node: Node) -> bool:
        assert node.application is not None
        statements = node.application.formula.statements
        return any(s.operator in ("max", "min") or functions_of(s.body) & KINKS for s in statements)

    def operations(self) -> int:
        """About how many scalar operations a state takes."""
        total = 0
        for node in self.nodes:
            application = node.application
            if application is None:
                continue
            entries = int(numpy.prod(self.shapes[node.id], dtype=int))
            total += entries if self.direct[node.id] else self.program(application).points
        return 4 * total

    def resized(self) -> Circuit | None:
        """The same graph with other numbers for its named sizes; None where there are none but numbers of steps.

        Whoever writes 3 for the number of examples is right only as long as it is 3.
        """
        steps = steps_of(self.standing)
        fixed = {name: k for name, k in self.sizes.items() if name in steps or name in self.given_sizes}
        if len(fixed) == len(self.sizes):
            return None
        sizes = fixed | {name: k + 1 for name, k in self.sizes.items() if name not in fixed}
        return Circuit(self.given_root, upstream=self.given_upstream, sizes=sizes, conventions=self.conventions)

    # ---- numbers ---------------------------------------------------------------------------------

    def environment(self, node: Node, values: Mapping[int, Any]) -> dict[str, Any]:
        """Values of the placeholders of an elementwise gate's formula."""
        found = self._reads.get(node.id)
        if found is None:
            application = node.application
            assert application is not None
            statement = application.formula.statements[0]
            by_name = dict(zip(application.formula.inputs, node.operands, strict=True))
            extents = {n: application.sizes[n] for n in symbols(statement.body) if "." in n}
            found = (
                [(p, by_name[a.tensor].id) for p, a in statement.reads],
                {n: extent_value(e, self.sizes) for n, e in extents.items()},
            )
            self._reads[node.id] = found
        return {p: values[key] for p, key in found[0]} | found[1]

    def values(self, point: Mapping[str, Any], numbers: Numbers | None = None) -> dict[int, Any]:
        """Value of every node at a point, by number of the node.

        Raises
        ------
        OutsideDomain
            If some gate has no real value there.
        """
        return self.evaluated(point, numbers or exact())[0]

    def evaluated(self, point: Mapping[str, Any], numbers: Numbers) -> tuple[dict[int, Any], dict[int, dict[str, Any]]]:
        """Values of nodes, and the tensors inside of gates by application.

        Raises
        ------
        OutsideDomain
            If some gate has no real value there.
        """
        values: dict[int, Any] = {}
        inner: dict[int, dict[str, Any]] = {}
        with numpy.errstate(all="ignore"):
            for node in self.nodes:
                if node.application is None:
                    values[node.id] = self._leaf(node, point, numbers)
                    continue
                if self.direct[node.id]:
                    body = node.application.formula.statements[0].body
                    value = evaluate(body, self.environment(node, values), numbers.functions, numbers.literal)
                    values[node.id] = self._shaped(value, self.shapes[node.id], numbers)
                else:
                    key = id(node.application)
                    if key not in inner:
                        formula = node.application.formula
                        operands = zip(formula.inputs, node.operands, strict=True)
                        inputs = {name: values[o.id] for name, o in operands}
                        inner[key] = self.program(node.application).run(inputs, numbers)
                    found = inner[key][node.application.formula.outputs[node.output]]
                    values[node.id] = found if found.shape else found[()]
                if not self.scalar and undefined(values[node.id]):
                    raise OutsideDomain(f"{node.label} has no real value")
        return values, inner

    def _leaf(self, node: Node, point: Mapping[str, Any], numbers: Numbers) -> Any:
        if node.kind not in ("constant", "mode"):
            value = point[self.keys[node.id]]
        else:
            assert node.value is not None
            value = node.value if self.shapes[node.id] else float(node.value)
        if not node.is_float and self.shapes[node.id]:
            return numpy.asarray(value).astype("int64")
        return numbers.array(value)

    @staticmethod
    def _shaped(value: Any, shape: tuple[int, ...], numbers: Numbers) -> Any:
        """A value with the shape of its node: a body may be a single number for all elements."""
        if not shape:
            return value[()] if isinstance(value, numpy.ndarray) else value
        if isinstance(value, numpy.ndarray) and value.shape == shape and value.dtype == numbers.dtype:
            return value
        if not isinstance(value, numpy.ndarray):
            filled = numpy.empty(shape, dtype=numbers.dtype)
            filled.fill(value)
            return filled
        if value.dtype != numbers.dtype:
            value = numbers.array(value)
        return numpy.broadcast_to(value, shape)

    def program(self, application: Application) -> Program:
        """The formula of a gate with all sizes known."""
        key = id(application)
        if key not in self._programs:
            sizes = {name: extent_value(e, self.sizes) for name, e in application.sizes.items()}
            self._programs[key] = self._made(application.formula, sizes, application)
        return self._programs[key]

    @staticmethod
    def _made(formula: Formula, sizes: Mapping[str, int], application: Application, **options: Any) -> Program:
        try:
            return Program(formula, sizes, **options)
        except OutsideDomain as error:
            raise CheckError(
                f"{application.formula.name}: {error}\n  declared at {application.site}\n  {_SMALLER}",
                site=application.site,
            ) from None

    def state(self, point: Mapping[str, Any], precision: str = "exact") -> State:
        """Evaluate everything at a point.

        Parameters
        ----------
        point : mapping
            Number or array of each leaf, by its key in `keys`.
        precision : "exact", "double" or "formulas"
            Numbers of mpmath in its working precision, float64, or formulas of the symbols that a point holds.

        Raises
        ------
        OutsideDomain
            If some gate has no real value there.
        """
        numbers = numbers_of(precision)
        values, inner = self.evaluated(point, numbers)
        state = State(point, values, {}, [], {}, self.sizes, precision, inner, values)
        state.slopes = self.slopes_at(values, self.fixed_sides(), numbers)
        state.gradients = self.sweep(state)
        if self.kinked and not numbers.formulas:
            import mpmath

            state.intervals = Later(functools.partial(intervals, self, state, mpmath.mp.dps))
        return state

    def fixed_sides(self) -> dict[int, int]:
        """Gates whose slope at a tie is not the one that graphc takes itself, but the other one."""
        if self.conventions.relu_at_zero != 1:
            return {}
        return {node.id: -1 for node in self.kinked if node.gate == "relu"}

    def loose(self, node: Node) -> bool:
        """Whether any slope between those on either side is right at a tie of a gate."""
        if node.gate == "relu":
            return self.conventions.relu_at_zero == "interval"
        return self.conventions.ties == "interval"

    # ---- gradients -------------------------------------------------------------------------------

    def slopes_at(self, values: Mapping[int, Any], sides: Mapping[int, int], numbers: Numbers) -> list[Any]:
        """Derivative of every edge that works element by element."""
        result = []
        with numpy.errstate(all="ignore"):
            for edge in self.edges:
                side = sides.get(edge.target.id)
                functions = numbers.functions if side is None else numbers.sided[side]
                result.append(self.slope_of(edge, values, functions, numbers))
        return result

    def slope_of(
        self, edge: Edge, values: Mapping[int, Any], functions: Mapping[str, Callable[..., Any]], numbers: Numbers
    ) -> Any:
        """Derivative of an edge under some functions; None where it does not work element by element."""
        if edge.slope is None:
            return None
        inner = self.environment(edge.target, values)
        value = evaluate(edge.slope, inner, functions, numbers.literal)
        return self._shaped(value, self.shapes[edge.target.id], numbers)

    def seed(self, values: Mapping[int, Any], numbers: Numbers) -> Any:
        """What arrives at the root."""
        if self.upstream is None:
            return numbers.literal(1)
        if isinstance(self.upstream, Node):
            return values[self.upstream.id]
        return self._shaped(numbers.array(numpy.asarray(self.upstream)), self.shapes[self.root.id], numbers)

    def zero(self, node: Node, numbers: Numbers) -> Any:
        """Zeros of the shape of a node."""
        return self._shaped(numbers.literal(0), self.shapes[node.id], numbers)

    def sweep(self, state: State, slopes: list[Any] | None = None) -> dict[int, Any]:
        """Gradients of all nodes, under the slopes of a state or others."""
        numbers = state.numbers
        gradients: dict[int, Any] = {node.id: self.zero(node, numbers) for node in self.nodes}
        gradients[self.root.id] = self.seed(state.values, numbers)
        reached = {self.root.id}
        with numpy.errstate(all="ignore"):
            for node in reversed(self.nodes):
                upstream = gradients[node.id]
                if node.id not in reached or not bool(numpy.any(upstream)):
                    continue
                for position in self.edges_into.get(node.id, ()):
                    source = self.edges[position].source
                    term = self._pulled(position, state, upstream, slopes)
                    gradients[source.id] = gradients[source.id] + term if source.id in reached else term
                    reached.add(source.id)
        if not self.scalar and any(undefined(gradients[key]) for key in reached):
            raise OutsideDomain("a gradient has no real value")
        return gradients

    def pull(self, position: int, state: State, upstream: Any) -> Any:
        """What flows back along one edge: its vector-Jacobian product.

        Parameters
        ----------
        position : int
            In `edges`.
        upstream : number or array
            Of the shape of the edge's target.

        Returns
        -------
        number or array
            Of the shape of the edge's source.
        """
        with numpy.errstate(all="ignore"):
            return self._pulled(position, state, upstream, None)

    def local_factor(self, position: int, state: State) -> Any:
        """Derivative of an edge that works element by element, of the shape of its target; None for others."""
        if state.fresh or state.slopes[position] is None:
            return state.slopes[position]
        edge = self.edges[position]
        side = self.fixed_sides().get(edge.target.id)
        functions = state.numbers.functions if side is None else state.numbers.sided[side]
        with numpy.errstate(all="ignore"):
            return self.slope_of(edge, state.values, functions, state.numbers)

    def _pulled(self, position: int, state: State, upstream: Any, slopes: list[Any] | None) -> Any:
        edge, numbers = self.edges[position], state.numbers
        factor = slopes[position] if slopes is not None else self.local_factor(position, state)
        if factor is not None:
            return self.fitted(upstream * factor, edge, numbers)
        made = self.adjoint_of(position)
        if made is None:
            return self.zero(edge.source, numbers)
        program, operands, result = made
        inputs = self.adjoint_inputs(edge, program, operands, state)
        for name, role in zip(program.formula.inputs, operands, strict=True):
            if role.role == "upstream":
                inputs[name] = self._shaped(upstream, self.shapes[edge.target.id], numbers)
        side = self.fixed_sides().get(edge.target.id)
        if side is not None:
            numbers = replace(numbers, functions=numbers.sided[side])
        found = program.run(inputs, numbers)[result]
        return found if found.shape else found[()]

    def fitted(self, term: Any, edge: Edge, numbers: Numbers) -> Any:
        """A product over the target's elements, summed where the source was broadcast."""
        shape = self.shapes[edge.source.id]
        if not isinstance(term, numpy.ndarray):
            return term if not shape else self._shaped(term, shape, numbers)
        term = numpy.broadcast_to(term, self.shapes[edge.target.id])
        extra = term.ndim - len(shape)
        axes = tuple(range(extra)) + tuple(
            extra + d for d, extent in enumerate(shape) if extent == 1 and term.shape[extra + d] != 1
        )
        if axes:
            term = term.sum(axis=axes)
        return term.reshape(shape) if shape else (term[()] if isinstance(term, numpy.ndarray) else term)

    def adjoint_of(self, position: int) -> tuple[Program, tuple[Operand, ...], str] | None:
        """Program of an edge's vector-Jacobian product, what its inputs are bound to, and its result."""
        if position in self._adjoints:
            return self._adjoints[position]
        edge = self.edges[position]
        application = edge.target.application
        assert application is not None
        formula = application.formula
        tensor, output = formula.inputs[edge.k], formula.outputs[edge.target.output]
        made = None
        try:
            if formula.repeats:
                template = repeat_adjoint(formula, [tensor], (output,), application.sizes)
                if tensor in template.gradients:
                    made = (template.formula, template.operands, template.gradients[tensor], dict(template.sizes))
            else:
                found = adjoint(formula, tensor, (output,))
                if found is not None:
                    made = (found.formula, found.operands, found.formula.outputs[0], dict(application.sizes))
        except DerivativeError as error:
            raise CheckError(f"{error}\n  declared at {application.site}", site=application.site) from None
        if made is None:
            self._adjoints[position] = None
            return None
        derived, operands, result, extents = made
        sizes = {name: extent_value(e, self.sizes) for name, e in extents.items()}
        shapes = {result: self.shapes[edge.source.id]}
        for name, role in zip(derived.inputs, operands, strict=True):
            node = self._bound(application, role)
            shapes[name] = tuple(extent_value(e, self.sizes) for e in node.shape)
        for name, shape in shapes.items():
            sizes |= {f"{name}.{d}": extent for d, extent in enumerate(shape)}
            sizes[f"{name}.size"] = int(numpy.prod(shape, dtype=int))
        for name, expression in derived.extents.items():
            if name not in sizes:
                sizes[name] = int(evaluate(expression, sizes, _WHOLE, int))
        upstream = [n for n, role in zip(derived.inputs, operands, strict=True) if role.role == "upstream"]
        known = () if formula.repeats else formula.statements
        program = self._made(derived, sizes, application, upstream=upstream, known=known)
        self._adjoints[position] = (program, operands, result)
        return self._adjoints[position]

    @staticmethod
    def _bound(application: Application, role: Operand) -> Node:
        if role.role == "input":
            return application.operands[application.formula.inputs.index(role.tensor)]
        return application.outputs[application.formula.outputs.index(role.tensor)]

    def adjoint_inputs(
        self, edge: Edge, program: Program, operands: tuple[Operand, ...], state: State
    ) -> dict[str, Any]:
        """Values that an adjoint reads; what the forward pass computed on its way is not computed again."""
        application = edge.target.application
        assert application is not None
        formula = application.formula
        held = state.inner.get(id(application))
        tensors = held if state.fresh else None
        if tensors is None:
            # an output that nobody below the root reads is no node of the circuit: only the forward pass knows it
            tensors = {name: held[name] for name in formula.outputs if name in held} if held is not None else {}
            tensors |= zip(formula.inputs, (state.values[o.id] for o in application.operands), strict=True)
            outputs = zip(formula.outputs, application.outputs, strict=True)
            tensors |= {name: state.values[o.id] for name, o in outputs if o.id in state.values}
        inputs = {}
        for name, role in zip(program.formula.inputs, operands, strict=True):
            if role.role != "upstream":
                inputs[name] = tensors[role.tensor]
        for name in formula.temporaries():
            if name in tensors and name not in inputs:
                inputs[name] = tensors[name]
        return inputs

    def contributions(self, target: Node, state: State) -> list[tuple[Edge, Any]]:
        """Edges that leave ``target``, with what each adds to its gradient."""
        return [
            (edge, self.pull(position, state, state.gradients[edge.target.id]))
            for position, edge in enumerate(self.edges)
            if edge.source is target
        ]


_WHOLE = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "neg": lambda a: -a,
          "floordiv": lambda a, b: a // b, "div": lambda a, b: a // b, "max": max, "min": min}  # fmt: skip
