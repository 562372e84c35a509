"""Writes a circuit or cards as DOT text for people who go on with Graphviz.

Every wire is a node with two rows and a rule between them (value above, gradient below), so
Graphviz reserves the room. Nodes are keyed by number, never by name.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from graphc.drawing.circuit import Circuit, Element
from graphc.drawing.theme import Theme

if TYPE_CHECKING:
    from graphc.drawing.cards import Cards

__all__ = ["cards_dot", "circuit_dot"]


def _plain(text: str) -> str:
    """Protect a label from Graphviz's own escapes and from being read as HTML."""
    from graphviz import nohtml

    return nohtml(text.replace("\\", "\\\\"))


def _font(text: str, colour: str, italic: bool = False) -> str:
    inner = escape(text) or " "
    return f'<FONT COLOR="#{colour}">{f"<I>{inner}</I>" if italic else inner}</FONT>'


def _wire_table(element: Element, circuit: Circuit, theme: Theme) -> str:
    value = element.value_text
    if element.name and element.symbol and not element.root:
        value = " ".join(filter(None, (element.name, "" if value.startswith("(") else "=" if value else "", value)))
    above, below = _font(value, theme.value), _font(circuit.sum_text(element), theme.gradient, italic=True)
    return (
        '<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">'
        f"<TR><TD>{above}</TD></TR><HR/><TR><TD>{below}</TD></TR></TABLE>>"
    )


def circuit_dot(circuit: Circuit, theme: Theme) -> str:
    """Write a circuit."""
    from graphviz import Digraph

    graph = Digraph(
        "circuit",
        graph_attr={
            "rankdir": "LR",
            "nodesep": "0.15",
            "ranksep": "0.2",
            "label": _plain(circuit.title),
            "fontname": "Helvetica",
            "fontcolor": f"#{theme.ink}",
            "bgcolor": f"#{theme.paper}",
        },
        node_attr={
            "shape": "plain",
            "fontname": "Helvetica",
            "fontsize": "12",
            "fontcolor": f"#{theme.ink}",
            "color": f"#{theme.ink}",
        },
        edge_attr={"arrowhead": "none", "color": f"#{theme.wire}"},
    )
    for element in circuit.elements:
        k = element.index
        graph.node(f"wire{k}", _wire_table(element, circuit, theme), tooltip=_plain(element.name or f"wire {k}"))
        if not element.symbol:
            graph.node(f"name{k}", _plain(element.name), shape="plaintext", fontsize="14")
            graph.edge(f"name{k}:e", f"wire{k}:w")
        else:
            short = len(element.symbol) <= 2 and not element.pattern
            graph.node(
                f"gate{k}",
                _plain("\n".join(filter(None, (element.symbol, element.pattern)))),
                shape="circle" if short else "box",
                style="" if short else "rounded",
                margin="0.06",
                width="0.4",
                height="0.4",
                fixedsize=str(short).lower(),
            )
            graph.edge(f"gate{k}:e", f"wire{k}:w")
        if element.root:
            graph.node(f"name{k}r", _plain(element.name), shape="plaintext", fontsize="14")
            graph.edge(f"wire{k}:e", f"name{k}r:w", arrowhead="normal", arrowsize="0.6")
        for port in element.ports:
            lines = list(port.local_lines)
            if circuit.with_work and port.upstream:
                lines.append(" = ".join(filter(None, (f"× {port.upstream}", port.sent))))
            if not lines:
                graph.edge(f"wire{port.operand}:e", f"gate{k}")
                continue
            tag = f"local{k}_{port.position}"
            rows = "".join(f"<TR><TD>{_font(line, theme.local)}</TD></TR>" for line in lines)
            table = (
                f'<<TABLE BORDER="1" STYLE="ROUNDED" COLOR="#{theme.frame}" BGCOLOR="#{theme.local_fill}" '
                f'CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{rows}</TABLE>>'
            )
            graph.node(tag, table, fontsize="10")
            graph.edge(f"wire{port.operand}:e", f"{tag}:w")
            graph.edge(f"{tag}:e", f"gate{k}")
    return graph.source


def cards_dot(cards: Cards, theme: Theme) -> str:
    """Write cards: one box a layer."""
    from graphviz import Digraph

    graph = Digraph(
        "layers",
        graph_attr={
            "rankdir": "LR",
            "label": _plain(cards.title),
            "fontname": "Helvetica",
            "fontcolor": f"#{theme.ink}",
            "bgcolor": f"#{theme.paper}",
        },
        node_attr={
            "shape": "box",
            "style": "rounded,filled",
            "fontname": "Helvetica",
            "fontsize": "11",
            "fontcolor": f"#{theme.ink}",
            "color": f"#{theme.wire}",
        },
        edge_attr={"color": f"#{theme.wire}"},
    )
    for card in cards.cards:
        lines = [f"<B>{escape(card.name)}</B>", *(escape(line) for line in card.lines if line)]
        rows = "".join(f"<TR><TD>{line}</TD></TR>" for line in lines)
        table = f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{rows}</TABLE>>'
        graph.node(f"card{card.index}", table, fillcolor=f"#{theme.card_fills[card.tint]}")
    for tail, head in cards.links:
        graph.edge(f"card{tail}", f"card{head}")
    return graph.source
