"""Optimisers: formulas over parameter, gradient, state and learning rate.

An optimiser declares, for each parameter, the node it becomes after a step. These nodes are planned and
compiled like every other gate; there is no update loop in Python. The learning rate is an input, so
that changing it needs no new compilation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from graphc.errors import GraphcError, did_you_mean
from graphc.graph import Gate, Node, input, state

__all__ = ["SGD", "Adam", "Optimizer", "optimizer_from"]

_LEARNING_RATE = "learning rate"


def _number(name: str, value: Any, low: float, high: float, open_low: bool = False) -> float:
    """Return a hyper-parameter within ``[low, high)``, or refuse it."""
    inside = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (low < value if open_low else low <= value)
        and value < high
    )
    if not inside:
        bound = f"{'above' if open_low else 'at least'} {low:g}"
        bound += f" and below {high:g}" if math.isfinite(high) else ""
        raise GraphcError(f"{name} must be a number {bound}, found {value!r}")
    return float(value)


class Optimizer:
    """What optimisers share: the learning rate, and that they can be written down and read back.

    Attributes
    ----------
    learning_rate : float
        Read at each step: a new value acts at the next one.
    learning_rate_node : Node
        The scalar input through which compiled steps receive it.
    """

    #: Names of the hyper-parameters, as the constructor takes them.
    hyperparameters: tuple[str, ...] = ("learning_rate",)

    learning_rate: float

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.learning_rate_node: Node = input(_LEARNING_RATE)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "learning_rate":  # it may be set at any time, so it is judged at any time
            value = _number(name, value, 0.0, math.inf)
        super().__setattr__(name, value)

    def updates(self, parameters: Mapping[str, tuple[Node, Node]]) -> list[tuple[Node, Node]]:
        """Declare the updates of one step.

        Parameters
        ----------
        parameters : mapping
            Name -> (parameter, gradient of the loss with respect to it).

        Returns
        -------
        list of (Node, Node)
            Each parameter or state with the node that it becomes; all read the values before the step.
        """
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Return class name and hyper-parameters, as checkpoints store them."""
        return {"class": type(self).__name__} | {n: getattr(self, n) for n in self.hyperparameters}

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.hyperparameters)
        return f"{type(self).__name__}({inner})"


