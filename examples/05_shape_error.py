"""What does graphc say when shapes do not fit?

The message comes at the declaration, before any data: the gate, its formula, both operands with the places
where they were declared, and a likely repair.
"""

# %% A product whose inner extents differ
import graphc

x = graphc.input("x", ("N", 784))
W = graphc.parameter("W", (10, 784))
try:
    x @ W
except graphc.ShapeError as error:
    message = str(error)
print(message)
assert "matmul" in message
assert "transpose 'W'" in message
assert message.count("05_shape_error.py") >= 2

# %% A misspelt gate
try:
    activation = graphc.sigmiod
except AttributeError as error:
    message = str(error)
print(message)
assert "did you mean 'sigmoid'" in message

# %% Data that do not fit the declaration
step = graphc.compile([graphc.sum(x)])
try:
    step(x=[[1.0, 2.0]])
except graphc.DataError as error:
    message = str(error)
print(message)
assert "(N, 784)" in message
