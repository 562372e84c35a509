"""Values, gradients and local gradients at one point, in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy

from graphc.errors import DataError, DerivativeError, did_you_mean
from graphc.formula.adjoint import adjoint
from graphc.formula.expression import evaluate as evaluate_expression
from graphc.formula.expression import to_text
from graphc.formula.numeric import NUMPY
from graphc.formula.size import extent_value
from graphc.gradients.local import elementwise, local_body, local_expression
from graphc.gradients.table import format_table
from graphc.graph import verbs
from graphc.graph.node import Node
from graphc.graph.reference import bind_sizes, evaluate_all, numeric_array, run_formula

if TYPE_CHECKING:
    from graphc.gradients.backward import Backward
    from graphc.gradients.flow import Flow

__all__ = ["Run", "gather_values"]

#: Largest Jacobian that is written out, in entries.
JACOBIAN_ENTRIES = 10**6


def gather_values(
    back: Backward,
    values: Mapping[Any, Any] | None,
    parameters: Mapping[str, Any] | None,
    named: Mapping[str, Any],
) -> dict[Node, Any]:
    """Collect one value for every leaf, by node or name."""
    leaves = [n for n in back.nodes if n.application is None and n.kind != "constant"]
    known = frozenset(leaves)
    by_name = {n.name: n for n in leaves if n.name is not None}
    found: dict[Node, Any] = {}
    for key, value in [*(values or {}).items(), *named.items()]:
        node = key if isinstance(key, Node) else by_name.get(key)
        if node is None or node not in known:
            raise DataError(
                f"no input or parameter is named {key!r}{did_you_mean(str(key), by_name)}; "
                f"leaves of the graph: {', '.join(by_name)}"
            )
        found[node] = value
    for name, value in (parameters or {}).items():
        node = by_name.get(name)
        if node is not None and node not in found:
            found[node] = value
    for node in leaves:
        if node in found:
            continue
        if node.kind == "mode":
            found[node] = 1
        elif isinstance(node.initial, numpy.ndarray):
            found[node] = node.initial
        elif node.kind != "input" and node.initial is None:
            found[node] = numpy.zeros(tuple(int(str(e)) for e in node.shape))
        else:
            missing = [n.label for n in leaves if n not in found]
            asked = f"{missing[0]}=..." if missing[0].isidentifier() else f"{{{missing[0]!r}: ...}}"
            raise DataError(
                f"no value for {', '.join(map(repr, missing))}; hand it in by name: back.at({asked})\n"
                f"  {node.label!r} declared at {node.site}",
                node=node,
                site=node.site,
            )
    return {node: numeric_array(node, value) for node, value in found.items()}


class Run:
    """One evaluation of a graph and its gradients; arrays are float64, scalars are 0-d arrays."""

    def __init__(self, back: Backward, leaves: dict[Node, Any]) -> None:
        self.back = back
        self.leaves = leaves
        roots = [
            back.root,
            *(back.grad(n) for n in back.nodes if back.has_grad(n)),
            *back.edges.values(),
        ]
        seed = back.seed
        values = dict(leaves)
        if seed.kind == "constant":
            values[seed] = seed.value
        self.given = values
        self._values = evaluate_all(roots, values)
        self.sizes = bind_sizes(leaves)

    def value(self, node: Node | str) -> numpy.ndarray:
        """Value of a node."""
        return self._values[self.back.find(node)]

    def grad(self, node: Node | str) -> numpy.ndarray:
        """Gradient of the root with respect to a node."""
        gradient = self.back.grad(node)
        if gradient not in self._values:  # a gradient that is zero: the node does not reach the root
            return numpy.zeros_like(self._values[self.back.find(node)])
        value = self._values[gradient]
        return numpy.broadcast_to(value, self._values[self.back.find(node)].shape)

    def flow(self, name: str | None = None, *, example: int = 0) -> Flow:
        """How gradients pass through a repeated cell, step by step.

        Parameters
        ----------
        name : str, optional
            Of the repeat (the ``name=`` of ``graphc.unroll`` or of the layer); needed where there are several.
        example : int, default 0
            Whose sensitivity to the first input is measured.

        Returns
        -------
        Flow
            |dL/dh_t| of every state, the share of every gate, and |dh_t/dx_1|, as arrays over time.

        Raises
        ------
        DerivativeError
            If there is no such repeat.

        Source
        ------
        Bengio, Simard, Frasconi, IEEE Trans. Neural Networks 5 (1994)
        """
        from graphc.gradients.flow import flow

        return flow(self, name, example=example)

    def edge(self, node: Node, operand: int) -> numpy.ndarray:
        """What flows back from a gate into one operand: local times upstream."""
        return self._values[self.back.edges[(node, operand)]]

    def local(
        self, a: Node | str, b: Node | str, operand: int | None = None, *, jacobian: bool = False
    ) -> numpy.ndarray:
        """Local gradient of ``b`` with respect to its operand ``a``.

        Parameters
        ----------
        operand : int, optional
            Which operand, where ``a`` enters ``b`` more than once.
        jacobian : bool, default False
            Write out the whole Jacobian, shape ``b.shape + a.shape``.

        Raises
        ------
        DerivativeError
            If the two are not adjacent, the gate is not elementwise and no Jacobian is asked for, or the
            Jacobian has more than 10**6 entries.
        """
        target, position = self.back.operand_position(a, b, operand)
        formula = target.formula
        assert formula is not None
        if elementwise(formula) and not jacobian:
            statement = formula.statements[0]
            by_name = dict(zip(formula.inputs, target.operands, strict=True))
            environment = {p: self._values[by_name[access.tensor]] for p, access in statement.reads}
            with numpy.errstate(all="ignore"):
                slope = evaluate_expression(local_body(formula, position), environment, NUMPY)
            return numpy.broadcast_to(numpy.asarray(slope, dtype="float64"), self._values[target].shape)
        if not jacobian:
            raise DerivativeError(
                f"{target.label!r} ({target.gate}) is not elementwise; ask for run.local(a, b, jacobian=True)",
                node=target,
                site=target.site,
            )
        return self._jacobian(target, position)

    def _jacobian(self, target: Node, position: int) -> numpy.ndarray:
        application = target.application
        assert application is not None
        formula = application.formula
        result, source = self._values[target], self._values[application.operands[position]]
        entries = result.size * source.size
        if entries > JACOBIAN_ENTRIES:
            raise DerivativeError(
                f"the Jacobian of {target.label!r} has {result.size} x {source.size} = {entries} entries; "
                f"at most {JACOBIAN_ENTRIES} are written out",
                node=target,
                site=target.site,
            )
        output = formula.outputs[target.output]
        template = adjoint(formula, formula.inputs[position], (output,))
        jacobian = numpy.zeros((result.size, *source.shape))
        if template is None:
            return jacobian.reshape(result.shape + source.shape)
        sizes = {name: extent_value(e, self.sizes) for name, e in application.sizes.items()}
        inputs = dict(zip(formula.inputs, application.operands, strict=True))
        outputs = dict(zip(formula.outputs, application.outputs, strict=True))
        for k in range(result.size):
            upstream = numpy.zeros(result.size)
            upstream[k] = 1.0
            tensors = {}
            for name, role in zip(template.formula.inputs, template.operands, strict=True):
                if role.role == "upstream":
                    tensors[name] = upstream.reshape(result.shape)
                else:
                    node = (inputs if role.role == "input" else outputs)[role.tensor]
                    tensors[name] = self._values[node]
            known = dict(sizes)
            for name, array in tensors.items():
                known |= {f"{name}.{d}": extent for d, extent in enumerate(array.shape)}
                known[f"{name}.size"] = array.size
            gradient = template.formula.outputs[0]
            known |= {f"{gradient}.{d}": extent for d, extent in enumerate(source.shape)}
            for name, expression in template.formula.extents.items():
                if name not in known:
                    known[name] = int(evaluate_expression(expression, known, {}, int))
            jacobian[k] = run_formula(template.formula, tensors, known)[gradient]
        return jacobian.reshape(result.shape + source.shape)

    def draw(self, path: Any = None, **options: Any) -> Any:
        """Draw the circuit: value above each wire, gradient below, local gradient at the gate input."""
        return verbs.lookup("draw")(self, path, **options)

    def frames(self, path: Any, **options: Any) -> Any:
        """Draw the forward and then the backward pass, one gate a frame."""
        return verbs.lookup("frames")(self, path, **options)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython
        """What a notebook shows."""
        return verbs.lookup("notebook_bundle")(self)

    def __str__(self) -> str:

        rows = [("gate", "operand", "local", "upstream", "downstream")]
        for node in reversed(self.back.nodes):
            for position, operand in enumerate(node.operands):
                if (node, position) not in self.back.edges:
                    continue
                formula = node.formula
                if formula is not None and elementwise(formula) and node.shape == operand.shape == ():
                    value = float(self.local(operand, node, position))
                    shown, digits = to_text(local_expression(node, position)), _digits(value)
                    local = digits if shown == digits else f"{shown} = {digits}"
                else:
                    local = f"adjoint of {node.gate}"
                rows.append(
                    (
                        node.label,
                        operand.label,
                        local,
                        _summary(self.grad(node)),
                        _summary(self.edge(node, position)),
                    )
                )
        return format_table(rows)


def _digits(value: float) -> str:
    if value == 0:
        return "0"
    if math.isfinite(value) and 1e-4 <= abs(value) < 1e6:
        digits = max(0, 3 - math.floor(math.log10(abs(value))))
        text = f"{value:.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.3g}"


def _summary(array: numpy.ndarray) -> str:
    if array.ndim == 0:
        return _digits(float(array))
    return f"{'x'.join(map(str, array.shape))}, norm {_digits(float(numpy.linalg.norm(array)))}"