_DECAYED = Gate(
    "weight decay",
    "y = gradient + decay * weight",
    ("gradient", "weight"),
    attributes={"decay": 0.0},
    source="Krogh, Hertz, NIPS 4 (1991), eq. 2",
)
_DESCENT = Gate(
    "descent",
    "y = weight - rate * gradient",
    ("weight", "gradient", "rate"),
    source="Cauchy, Comptes rendus 25 (1847)",
)
_VELOCITY = Gate(
    "velocity",
    "y = momentum * velocity + gradient",
    ("velocity", "gradient"),
    attributes={"momentum": 0.9},
    source="Polyak, USSR Comp. Math. 4 (1964), eq. 9",
)
_NESTEROV = Gate(
    "nesterov descent",
    "y = weight - rate * (gradient + momentum * velocity)",
    ("weight", "gradient", "velocity", "rate"),
    attributes={"momentum": 0.9},
    source="Sutskever et al., ICML (2013), eq. 3 and 4",
)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

    ``v <- momentum * v + g`` and then ``w <- w - rate * v``; without momentum ``w <- w - rate * g``.

    Parameters
    ----------
    learning_rate : float
        Step length, at least 0.
    momentum : float, default 0
        Share of the velocity that is kept, at least 0 and below 1.
    nesterov : bool, default False
        Step along the gradient expected at the end of the step: ``w <- w - rate * (g + momentum * v)``
        with the new velocity.
    weight_decay : float, default 0
        ``weight_decay * w`` is added to the gradient: the derivative of ``weight_decay/2 * sum(w**2)``.

    Raises
    ------
    GraphcError
        If a hyper-parameter is out of its range, or ``nesterov`` is asked for without momentum.

    Notes
    -----
    State: one array a parameter, ``name/velocity``, none without momentum.

    Source
    ------
    Polyak, USSR Comp. Math. 4 (1964), eq. 9; Sutskever et al., ICML (2013), eq. 1 to 4.

    Examples
    --------
    >>> import graphc
    >>> graphc.SGD(0.05, momentum=0.9)
    SGD(learning_rate=0.05, momentum=0.9, nesterov=False, weight_decay=0.0)
    """

    hyperparameters = ("learning_rate", "momentum", "nesterov", "weight_decay")

    def __init__(
        self,
        learning_rate: float,
        momentum: float = 0.0,
        *,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(learning_rate)
        self.momentum = _number("momentum", momentum, 0.0, 1.0)
        self.nesterov = bool(nesterov)
        self.weight_decay = _number("weight_decay", weight_decay, 0.0, math.inf)
        if self.nesterov and not self.momentum:
            raise GraphcError("nesterov=True needs a momentum above 0, for example momentum=0.9")

    def updates(self, parameters: Mapping[str, tuple[Node, Node]]) -> list[tuple[Node, Node]]:
        """Declare the updates of one step; see `Optimizer.updates`."""
        rate = self.learning_rate_node
        result: list[tuple[Node, Node]] = []
        for name, (weight, gradient) in parameters.items():
            slope = gradient
            if self.weight_decay:
                slope = _DECAYED(gradient, weight, decay=self.weight_decay)
            if not self.momentum:
                result.append((weight, _DESCENT(weight, slope, rate)))
                continue
            velocity = state(f"{name}/velocity", weight.shape, dtype=weight.dtype)
            following = _VELOCITY(velocity, slope, momentum=self.momentum)
            if self.nesterov:
                stepped = _NESTEROV(weight, slope, following, rate, momentum=self.momentum)
            else:
                stepped = _DESCENT(weight, following, rate)
            result += [(velocity, following), (weight, stepped)]
        return result


# rest = 1 - beta comes rounded once: 1 - 0.999 in float32 would lose four digits
_MEAN = Gate(
    "first moment",
    "y = beta * mean + rest * gradient",
    ("mean", "gradient"),
    attributes={"beta": 0.9, "rest": 0.1},
    source="Kingma, Ba, ICLR (2015), Algorithm 1",
)
_SQUARE = Gate(
    "second moment",
    "y = beta * square + rest * gradient * gradient",
    ("square", "gradient"),
    attributes={"beta": 0.999, "rest": 0.001},
    source="Kingma, Ba, ICLR (2015), Algorithm 1",
)
_COUNT = Gate("step count", "y = step + 1", ("step",), source="Definition")
# 1 - beta**step without cancellation, from the logarithm that Python computes
_CORRECTION = Gate(
    "bias correction",
    "y = -expm1(step * log_beta)",
    ("step",),
    attributes={"log_beta": -0.1},
    source="Kingma, Ba, ICLR (2015), section 3",
)
_ADAM = Gate(
    "adam step",
    "y = weight - rate * (mean / mean_correction) / (sqrt(square / square_correction) + epsilon)",
    ("weight", "mean", "square", "mean_correction", "square_correction", "rate"),
    attributes={"epsilon": 1e-8},
    source="Kingma, Ba, ICLR (2015), Algorithm 1",
)


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square, corrected for their start at 0.

    Parameters
    ----------
    learning_rate : float, default 0.001
        Step length, at least 0.
    beta1, beta2 : float, default 0.9 and 0.999
        Share of the running means that is kept, above 0 and below 1.
    epsilon : float, default 1e-8
        Added to the root of the second moment, above 0.

    Raises
    ------
    GraphcError
        If a hyper-parameter is out of its range.

    Notes
    -----
    State: two arrays a parameter, ``name/mean`` and ``name/square``, and one ``step`` count.

    Source
    ------
    Kingma, Ba, ICLR (2015), Algorithm 1.

    Examples
    --------
    >>> import graphc
    >>> graphc.Adam()
    Adam(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-08)
    """

    hyperparameters = ("learning_rate", "beta1", "beta2", "epsilon")

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(learning_rate)
        self.beta1 = _number("beta1", beta1, 0.0, 1.0, open_low=True)
        self.beta2 = _number("beta2", beta2, 0.0, 1.0, open_low=True)
        self.epsilon = _number("epsilon", epsilon, 0.0, math.inf, open_low=True)

    def updates(self, parameters: Mapping[str, tuple[Node, Node]]) -> list[tuple[Node, Node]]:
        """Declare the updates of one step; see `Optimizer.updates`."""
        if not parameters:
            return []
        dtype = next(iter(parameters.values()))[0].dtype
        step = state("step", (), dtype=dtype)
        count = _COUNT(step)
        corrections = [_CORRECTION(count, log_beta=math.log(b)) for b in (self.beta1, self.beta2)]
        result: list[tuple[Node, Node]] = [(step, count)]
        for name, (weight, gradient) in parameters.items():
            mean = state(f"{name}/mean", weight.shape, dtype=weight.dtype)
            square = state(f"{name}/square", weight.shape, dtype=weight.dtype)
            new_mean = _MEAN(mean, gradient, beta=self.beta1, rest=1.0 - self.beta1)
            new_square = _SQUARE(square, gradient, beta=self.beta2, rest=1.0 - self.beta2)
            stepped = _ADAM(
                weight,
                new_mean,
                new_square,
                *corrections,
                self.learning_rate_node,
                epsilon=self.epsilon,
            )
            result += [(mean, new_mean), (square, new_square), (weight, stepped)]
        return result


_KNOWN: dict[str, type[Optimizer]] = {"SGD": SGD, "Adam": Adam}


def optimizer_from(settings: Mapping[str, Any]) -> Optimizer:
    """Build an optimiser from its `Optimizer.settings`.

    Raises
    ------
    GraphcError
        If the class or a hyper-parameter is unknown.
    """
    given = dict(settings)
    name = given.pop("class", None)
    kind = _KNOWN.get(name) if isinstance(name, str) else None
    if kind is None:
        raise GraphcError(f"unknown optimiser {name!r}{did_you_mean(str(name), _KNOWN)}; known: {', '.join(_KNOWN)}")
    unknown = [key for key in given if key not in kind.hyperparameters]
    if unknown:
        raise GraphcError(f"{name} has no hyper-parameter {unknown[0]!r}; it has {', '.join(kind.hyperparameters)}")
    return kind(**given)
