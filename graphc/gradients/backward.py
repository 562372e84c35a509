"""The reverse sweep: from a graph to the graph of its gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from graphc.errors import DerivativeError, GraphcError, did_you_mean
from graphc.formula.adjoint import adjoint
from graphc.formula.expression import Expression, to_text
from graphc.formula.repeat import repeat_adjoint
from graphc.gradients.local import elementwise, local_expression
from graphc.gradients.table import format_table
from graphc.graph import registry
from graphc.graph.gate import derived
from graphc.graph.node import Application, Node, as_node, topological
from graphc.graph.repeating import Unrolling
from graphc.graph.shapes import shape_text
from graphc.graph.unroll import again

if TYPE_CHECKING:
    from graphc.gradients.closed_form import IndexFormula, LetForm
    from graphc.gradients.run import Run

__all__ = ["Backward", "backward"]


def backward(root: Node, wrt: Iterable[Node | str] | Node | str | None = None, *, upstream: Any = None) -> Backward:
    """Differentiate a node; the gradients are nodes again.

    Parameters
    ----------
    root : Node
        What is differentiated. It must be a scalar unless ``upstream`` is given.
    wrt : nodes or names, optional
        With respect to what; by default every float input and parameter below the root.
    upstream : Node, array or number, optional
        Gradient that arrives at the root, of the root's shape; 1 for a scalar.

    Returns
    -------
    Backward

    Raises
    ------
    DerivativeError
        If the root is not a float scalar and no ``upstream`` is given, or a name is unknown.
    """
    if not isinstance(root, Node):
        raise DerivativeError(f"backward needs a node, found {type(root).__name__}")
    return Backward(root, wrt, upstream)


class Backward:
    """Gradients of ``root``; every one is a node, so a second sweep gives second order.

    Attributes
    ----------
    root : Node
    wrt : tuple of Node
    nodes : list of Node
        Nodes below the root, operands first.
    """

    def __init__(self, root: Node, wrt: Any, upstream: Any) -> None:
        self.root = root
        self.nodes = topological([root])
        self._members = frozenset(self.nodes)
        self._names = _names(self.nodes)
        if not root.is_float:
            raise DerivativeError(
                f"{root.label!r} has dtype {root.dtype}; only floats have gradients\n  declared at {root.site}",
                node=root,
                site=root.site,
            )
        if wrt is None:
            self.wrt = tuple(n for n in self.nodes if n.kind in ("input", "parameter") and n.is_float)
        else:
            items = [wrt] if isinstance(wrt, Node | str) else list(wrt)
            self.wrt = tuple(self.find(item) for item in items)
            for node in self.wrt:
                if not node.is_float:
                    raise DerivativeError(
                        f"{node.label!r} has dtype {node.dtype}; only floats have gradients",
                        node=node,
                        site=node.site,
                    )
        self.seed = self._seed(upstream)
        self._gradients: dict[Node, Node] = {}
        #: (gate node, operand position) -> contribution that flows back along that edge
        self.edges: dict[tuple[Node, int], Node] = {}
        self._sweep()

    def _seed(self, upstream: Any) -> Node:
        root = self.root
        if upstream is None:
            if root.shape != ():
                raise DerivativeError(
                    f"{root.label!r} has shape {shape_text(root.shape)}; the gradient of an array needs the gradient "
                    f"that arrives at it: backward({root.label}, upstream=...), or reduce it to a scalar with "
                    f"graphc.sum first\n  declared at {root.site}",
                    node=root,
                    shapes=(root.shape,),
                    site=root.site,
                )
            return Node("constant", (), root.dtype, root.site, value=1.0)
        seed = as_node(upstream, root.dtype, root.site)
        if seed.shape != root.shape:
            raise DerivativeError(
                f"upstream has shape {shape_text(seed.shape)}, "
                f"expected that of {root.label!r}, {shape_text(root.shape)}",
                node=root,
                shapes=(root.shape, seed.shape),
                site=root.site,
            )
        return seed

    def _sweep(self) -> None:
        active: set[int] = {node.id for node in self.wrt}
        for node in self.nodes:
            if node.is_float and any(o.id in active for o in node.operands):
                active.add(node.id)
        contributions: dict[int, list[Node]] = {self.root.id: [self.seed]}
        pending: dict[int, int] = {}
        for node in self.nodes:
            if node.application is not None:
                key = id(node.application)
                pending[key] = pending.get(key, 0) + 1
        for node in reversed(self.nodes):
            if node.id in active or node is self.root:
                terms = contributions.get(node.id)
                if terms:
                    total = terms[0]
                    for term in terms[1:]:  # fan-out: gradients of the branches add
                        total = registry.call("add", total, term)
                    self._gradients[node] = total
            application = node.application
            if application is None:
                continue
            pending[id(application)] -= 1
            if pending[id(application)] == 0:
                self._through(application, active, contributions)

    def _through(self, application: Application, active: set[int], contributions: dict[int, list[Node]]) -> None:
        formula = application.formula
        by_output = {
            tensor: self._gradients[output]
            for tensor, output in zip(formula.outputs, application.outputs, strict=True)
            if output in self._gradients
        }
        if not by_output or (application.gate is not None and not application.gate.differentiable):
            return
        outputs = dict(zip(formula.outputs, application.outputs, strict=True))
        operands = dict(zip(formula.inputs, application.operands, strict=True))
        if formula.repeats:
            self._through_repeat(application, by_output, active, contributions)
            return
        for position, (tensor, node) in enumerate(zip(formula.inputs, application.operands, strict=True)):
            if node.id not in active or not node.is_float:
                continue
            try:
                template = adjoint(formula, tensor, tuple(by_output))
            except DerivativeError as error:
                raise DerivativeError(
                    f"{error}\n  declared at {application.site}",
                    node=node,
                    gate=error.gate,
                    site=application.site,
                ) from None
            if template is None:
                continue
            arguments = []
            for operand in template.operands:
                if operand.role == "upstream":
                    arguments.append(by_output[operand.tensor])
                elif operand.role == "input":
                    arguments.append(operands[operand.tensor])
                else:
                    arguments.append(outputs[operand.tensor])
            (edge,) = derived(template.formula, tuple(arguments), application.sizes, application.site, node.dtype)
            for output in application.outputs:
                self.edges[(output, position)] = edge
            contributions.setdefault(node.id, []).append(edge)

    def _through_repeat(
        self,
        application: Application,
        by_output: Mapping[str, Node],
        active: set[int],
        contributions: dict[int, list[Node]],
    ) -> None:
        """All gradients of a repeat are one repeat."""
        formula = application.formula
        outputs = dict(zip(formula.outputs, application.outputs, strict=True))
        operands = dict(zip(formula.inputs, application.operands, strict=True))
        wrt = [tensor for tensor, node in operands.items() if node.id in active and node.is_float]
        try:
            ahead = not (isinstance(application, Unrolling) and application.recompute)
            template = repeat_adjoint(formula, wrt, tuple(by_output), application.sizes, ahead=ahead)
        except DerivativeError as error:
            raise DerivativeError(f"{error}\n  declared at {application.site}", site=application.site) from None
        if not template.gradients:
            return
        of_role = {"upstream": by_output, "input": operands, "output": outputs}
        if isinstance(application, Unrolling) and application.recompute:
            of_role["output"] = again(application, by_output.values())
        arguments = tuple(of_role[operand.role][operand.tensor] for operand in template.operands)
        dtype = next(node.dtype for node in by_output.values())
        found = dict(
            zip(
                template.formula.outputs,
                derived(template.formula, arguments, template.sizes, application.site, dtype),
                strict=True,
            )
        )
        for position, (tensor, node) in enumerate(operands.items()):
            if tensor in template.gradients:
                edge = found[template.gradients[tensor]]
                for output in application.outputs:
                    self.edges[(output, position)] = edge
                contributions.setdefault(node.id, []).append(edge)
        for tensor, name in template.inner.items():  # of every step, whoever asks
            if outputs[tensor] not in self._gradients:
                self._gradients[outputs[tensor]] = found[name]

    # ---- looking things up ------------------------------------------------------------------------

    def find(self, node: Node | str) -> Node:
        """Return a node of the graph by node or name.

        Raises
        ------
        DerivativeError
            If it is not below the root.
        """
        if isinstance(node, Node):
            if node not in self._members:
                raise DerivativeError(
                    f"{node.label!r} (declared at {node.site}) is not below {self.root.label!r}",
                    node=node,
                )
            return node
        found = self._names.get(node)
        if found is None:
            raise DerivativeError(
                f"no node is named {node!r} below {self.root.label!r}{did_you_mean(str(node), self._names)}; "
                f"names: {', '.join(self._names) or 'none'}",
                node=node,
            )
        return found

    def grad(self, node: Node | str) -> Node:
        """Gradient of the root with respect to a node, as a node.

        Raises
        ------
        DerivativeError
            If the node is not below the root, is no float, or lies on no path from ``wrt``.
        """
        target = self.find(node)
        gradient = self._gradients.get(target)
        if gradient is not None:
            return gradient
        if not target.is_float:
            raise DerivativeError(
                f"{target.label!r} has dtype {target.dtype}; only floats have gradients",
                node=target,
                site=target.site,
            )
        reachable = target in self.wrt or any(o in self._gradients or o in self.wrt for o in topological([target]))
        if not reachable:
            raise DerivativeError(
                f"{target.label!r} lies on no path from wrt={[n.label for n in self.wrt]} to {self.root.label!r}; "
                f"ask for it: graphc.backward({self.root.label}, wrt=[{target.label!r}])",
                node=target,
                site=target.site,
            )
        zero = as_node(0.0, target.dtype, target.site)
        gradient = zero if target.shape == () else registry.call("mul", target, zero)
        self._gradients[target] = gradient
        return gradient

    def gradient_of(self, node: Node) -> Node | None:
        """The gradient that reaches a node, of the inside of a repeat as well; None where there is none."""
        return self._gradients.get(node)

    def has_grad(self, node: Node) -> bool:
        """Whether a gradient reaches the node."""
        return node in self._gradients

    # ---- local gradients ----------------------------------------------------------------------------

    def operand_position(self, a: Node | str, b: Node | str, operand: int | None = None) -> tuple[Node, int]:
        """Return ``(gate node, position)`` of operand ``a`` of ``b``."""
        source, target = self.find(a), self.find(b)
        positions = [k for k, node in enumerate(target.operands) if node is source]
        if not positions:
            raise DerivativeError(
                f"{source.label!r} is not an operand of {target.label!r}, so there is no local gradient between them; "
                f"for the gradient along every path use graphc.backward({target.label}).grad({source.label!r})",
                node=target,
                site=target.site,
            )
        if operand is not None:
            if operand not in positions:
                raise DerivativeError(
                    f"operand {operand} of {target.label!r} is not {source.label!r}; it is operand {positions}",
                    node=target,
                    site=target.site,
                )
            return target, operand
        if len(positions) > 1:
            raise DerivativeError(
                f"{source.label!r} enters {target.label!r} {len(positions)} times; say which with operand=k, "
                f"k in {positions}",
                node=target,
                site=target.site,
            )
        return target, positions[0]

    def local_expression(self, node: Node | str, operand: int = 0) -> Expression:
        """Local gradient of an elementwise gate as an expression in labels; see `local`."""
        return local_expression(self.find(node), operand)

    def local(self, a: Node | str, b: Node | str, operand: int | None = None) -> Any:
        """Local gradient of ``b`` with respect to its operand ``a``.

        Returns
        -------
        sympy.Expr or str
            For elementwise gates an expression in the names of the nodes; else the index formula of the
            adjoint.

        Raises
        ------
        DerivativeError
            If the two are not adjacent, or ``a`` enters ``b`` more than once and ``operand`` is not given.
        """
        target, position = self.operand_position(a, b, operand)
        formula = target.formula
        assert formula is not None
        if elementwise(formula):
            from graphc.formula.symbolic import to_sympy

            return to_sympy(local_expression(target, position))
        template = adjoint(formula, formula.inputs[position])
        return "0" if template is None else str(template.formula)

    def formula(self, node: Node | str, *, operations: int = 500) -> Any:
        """Gradient in closed form.

        Parameters
        ----------
        operations : int
            Up to this many operations a scalar graph is expanded into one expression; beyond it the result
            is a `LetForm`, one line a node.

        Returns
        -------
        sympy.Expr, LetForm or IndexFormula
            `IndexFormula` for graphs with arrays.
        """
        from graphc.gradients.closed_form import closed_form

        result: Any | LetForm | IndexFormula = closed_form(self.grad(node), self, operations)
        return result

    # ---- evaluating and printing --------------------------------------------------------------------

    def at(
        self,
        values: Mapping[Any, Any] | None = None,
        /,
        *,
        parameters: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Run:
        """Evaluate values and gradients in float64.

        Parameters
        ----------
        values : mapping, optional
            By node or name.
        parameters : mapping, optional
            Arrays of parameters and states by name, for example ``trainer.parameters``.
        **named
            Arrays of inputs by name.

        Raises
        ------
        DataError
            If a leaf has no value, a name is unknown, or a shape does not fit.
        """
        from graphc.gradients.run import Run, gather_values

        return Run(self, gather_values(self, values, parameters, named))

    def draw(self, path: Any = None, **options: Any) -> Any:
        """Draw the graph with symbolic gradients; see ``graphc.draw``."""
        from graphc.graph import verbs

        return verbs.lookup("draw")(self, path, **options)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython
        """What a notebook shows."""
        from graphc.graph import verbs

        return verbs.lookup("notebook_bundle")(self)

    def __str__(self) -> str:
        rows = [("gate", "operand", "local", "upstream", "downstream")]
        for node in reversed(self.nodes):
            for position, operand in enumerate(node.operands):
                if (node, position) not in self.edges:
                    continue
                formula = node.formula
                local = (
                    to_text(local_expression(node, position))
                    if formula is not None and elementwise(formula)
                    else f"adjoint of {node.gate}"
                )
                root = self.root.label
                rows.append(
                    (
                        node.label,
                        operand.label,
                        local,
                        f"d{root}/d{node.label}",
                        f"d{root}/d{operand.label}",
                    )
                )
        return format_table(rows)


def _names(nodes: Iterable[Node]) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for node in nodes:
        if node.name is None:
            continue
        other = found.get(node.name)
        if other is not None:
            raise GraphcError(
                f"two nodes are named {node.name!r}: declared at {other.site} and {node.site}; rename one",
                node=node,
                site=node.site,
            )
        found[node.name] = node
    return found
