"""Is my derivative right, and if not, where did I go wrong?

A claim is compared with the derivative of the graph at points of 60 digits; where all of them agree, a
proof is tried.
"""

# %% The derivative of a sigmoid, written through its own value
import graphc

x = graphc.input("x")
f = (1 / (1 + graphc.exp(-x))).named("f")

right = graphc.check(f, {"x": "f*(1 - f)"})
print(right)
assert right.ok

# %% The sign of the exponent forgotten
wrong = graphc.check(f, {"x": "-f*(1 - f)"})
print(wrong)
assert not wrong.ok
assert wrong["x"].verdict == "differs"
