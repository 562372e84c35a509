"""What all tests share: a summary of the gate contract at the end."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how much the contract over the registry compared (reports carry the counts, also under xdist)."""
    reports = [
        report
        for report in terminalreporter.stats.get("passed", [])
        if any(key == "comparisons" for key, _ in report.user_properties)
    ]
    if not reports:
        return
    import graphc.gates  # noqa: F401 - fills the registry
    from graphc.graph import registry

    gates = registry.gates()
    shapes = sum(len(gate.samples) for gate in gates.values())
    compared = sum(value for report in reports for key, value in report.user_properties if key == "comparisons")
    terminalreporter.write_line(
        f"gate contract: {len(gates)} gates, {shapes} samples of shapes, {compared} comparisons in {len(reports)} tests"
    )
