"""An exam sheet and its key.

The gradients are left to be filled in, the local ones too. The sheet and the key have the same layout, and no answer
is left anywhere in the sheet's file.
"""

from shared import save, texts, wires

import graphc

x, y, z = graphc.inputs("x y z")
q = (x + y).named("q")
run = graphc.backward((q * z).named("f")).at(x=-2, y=5, z=-4)

sheet = graphc.draw(run, style="circuit", exam=["gradients", "locals", "formulas"])
blank, solved = save(sheet, "exam"), save(sheet.key(), "exam_key")
assert {name: pair[1] for name, pair in wires(solved).items()} == {"x": "−4", "y": "−4", "z": "3", "q": "−4", "f": "1"}
assert all(not gradient for _, gradient in wires(blank).values())
assert [value for value, _ in wires(blank).values()] == [value for value, _ in wires(solved).values()]
assert "−12" in texts(blank)  # values are given
