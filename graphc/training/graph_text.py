"""Graphs as plain data: nodes in topological order, formulas as text.

What the formula parser cannot read back is refused, so nothing that a file holds is ever executed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy

from graphc.errors import CheckpointError, GraphcError
from graphc.formula.definition import Definition
from graphc.formula.size import Extent, Size
from graphc.graph import Gate, Node, registry
from graphc.graph.declare import input as declare_input
from graphc.graph.declare import is_training, parameter, state, update
from graphc.graph.node import Application, as_node, topological
from graphc.graph.repeating import Unrolling
from graphc.graph.unroll import unrolling

__all__ = ["graph_from", "graph_to"]

#: What a graph in a file may hold at most: more is not a graph that somebody declared.
_MAXIMUM_NODES = 1_000_000


def graph_to(roots: Iterable[Node]) -> tuple[dict[str, Any], dict[str, numpy.ndarray]]:
    """Write the graph below some nodes, updates of states included.

    Returns
    -------
    dict
        Plain data for JSON; ``roots`` gives the positions of the roots.
    dict
        Arrays of the constants, by the name that the data use.

    Raises
    ------
    CheckpointError
        If a node was derived (a gradient): it has no formula that a user wrote.
    """
    wanted = list(roots)
    nodes = topological(wanted)
    while True:  # what updates of states read may lead to further states
        following = [n.update for n in nodes if n.update is not None]
        extended = topological([*nodes, *following])
        if len(extended) == len(nodes):
            break
        nodes = extended
    position = {node.id: k for k, node in enumerate(nodes)}
    applications: dict[int, int] = {}
    stored_applications: list[dict[str, Any]] = []
    arrays: dict[str, numpy.ndarray] = {}
    stored: list[dict[str, Any]] = []
    for node in nodes:
        entry: dict[str, Any] = {"kind": node.kind, "dtype": node.dtype}
        if node.name is not None:
            entry["name"] = node.name
        application = node.application
        if application is not None:
            key = id(application)
            if key not in applications:
                applications[key] = len(stored_applications)
                stored_applications.append(_application_to(node, application, position))
            entry |= {"application": applications[key], "output": node.output}
        elif node.kind == "constant" and isinstance(node.value, float):
            entry["value"] = node.value.hex()
        else:
            entry["shape"] = [_extent_to(e) for e in node.shape]
            if node.kind == "constant":
                entry["array"] = f"constant/{len(arrays)}"
                arrays[entry["array"]] = numpy.ascontiguousarray(node.value)
            if node.kind == "parameter":
                entry["trainable"] = node.trainable
        stored.append(entry)
    updates = [[position[n.id], position[n.update.id]] for n in nodes if n.update is not None]
    graph = {
        "nodes": stored,
        "applications": stored_applications,
        "updates": updates,
        "roots": [position[node.id] for node in wanted],
    }
    return graph, arrays


def _application_to(node: Node, application: Application, position: Mapping[int, int]) -> dict[str, Any]:
    if isinstance(application, Unrolling):
        return _unrolling_to(application, position)
    gate = application.gate
    if gate is None:
        raise CheckpointError(
            f"{node.label!r} is a gradient, which has no formula of its own; save the loss that it comes from\n"
            f"  declared at {node.site}",
            node=node,
            site=node.site,
        )
    definition = gate.evaluated(tuple(o.shape for o in application.operands), application.attributes)
    return {
        "gate": gate.name,
        "registered": registry.gates().get(gate.name) is gate,
        "operands": [position[o.id] for o in application.operands],
        "names": list(gate.names(len(application.operands))),
        "attributes": {k: _value_to(v) for k, v in application.attributes.items()},
        "formula": definition.text,
        "outside": dict(definition.outside),
        "extents": dict(definition.extents),
        "integers": sorted(definition.integers),
        "symbol": gate.symbol,
        "ties": gate.ties,
        "dtype": gate.dtype,
        "differentiable": gate.differentiable,
    }


def _unrolling_to(application: Unrolling, position: Mapping[int, int]) -> dict[str, Any]:
    """A repeated cell: its nodes by their own positions, those outside of it by their positions in the graph."""
    cell = application.cell
    body: list[dict[str, Any]] = []
    applications: list[dict[str, Any]] = []
    numbers: dict[int, int] = {}
    own: dict[int, int] = {}
    stand_ins = {node.id: ("input", k) for k, node in enumerate(cell.inputs)}
    stand_ins |= {node.id: ("state", k) for k, node in enumerate(cell.states)}
    for node in topological([*cell.inputs, *cell.states, *cell.outputs, *cell.following]):
        own[node.id] = len(body)
        if node.id in stand_ins:
            kind, number = stand_ins[node.id]
            body.append({kind: number})
        elif node.id in position:
            body.append({"outside": position[node.id]})
        else:
            inner = node.application
            assert inner is not None  # a leaf is outside
            if id(inner) not in numbers:
                numbers[id(inner)] = len(applications)
                applications.append(_application_to(node, inner, own))
            entry: dict[str, Any] = {"application": numbers[id(inner)], "output": node.output}
            body.append(entry if node.name is None else entry | {"name": node.name})
    return {
        "unroll": application.formula.name,
        "steps": _extent_to(application.steps),
        "backward": application.backward,
        "recompute": application.recompute,
        "sequences": [position[n.id] for n in application.sequences],
        "initial": [position[n.id] for n in application.initial],
        "body": body,
        "applications": applications,
        "outputs": [own[n.id] for n in cell.outputs],
        "following": [own[n.id] for n in cell.following],
    }


def _extent_to(extent: Extent) -> Any:
    return extent if isinstance(extent, int) else [[list(m), c] for m, c in extent.terms]


def _value_to(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, Size):
        return {"size": _extent_to(value)}
    if isinstance(value, tuple | list):
        return [_value_to(item) for item in value]
    if hasattr(value, "__index__"):
        return int(value)
    raise CheckpointError(f"an attribute of type {type(value).__name__} cannot be saved: {value!r:.60}")


# ---- reading -------------------------------------------------------------------------------------


def graph_from(graph: Any, arrays: Mapping[str, numpy.ndarray]) -> tuple[list[Node], list[Node]]:
    """Build a graph from plain data; everything is checked as if a user declared it.

    Returns
    -------
    list of Node
        Every node, in the order of the file.
    list of Node
        The roots.

    Raises
    ------
    CheckpointError
        If the data are not a graph.
    """
    try:
        return _build(graph, arrays)
    except CheckpointError:
        raise
    except (
        GraphcError,
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise CheckpointError(f"the graph in the file is damaged: {type(error).__name__}: {error}") from error


def _build(graph: Any, arrays: Mapping[str, numpy.ndarray]) -> tuple[list[Node], list[Node]]:
    if len(graph["nodes"]) > _MAXIMUM_NODES:
        raise CheckpointError(f"the graph has {len(graph['nodes'])} nodes; at most {_MAXIMUM_NODES} are read")
    nodes: list[Node] = []
    outputs: dict[int, tuple[Node, ...]] = {}
    gates: dict[str, Gate] = {}
    for entry in graph["nodes"]:
        kind, name = entry["kind"], entry.get("name")
        if kind == "gate":
            number = entry["application"]
            if number not in outputs:
                stored = graph["applications"][_position(number, len(graph["applications"]))]
                outputs[number] = _application_from(stored, nodes, gates)
            node = outputs[number][_position(entry["output"], len(outputs[number]))]
            if node.dtype != entry["dtype"]:
                raise CheckpointError(f"{stored_name(entry)} has dtype {node.dtype}, the file says {entry['dtype']}")
            if name is not None:
                node.named(name)
        elif kind == "constant":
            node = _constant_from(entry, arrays)
        else:
            node = _leaf_from(entry)
        nodes.append(node)
    for target, value in graph["updates"]:
        update(nodes[_position(target, len(nodes))], nodes[_position(value, len(nodes))])
    return nodes, [nodes[_position(k, len(nodes))] for k in graph["roots"]]


def stored_name(entry: Mapping[str, Any]) -> str:
    """Name of an entry for messages."""
    return repr(entry.get("name") or entry["kind"])


def _position(value: Any, count: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise CheckpointError(f"the graph in the file is damaged: {value!r} is not a position below {count}")
    return value


def _leaf_from(entry: Mapping[str, Any]) -> Node:
    shape = tuple(_extent_from(e) for e in entry["shape"])
    match entry["kind"]:
        case "input":
            return declare_input(entry["name"], shape, entry["dtype"])
        case "parameter":
            return parameter(entry["name"], shape, dtype=entry["dtype"], trainable=bool(entry["trainable"]))
        case "state":
            return state(entry["name"], shape, dtype=entry["dtype"])
        case "mode":
            return is_training()
    raise CheckpointError(f"the graph in the file has a node of unknown kind {entry['kind']!r}")


def _constant_from(entry: Mapping[str, Any], arrays: Mapping[str, numpy.ndarray]) -> Node:
    if "value" in entry:
        node = as_node(float.fromhex(entry["value"]), entry["dtype"])
    else:
        if entry["array"] not in arrays:
            raise CheckpointError(f"the file has no array {entry['array']!r} for a constant")
        node = as_node(arrays[entry["array"]], entry["dtype"])
    if entry.get("name") is not None:
        node.named(entry["name"])
    return node


def _unrolling_from(stored: Mapping[str, Any], nodes: list[Node], gates: dict[str, Gate]) -> tuple[Node, ...]:
    def picked(numbers: Any, among: list[Node]) -> tuple[Node, ...]:
        return tuple(among[_position(k, len(among))] for k in numbers)

    def cell(x: tuple[Node, ...], state: tuple[Node, ...]) -> Any:
        own: list[Node] = []
        outputs: dict[int, tuple[Node, ...]] = {}
        for entry in stored["body"]:
            if "input" in entry:
                node = x[_position(entry["input"], len(x))]
            elif "state" in entry:
                node = state[_position(entry["state"], len(state))]
            elif "outside" in entry:
                node = nodes[_position(entry["outside"], len(nodes))]
            else:
                number = _position(entry["application"], len(stored["applications"]))
                if number not in outputs:
                    outputs[number] = _application_from(stored["applications"][number], own, gates)
                node = outputs[number][_position(entry["output"], len(outputs[number]))]
                if "name" in entry:
                    node.named(entry["name"])
            own.append(node)
        return picked(stored["outputs"], own), picked(stored["following"], own)

    made = unrolling(
        cell, picked(stored["sequences"], nodes), picked(stored["initial"], nodes), _extent_from(stored["steps"]),
        backward=bool(stored["backward"]), name=str(stored["unroll"]), recompute=bool(stored["recompute"]),
    )  # fmt: skip
    return made.outputs


def _application_from(stored: Mapping[str, Any], nodes: list[Node], gates: dict[str, Gate]) -> tuple[Node, ...]:
    if "unroll" in stored:
        return _unrolling_from(stored, nodes, gates)
    operands = tuple(nodes[_position(k, len(nodes))] for k in stored["operands"])
    attributes = {str(k): _value_from(v) for k, v in stored["attributes"].items()}
    installed = registry.gates().get(stored["gate"]) if stored["registered"] else None
    if installed is not None:
        given = {k: v for k, v in attributes.items() if k in installed.attributes}
        result = installed.apply(operands, given)
        application = result[0].application
        assert application is not None
        shapes = tuple(o.shape for o in operands)
        if installed.evaluated(shapes, application.attributes).text == stored["formula"]:
            return result
    # a gate of the user, of a layer, or one whose registered formula has changed since: what counts is the
    # formula in the file
    definition = Definition(
        str(stored["formula"]),
        {str(k): v for k, v in stored["outside"].items()},
        {str(k): str(v) for k, v in stored["extents"].items()},
        frozenset(map(str, stored["integers"])),
    )
    key = repr((stored["gate"], stored["names"], definition, sorted(map(repr, attributes.items()))))
    if key not in gates:
        gates[key] = Gate(
            str(stored["gate"]),
            definition,
            tuple(map(str, stored["names"])),
            symbol=str(stored["symbol"]),
            ties=str(stored["ties"]),
            attributes=attributes,
            dtype=stored["dtype"],
            differentiable=bool(stored["differentiable"]),
        )
    return gates[key].apply(operands, {})


def _extent_from(stored: Any) -> Extent:
    if isinstance(stored, list):
        return Size({tuple(map(str, m)): int(c) for m, c in stored})
    if isinstance(stored, bool) or not isinstance(stored, int):
        raise CheckpointError(f"the graph in the file is damaged: {stored!r} is not an extent")
    return stored


def _value_from(stored: Any) -> Any:
    if isinstance(stored, list):
        return tuple(_value_from(item) for item in stored)
    if isinstance(stored, dict):
        if "float" in stored:
            return float.fromhex(stored["float"])
        return _extent_from(stored["size"])
    return stored
