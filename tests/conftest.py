"""What all tests share: profiles of the property tests, and a summary of the gate contract at the end."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

# no deadlines: a loaded machine is no defect. Where CI decides, the same examples every time; elsewhere new ones.
settings.register_profile("home", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "home")

# test processes side by side share the processors already: steps take one thread unless a test asks for more
if os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ.setdefault("GRAPHC_THREADS", "1")


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
