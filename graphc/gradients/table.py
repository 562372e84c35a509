"""The worked table: one row for each edge, local × upstream = downstream."""

from __future__ import annotations

__all__ = ["format_table"]


def format_table(rows: list[tuple[str, str, str, str, str]]) -> str:
    """Lay out a worked table: gate | operand | local × upstream = downstream."""
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    lines = []
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        lines.append(f"{cells[0]} | {cells[1]} | {cells[2]} × {cells[3]} = {row[4]}".rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)
