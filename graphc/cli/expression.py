"""``graphc draw``: the circuit of an expression."""

from __future__ import annotations

from graphc.cli.declare import declare, numbers
from graphc.errors import GraphcError, did_you_mean
from graphc.gradients import backward
from graphc.graph import topological

__all__ = ["draw_expression"]


def draw_expression(text: str, at: str | None, output: str | None, frames: bool, theme: str) -> int:
    """Draw the circuit of an expression.

    Parameters
    ----------
    text : str
        The expression.
    at : str or None
        ``"x=-2,y=5"``; without it the drawing has closed forms instead of numbers.
    output : str or None
        File to write; without it the drawing is printed as text.
    frames : bool
        One picture for each gate, forward and then backward.
    theme : str
        Colours.
    """
    from graphc import drawing

    root = declare(text)
    back = backward(root)
    subject = back
    if at is not None:
        given = numbers(at, "--at")
        names = [n.label for n in topological([root]) if n.kind == "input"]
        for name in given:
            if name not in names:
                raise GraphcError(f"--at: {text!r} has no input {name!r}{did_you_mean(name, names)}")
        missing = [name for name in names if name not in given]
        if missing:
            example = ",".join(f"{name}={given.get(name, 1.0):g}" for name in names)
            raise GraphcError(f"--at gives no number for {', '.join(missing)}; for example --at {example}")
        subject = back.at(given)
    if frames:
        if output is None or at is None:
            raise GraphcError("--frames needs numbers and a file: --at x=1 -o steps.pdf")
        written = drawing.frames(subject, output, theme=theme)
        print(f"wrote {len(written)} file{'s' if len(written) > 1 else ''}: {', '.join(map(str, written))}")
        return 0
    picture = drawing.draw(subject, theme=theme)
    if output is None:
        print(picture.text())
    else:
        print(f"wrote {picture.save(output)}")
    if at is not None:
        print(subject)
    return 0
