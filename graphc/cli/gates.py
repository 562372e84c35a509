"""``graphc gates``: what the registry holds."""

from __future__ import annotations

from graphc.graph import registry

__all__ = ["show_gates"]


def show_gates(name: str | None) -> int:
    """List the gates with their formulas, or print the atlas entry of one."""
    if name is not None:
        registry.gate(name)  # an unknown name is refused here, with the closest one
        from graphc.cli.atlas import entry

        print(entry(name, with_pictures=False))
        return 0
    gates = registry.gates()
    width = max(map(len, gates))
    for known in registry.names():
        lines = gates[known].text().strip().splitlines()
        for k, line in enumerate(lines):
            print(f"{known if k == 0 else '':<{width}}  {line.strip()}")
    print(f"\n{len(gates)} gates; `graphc gates NAME` shows one with its derivatives")
    return 0
