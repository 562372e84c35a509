"""Writes a circuit or cards as text: an indented tree for terminals, mails and issue threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.drawing.circuit import Circuit, Element, Port

if TYPE_CHECKING:
    from graphc.drawing.cards import Card, Cards

__all__ = ["cards_text", "circuit_text"]


def circuit_text(circuit: Circuit) -> str:
    """Write a circuit from the root down to its inputs; a shared part is written once.

    Columns: wire, value, gradient, and the local gradient of the gate above with respect to the
    wire, with its worked line where the circuit has them.
    """
    rows: list[tuple[str, str, str, str]] = [("wire", "value", "gradient", "local gradient")]
    root = next(e for e in circuit.elements if e.root)
    written: set[int] = set()
    # (element, port it feeds, prefix of its own line, prefix of its operands' lines)
    stack: list[tuple[Element, Port | None, str, str]] = [(root, None, "", "")]
    while stack:
        element, port, first, rest = stack.pop()
        local = _local(port, circuit) if port else ""
        again = element.index in written and bool(element.symbol)
        rows.append(
            (first + _what(element, circuit) + (" (see above)" if again else ""),
             element.value_text, circuit.sum_text(element), local)
        )  # fmt: skip
        if again:
            continue
        written.add(element.index)
        below: list[tuple[Element, Port | None, str, str]] = []
        for k, inner in enumerate(element.ports):
            last = k == len(element.ports) - 1
            below.append(
                (
                    circuit.elements[inner.operand],
                    inner,
                    rest + ("└─ " if last else "├─ "),
                    rest + ("   " if last else "│  "),
                )
            )
        stack.extend(reversed(below))
    used = [k for k in range(4) if k == 0 or any(row[k] for row in rows[1:])]
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    lines = ["  ".join(row[k].ljust(widths[k]) for k in used).rstrip() for row in rows]
    return "\n".join([circuit.title, "", *lines]) + "\n"


def _local(port: Port, circuit: Circuit) -> str:
    said = " = ".join(port.local_lines)
    if not (circuit.with_work and port.upstream):
        return said
    return f"{said}; {_worked(port)}" if port.formula != port.number else _worked(port)


def _worked(port: Port) -> str:
    return " = ".join(filter(None, (f"{port.number or port.formula} × {port.upstream}", port.sent)))


def _what(element: Element, circuit: Circuit) -> str:
    name = element.name or f"wire {element.index}"
    if not element.symbol:
        return name
    operands = [circuit.elements[p.operand] for p in element.ports]
    shown = ", ".join(o.name or f"wire {o.index}" for o in operands)
    pattern = f" {element.pattern}" if element.pattern else ""
    return f"{name} = [{element.symbol}{pattern}] {shown}".rstrip()


def cards_text(cards: Cards) -> str:
    """Write one row a layer: what it does, the shape it hands on, its parameters, and below it what a run measured."""
    header = ("layer", "gates", "output", "parameters")
    rows = [header, *((c.name, c.gates, c.shape, c.count_text) for c in cards.cards)]
    rows.append(("total", "", "", f"{cards.parameters:,}"))
    measured = ["", *(_measured(card) for card in cards.cards), ""]
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    lines: list[str] = []
    for row, below in zip(rows, measured, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
        lines.append("  ".join([*cells, row[3].rjust(widths[3])]).rstrip())
        if below:
            lines.append(f"    {below}")
    if cards.note:
        lines += ["", cards.note]
    return "\n".join([cards.title, "", *lines]) + "\n"


def _measured(card: Card) -> str:
    measures = card.measures
    return "; ".join(filter(None, (card.extra, *map(str, measures.magnitudes), str(measures.dead or ""))))
