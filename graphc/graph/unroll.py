"""Unrolling: a cell is declared once and applied at every step, and the graph keeps it once.

`unroll` traces the cell with stand-ins for one step's inputs and states. The statements of all its gates, each with one
more axis for the step, become one formula with a repeat (`graphc.formula.repeat`): planning and compiling see the cell
and a number of steps. `unrolled` writes the copies out, where a drawing or a check wants to see them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphc.errors import ShapeError, Site
from graphc.formula.size import Size
from graphc.formula.statement import (
    Access,
    affine,
    fresh,
    size_name,
)
from graphc.graph import registry
from graphc.graph.node import Application, Node, as_node, call_site, topological
from graphc.graph.repeating import Cell, Unrolling, repeated_cell
from graphc.graph.shapes import shape_text

__all__ = ["again", "copied", "unroll", "unrolled", "unrolling"]


def unroll(
    cell: Callable[..., Any],
    inputs: Any,
    state: Any,
    steps: Any = None,
    *,
    backward: bool = False,
    checkpoint: int | None = None,
    name: str = "unroll",
) -> tuple[Any, Any]:
    """Apply a cell at every step of sequences; the cell is kept once, whatever the number of steps.

    Parameters
    ----------
    cell : callable
        ``cell(x, state)`` returns ``(output, new state)``; it is called once. ``x`` is one step of ``inputs``, of the
        same structure; the new state has the structure and the shapes of ``state``.
    inputs : Node, tuple of Node, or None
        Sequences, steps first: (T, ...).
    state : Node or tuple of Node
        The state before the first step.
    steps : int or Size, optional
        T, where there are no inputs.
    backward : bool, default False
        Start at the last step; outputs stay in the order of the inputs.
    checkpoint : int, optional
        Keep the states of every so many steps only, and compute the steps in between again on the way back. Memory
        for T/checkpoint states and for what happens in ``checkpoint`` steps, instead of in T; the forward pass is done
        twice. The square root of T is the least.
    name : str
        For drawings and reports.

    Returns
    -------
    outputs : Node or tuple of Node, (T, ...)
        Of every step, of the structure that the cell returns.
    state : Node or tuple of Node
        Behind the last step.

    Raises
    ------
    ShapeError
        If sequences differ in their steps, or the cell returns something else than an output and a state like the
        one that it was given. The message names the state and both shapes.

    Notes
    -----
    What does not depend on the state of an earlier step is computed for all steps at once.

    Source
    ------
    Werbos, Proc. IEEE 78 (1990); checkpoints: Griewank, Walther, ACM TOMS 26 (2000)

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", ("T",))
    >>> sums, last = graphc.unroll(lambda x, s: (s + x, s + x), x, graphc.constant(0.0))
    >>> print(graphc.compile([sums])(x=[1, 2, 3])[0].tolist())
    [1.0, 3.0, 6.0]
    """
    if checkpoint is not None:
        return _checkpointed(cell, inputs, state, steps, checkpoint, backward=backward, name=name)
    made = unrolling(cell, inputs, state, steps, backward=backward, name=name)
    outputs, finals = made.results[: len(made.cell.outputs)], made.results[len(made.cell.outputs) :]
    return _like(made.pattern, outputs), _like(state, finals)


def _checkpointed(
    cell: Callable[..., Any], inputs: Any, state: Any, steps: Any, every: int, *, backward: bool, name: str
) -> tuple[Any, Any]:
    """One repeat after the other, each computed again where its gradient is."""
    site = call_site()
    sequences = _nodes(inputs, "inputs", site)
    count = sequences[0].shape[0] if sequences and sequences[0].shape else steps
    if isinstance(every, bool) or not isinstance(every, int) or every < 1 or not isinstance(count, int):
        raise ShapeError(
            f"checkpoint={every!r} is a whole number of steps of at least 1, and the number of steps must be a number; "
            f"found {count}\n  called at {site}",
            site=site,
        )
    now, parts = state, []
    made = None
    for begin in reversed(range(0, count, every)) if backward else range(0, count, every):
        end = min(begin + every, count)
        own = tuple(registry.call("slice", node, slice(begin, end)) for node in sequences)
        made = unrolling(
            cell, _like(inputs, own), now, None if own else end - begin, backward=backward, name=name, recompute=True
        )
        number = len(made.cell.outputs)
        parts.append(made.results[:number])
        now = _like(state, made.results[number:])
    assert made is not None
    if backward:
        parts.reverse()
    columns = [[rows[k] for rows in parts] for k in range(len(made.cell.outputs))]
    outputs = [registry.function("concat")(rows) if len(rows) > 1 else rows[0] for rows in columns]
    return _like(made.pattern, outputs), now


def unrolling(
    cell: Callable[..., Any],
    inputs: Any,
    state: Any,
    steps: Any = None,
    *,
    backward: bool = False,
    name: str = "unroll",
    recompute: bool = False,
) -> Unrolling:
    """Unroll a cell and return what all nodes of the repeat share; see `unroll`."""
    site = call_site()
    sequences = _nodes(inputs, "inputs", site)
    initial = _nodes(state, "state", site)
    for node in sequences:
        if not node.shape:
            raise ShapeError(
                f"unroll needs sequences (T, ...), but {node.label!r} is a scalar\n  called at {site}", site=site
            )
    extents = {node.shape[0] for node in sequences}
    if steps is not None:
        if isinstance(steps, bool) or not isinstance(steps, int | Size):
            raise ShapeError(f"steps={steps!r} is not a number of steps\n  called at {site}", site=site)
        extents.add(steps)
    if len(extents) != 1:
        found = ", ".join(f"{n.label} {shape_text(n.shape)}" for n in sequences) or "no inputs"
        raise ShapeError(
            f"unroll needs one number of steps, the first extent of every input; found {found}"
            + (f" and steps={steps}" if steps is not None else "")
            + f"\n  called at {site}",
            site=site,
        )
    (count,) = extents
    if isinstance(count, int) and count < 1:
        raise ShapeError(f"unroll needs at least one step, found {count}\n  called at {site}", site=site)
    one = tuple(Node("input", n.shape[1:], n.dtype, site, name=f"{n.label}[t]") for n in sequences)
    before = tuple(Node("input", n.shape, n.dtype, site, name=f"{n.label}[t-1]") for n in initial)
    given = cell(_like(inputs, one), _like(state, before))
    if not isinstance(given, tuple) or len(given) != 2:
        raise ShapeError(
            f"the cell must return (output, new state), found {type(given).__name__}\n  called at {site}", site=site
        )
    outputs = tuple(as_node(o, "float32", site) for o in _nodes(given[0], "the cell's output", site))
    following = _nodes(given[1], "the cell's new state", site)
    if len(following) != len(before):
        raise ShapeError(
            f"the cell was given {len(before)} states and returned {len(following)}\n  called at {site}", site=site
        )
    for old, new, start in zip(before, following, initial, strict=True):
        if old.shape == new.shape and old.is_float != new.is_float:
            raise ShapeError(
                f"a step of {name!r} turns the state {start.label!r} of dtype {old.dtype} into {new.label!r} of dtype "
                f"{new.dtype}: a state keeps its dtype from step to step\n  state declared at {start.site}\n"
                f"  new state declared at {new.site}\n  called at {site}",
                node=new,
                site=site,
            )
        if old.shape != new.shape:
            raise ShapeError(
                f"a step of {name!r} turns the state {start.label!r} {shape_text(old.shape)} into {new.label!r} "
                f"{shape_text(new.shape)}: a state keeps its shape from step to step\n"
                f"  state declared at {start.site}\n"
                f"  new state declared at {new.site}\n  called at {site}",
                node=new,
                shapes=(old.shape, new.shape),
                site=site,
            )
    traced = Cell(one, before, outputs, following)
    made = repeated_cell(traced, sequences, initial, count, name, site, backward=backward, recompute=recompute)
    made.pattern = given[0]
    return made


def _nodes(value: Any, what: str, site: Site) -> tuple[Node, ...]:
    if value is None:
        return ()
    if isinstance(value, Node):
        return (value,)
    if isinstance(value, tuple | list):
        return tuple(node for item in value for node in _nodes(item, what, site))
    if isinstance(value, int | float):
        return (as_node(value, "float32", site),)
    raise ShapeError(
        f"{what} must be nodes or tuples of nodes, found {type(value).__name__}\n  called at {site}", site=site
    )


def _like(pattern: Any, nodes: Sequence[Node]) -> Any:
    """Nodes in the structure of a pattern."""
    rest = iter(nodes)

    def build(item: Any) -> Any:
        if item is None:
            return None
        if isinstance(item, tuple | list):
            return tuple(build(part) for part in item)
        return next(rest)

    return build(pattern)


def again(application: Unrolling, after: Iterable[Node]) -> dict[str, Node]:
    """The same repeat, computed once more where some nodes are known; its outputs by tensor.

    What it starts from reads those nodes without using them: nothing else keeps it from being computed, and kept,
    as early as it can.
    """
    formula = application.formula
    late = list(after)
    names = []
    ranks, sizes = dict(formula.ranks), dict(application.sizes)
    for node in late:
        name = fresh("after", [*ranks, *names])
        names.append(name)
        ranks[name] = len(node.shape)
        sizes |= {size_name(name, d): extent for d, extent in enumerate(node.shape)}
    unused = tuple((name, Access(name, tuple(affine({}) for _ in range(ranks[name])))) for name in names)
    first = formula.repeats[0].first if formula.repeats else 0
    statements = tuple(
        replace(s, reads=(*s.reads, *unused)) if k < first else s for k, s in enumerate(formula.statements)
    )
    copy = replace(formula, inputs=(*formula.inputs, *names), statements=statements, ranks=ranks)
    made = Application(None, copy, (*application.operands, *late), {}, sizes, application.site)
    made.outputs = tuple(
        Node("gate", o.shape, o.dtype, o.site, application=made, output=k) for k, o in enumerate(application.outputs)
    )
    return dict(zip(copy.outputs, made.outputs, strict=True))


def unrolled(root: Node) -> Node:
    """Write the copies of every repeated cell below a node out: one gate for each step.

    Parameters
    ----------
    root : Node

    Returns
    -------
    Node
        The same value, as a graph without repeats. Nodes of a cell are named with their step (``h[3]``).

    Raises
    ------
    ShapeError
        If a number of steps is known at run time only.
    """
    copies: dict[Node, Node] = {}
    for node in topological([root]):
        source = next((n.application for n in (node, *node.operands) if isinstance(n.application, Unrolling)), None)
        if source is not None and node in source.results:
            if node not in copies:
                copies |= dict(zip(source.results, _written_out(source, copies), strict=True))
        elif not isinstance(node.application, Unrolling) and any(o in copies for o in node.operands):
            copies[node] = copied(node, [copies.get(o, o) for o in node.operands])
    return copies.get(root, root)


def copied(node: Node, operands: list[Node], name: str | None = None) -> Node:
    """The same gate on other operands."""
    application = node.application
    assert application is not None
    made = Application(
        application.gate,
        application.formula,
        tuple(operands),
        application.attributes,
        application.sizes,
        application.site,
    )
    outputs = [
        Node("gate", o.shape, o.dtype, o.site, name=o.name if name is None else name, application=made, output=k)
        for k, o in enumerate(application.outputs)
    ]
    made.outputs = tuple(outputs)
    return outputs[node.output]


def _written_out(application: Unrolling, copies: Mapping[Node, Node]) -> tuple[Node, ...]:
    steps, cell = application.steps, application.cell
    if not isinstance(steps, int):
        raise ShapeError(
            f"the number of steps of {application.formula.name!r} is the size {steps}, known at run time only; "
            f"declare it as a number to write the copies out\n  declared at {application.site}",
            site=application.site,
        )
    sequences = [copies.get(n, n) for n in application.sequences]
    states = [copies.get(n, n) for n in application.initial]
    found: list[list[Node]] = [[] for _ in cell.outputs]
    order = topological([*cell.outputs, *cell.following])
    for t in reversed(range(steps)) if application.backward else range(steps):
        at = dict(zip(cell.inputs, [sequence[t] for sequence in sequences], strict=True))
        at |= dict(zip(cell.states, states, strict=True))
        done: dict[int, tuple[Node, ...]] = {}
        for node in order:
            if node.application is None or not any(o in at for o in node.operands):
                if node not in at and node in copies:
                    at[node] = copies[node]
                continue
            key = id(node.application)
            if key not in done:
                operands = [at.get(o, copies.get(o, o)) for o in node.operands]
                first = copied(node, operands)
                assert first.application is not None
                done[key] = first.application.outputs
                for o in done[key]:
                    o.name = None if o.name is None else f"{o.name}[{t}]"
            at[node] = done[key][node.output]
        for k, node in enumerate(cell.outputs):
            found[k].append(at.get(node, copies.get(node, node)))
        states = [at.get(n, copies.get(n, n)) for n in cell.following]
    outputs = [registry.function("stack")(o[::-1] if application.backward else o) for o in found]
    return (*outputs, *states)
