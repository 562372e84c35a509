"""Lookups before products: the product of looked-up rows is a lookup in the product of all rows.

``sum(table[token[t,n], d] * w[j,d], d)`` is ``p[token[t,n], j]`` with ``p[v,j] = sum(table[v,d] * w[j,d], d)``. Where a
table has fewer rows than there are tokens, that is less work by their ratio, in both directions: the gradient of the
product is added up by token before anything is multiplied. An embedding in front of a recurrent layer then costs no
more than one-hot vectors that are looked up in its weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from graphc.formula.expression import Symbol, call
from graphc.formula.size import Extent, extent_value
from graphc.formula.statement import Access, Affine, Axis, Formula, Gather, Statement, affine, fresh, size_name
from graphc.graph import registry
from graphc.graph.node import Application, Node, topological
from graphc.graph.rebuild import rebuilt

__all__ = ["lifted"]

#: How many tokens a row of the table must stand for.
_TOKENS = 2
#: What a named size is taken to be.
_TYPICAL_SIZE = 64


def lifted(roots: Iterable[Node]) -> dict[Node, Node]:
    """Look rows up behind the products below some nodes that multiply them.

    Returns
    -------
    dict
        For each root the node to use instead; itself where nothing changes.
    """
    wanted = list(roots)
    made: dict[Node, Node] = {}
    for node in topological(wanted):
        application = node.application
        if application is None or node in made:
            continue
        changed = application
        for operand in application.operands:
            if _pays(operand):
                changed = _lifted(changed, operand) or changed
        if changed is not application:
            changed.outputs = _outputs(changed, application)
            made |= dict(zip(application.outputs, changed.outputs, strict=False))
    return rebuilt(wanted, made) if made else {node: node for node in wanted}


def _outputs(changed: Application, before: Application) -> tuple[Node, ...]:
    """Nodes of an application: those that it had before, then those of products."""
    found = []
    for k, tensor in enumerate(changed.formula.outputs):
        if k < len(before.outputs):
            old = before.outputs[k]
            found.append(Node("gate", old.shape, old.dtype, old.site, name=old.name, application=changed, output=k))
            continue
        shape = tuple(changed.sizes[size_name(tensor, d)] for d in range(changed.formula.ranks[tensor]))
        found.append(Node("gate", shape, found[0].dtype, changed.site, application=changed, output=k))
    return tuple(found)


def _pays(node: Node) -> bool:
    """Whether a node looks rows of a small table up."""
    if node.application is None or node.application.gate is not registry.gates()["embedding"]:
        return False
    table, tokens = node.operands
    count: Extent = 1
    for extent in tokens.shape:
        count = extent * count
    names = count.names() if not isinstance(count, int) else set()
    typical = extent_value(count, dict.fromkeys(names, _TYPICAL_SIZE))
    return isinstance(table.shape[0], int) and _TOKENS * table.shape[0] <= typical


def _lifted(application: Application, operand: Node) -> Application | None:
    """The application with the lookup behind its product, or None where the operand is used in another way."""
    formula = application.formula
    names = [t for t, o in zip(formula.inputs, application.operands, strict=True) if o is operand]
    users = [k for k, s in enumerate(formula.statements) if set(names) & set(s.tensors())]
    if len(names) != 1 or len(users) != 1:
        return None
    (name,), (number,) = names, users
    s = formula.statements[number]
    found = _product(s, name, formula.inputs)
    if found is None:
        return None
    looked, other = found
    table_node, token_node = operand.operands
    used = set(formula.ranks)
    table, token, product = (fresh(stem, used) for stem in ("table", "token", "looked_up"))
    depth = looked.index[-1]
    assert isinstance(depth, Affine)
    inner = depth.plain() or ""
    free = [item.plain() or "" for item in other.index if isinstance(item, Affine) and item.plain() != inner]
    row = fresh("v", {axis.name for axis in s.axes})
    axes = {axis.name: axis for axis in s.axes}
    index = tuple(affine(a) for a in free)
    domain = (
        Axis(row, affine(size_name(table, 0))),
        *(replace(axes[a], extent=_extent(other, a)) for a in free),
        Axis(inner, affine(size_name(table, 1))),
    )
    whole = Statement(
        Access(product, (affine(row), *index)),
        "sum",
        domain,
        (("a", Access(table, (affine(row), affine(inner)))), ("b", other)),
        call("mul", Symbol("a"), Symbol("b")),
    )
    lookup = Statement(
        s.write,
        "set",
        tuple(a for a in s.axes if a.name != inner),
        (("a", Access(product, (Gather(Access(token, looked.index[:-1])), *index))),),
        Symbol("a"),
        partial=s.partial,
    )
    statements = (whole, *(lookup if k == number else x for k, x in enumerate(formula.statements)))
    shapes = {table: table_node.shape, token: token_node.shape}
    shapes[product] = (table_node.shape[0], *(application.sizes[_extent(other, a).plain() or ""] for a in free))
    sizes = dict(application.sizes)
    for tensor, shape in shapes.items():
        sizes |= {size_name(tensor, d): extent for d, extent in enumerate(shape)}
    outputs = formula.outputs
    made: Formula = replace(
        formula,
        inputs=(*(t for t in formula.inputs if t != name), table, token),
        # what a repeat makes is there for its reverse sweep
        outputs=(*outputs, product) if formula.repeats else outputs,
        statements=statements,
        ranks={**formula.ranks, **{t: len(shape) for t, shape in shapes.items()}},
        integers=formula.integers | {token},
        repeats=tuple(replace(r, first=r.first + 1, last=r.last + 1) for r in formula.repeats),
    )
    kept = tuple(o for t, o in zip(formula.inputs, application.operands, strict=True) if t != name)
    return replace(application, formula=made, operands=(*kept, table_node, token_node), sizes=sizes, gate=None)


def _product(s: Statement, name: str, inputs: Iterable[str]) -> tuple[Access, Access] | None:
    """The two factors of a sum of products along the rows that are looked up, that of the rows first."""
    if s.operator != "sum" or s.guards or s.lets or s.accumulate or len(s.reads) != 2 or s.write.flat:
        return None
    (p, a), (q, b) = s.reads
    if s.body not in (call("mul", Symbol(p), Symbol(q)), call("mul", Symbol(q), Symbol(p))):
        return None
    looked, other = (a, b) if a.tensor == name else (b, a)
    if other.tensor not in inputs or other.tensor == name or looked.flat or other.flat:
        return None
    if any(x.outside != "forbidden" for x in (looked, other)):
        return None
    places = [[i.plain() if isinstance(i, Affine) else None for i in x.index] for x in (looked, other)]
    axes = {axis.name for axis in s.axes}
    inner = places[0][-1]
    plain = all(p in axes for p in (*places[0], *places[1]))
    alone = len({*places[0]}) == len(places[0]) and places[1].count(inner) == 1 and len({*places[1]}) == len(places[1])
    shared = set(places[0]) & set(places[1]) == {inner}
    return (looked, other) if plain and alone and shared and s.reduced() == (inner,) else None


def _extent(access: Access, axis: str) -> Affine:
    """The extent of the dimension that an axis goes through."""
    d = next(d for d, item in enumerate(access.index) if isinstance(item, Affine) and item.plain() == axis)
    return affine(size_name(access.tensor, d))
