"""Single mistakes in right answers, made in the expression tree alone, without a thought of how they are diagnosed.

A mutant says what was done to the tree. ``expected`` holds the kinds of explanation that name it, or nothing where the
mistake is none of the known kinds and the right diagnosis is "cause not known". ``witness`` holds names of the part
of the tree that was touched; a good explanation points there.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from graphc.formula.expression import Call, Expression, Number, Symbol, symbols
from tests.checking.mutation_graphs import Exercise, plain, read

ONE, TWO = Number(1), Number(2)
MISSING = frozenset({"missing factor", "missing mask", "missing upstream", "another gradient"})
EXTRA = frozenset({"extra factor", "extra upstream", "another gradient"})
OTHER = frozenset(
    {"other value", "other step", "other operand", "other factor", "another gradient", "pre-activation",
     "post-activation", "other gradient", "dropped constant", "extra factor", "missing factor"}
)  # fmt: skip
PATH = frozenset({"missing path", "missing step", "detached", "another gradient"})
SIGN = frozenset({"sign"})
CONSTANT = frozenset({"constant factor"})
STEP = frozenset({"other step", "other value"})
TRANSPOSED = frozenset({"transposed"})
SUM = frozenset({"missing sum"})
UNKNOWN: frozenset[str] = frozenset()
NEIGHBOURS = {"tanh": "sin", "sigmoid": "tanh", "exp": "cos", "sqrt": "exp", "softplus": "exp", "softmax": "exp",
              "sin": "cos", "log": "sqrt"}  # fmt: skip
LABEL = frozenset({"missing label"})
LINEAR = {"mul", "neg", "paths", "matmul", "transpose", "sum", "mean", "correlate", "convolve", "column"}


@dataclass(frozen=True)
class Mutant:
    """A wrong answer."""

    exercise: Exercise
    target: str
    expression: Expression
    done: str
    expected: frozenset[str]
    witness: frozenset[str]


Made = tuple[Expression, str, frozenset[str], frozenset[str]]


def step(name: str) -> tuple[str, str] | None:
    found = re.fullmatch(r"([a-zA-Z]+)(\d+)", name)
    return (found[1], found[2]) if found else None


class Mutator:
    """Changes of one tree.

    Parameters
    ----------
    alike : mapping
        For each name the names of nodes with the same shape.
    around : mapping
        For the output of an activation its input, and the other way round.
    arriving : callable
        Whether a tree is the gradient of some node: to forget it is one mistake, though it is a product.
    """

    def __init__(
        self,
        alike: Mapping[str, Collection[str]],
        around: Mapping[str, str],
        arriving: Callable[[Expression], bool],
        chance: random.Random,
    ) -> None:
        self.alike, self.around, self.upstream, self.chance = alike, around, arriving, chance

    def mutants(self, tree: Expression) -> Iterator[Made]:
        """Every change of a tree, one at a time."""
        names = frozenset(symbols(tree))
        yield Call("neg", (tree,)), "the sign of the whole", SIGN, frozenset()
        for factor in (TWO, Number(3)):
            yield Call("mul", (factor, tree)), f"the whole times {factor}", CONSTANT, frozenset()
        yield Call("div", (tree, TWO)), "the whole halved", CONSTANT | PATH, frozenset()
        yield Call("add", (tree, Number(1))), "plus 1", frozenset({"constant term"}), frozenset()
        yield from self.foreign(tree, names)
        yield Call("transpose", (tree,)), "the whole transposed", TRANSPOSED, frozenset()
        yield from self.walk(tree, lambda e: e, True)

    def foreign(self, tree: Expression, names: Collection[str]) -> Iterator[Made]:
        """Terms and factors that have no place in the graph."""
        if not names:
            return
        some = Symbol(self.chance.choice(sorted(names)))
        wave = Call("sin", (some,))
        yield Call("add", (tree, Call("mul", (wave, some)))), f"a term in sin({some}) added", UNKNOWN, frozenset()
        yield Call("mul", (tree, Call("cos", (some,)))), f"a factor cos({some})", UNKNOWN, frozenset()
        yield Call("exp", (tree,)), "the exponential of the whole", UNKNOWN, frozenset()

    def walk(self, tree: Expression, put: Callable[[Expression], Expression], linear: bool) -> Iterator[Made]:
        """Changes at a node of the tree and below it; ``put`` builds the whole around what stands there."""
        for changed, done, expected, witness in self.here(tree, linear):
            yield put(changed), done, expected, witness
        if not isinstance(tree, Call):
            return
        if tree.function == "joint":  # which slip of the pen is which mistake cannot be told here
            for changed, done, _, _ in self.walk(tree.operands[0], lambda e: e, False):
                yield put(changed), f"{done} where factors have merged", UNKNOWN, frozenset()
            return
        for k, operand in enumerate(tree.operands):
            below = linear and tree.function in (LINEAR | {"div"})
            if tree.function == "one_hot" or (k and tree.function in ("sum", "mean")) or k > 1:
                continue  # settings

            def within(e: Expression, tree: Call = tree, k: int = k) -> Expression:
                return put(Call(tree.function, (*tree.operands[:k], e, *tree.operands[k + 1 :])))

            yield from self.walk(operand, within, below)

    def here(self, tree: Expression, linear: bool) -> Iterator[Made]:
        if isinstance(tree, Call) and tree.function == "joint":
            return
        if isinstance(tree, Symbol):
            yield from self.swapped(tree, linear)
        elif isinstance(tree, Number):
            expected = CONSTANT if linear else UNKNOWN
            if tree.value in (1, 2, 3):
                yield Number(tree.value + 1), f"{tree} made {tree.value + 1}", expected, frozenset()
        elif linear:
            yield from self.factors(tree)
            yield from self.terms(tree)
        else:
            yield from self.inside(tree)
        if isinstance(tree, Call) and tree.function in NEIGHBOURS:
            name = NEIGHBOURS[tree.function]
            yield Call(name, tree.operands), f"{tree.function} taken for {name}", UNKNOWN, frozenset()

    def factors(self, tree: Call) -> Iterator[Made]:
        match tree:
            case Call("mul", (a, b)):
                for kept, dropped in ((a, b), (b, a)):
                    names = frozenset(symbols(dropped))
                    if isinstance(dropped, Number):
                        yield kept, f"the factor {dropped} dropped", CONSTANT | PATH, frozenset()
                        continue
                    if product(dropped) and not self.upstream(dropped):
                        continue  # several factors at once are several mistakes
                    yield kept, f"the factor {show(dropped)} dropped", MISSING, names
                    squared = Call("mul", (tree, dropped))
                    yield squared, f"the factor {show(dropped)} twice", EXTRA, names
                    if not (isinstance(dropped, Call) and dropped.function in ("greater", "less", "equal")):
                        bent = Call("mul", (kept, Call("sin", (dropped,))))
                        yield bent, f"sin of the factor {show(dropped)}", UNKNOWN, frozenset()
            case Call("div", (a, b)):
                names = frozenset(symbols(b))
                if names and product(b):
                    return
                yield a, f"the divisor {show(b)} dropped", (MISSING | EXTRA) if names else CONSTANT, names
                if names:
                    yield Call("div", (tree, b)), f"the divisor {show(b)} twice", EXTRA | MISSING, names
                else:
                    yield Call("div", (tree, TWO)), "the divisor doubled", CONSTANT, names
            case Call("pow", (a, Number(value))):
                names = frozenset(symbols(a))
                yield Call("pow", (a, Number(value + 1))), "the exponent raised", EXTRA | MISSING, names
                yield Call("pow", (a, Number(value - 1))), "the exponent lowered", MISSING | EXTRA, names
            case Call("matmul", (a, b)):
                for left, right, which in ((Call("transpose", (a,)), b, a), (a, Call("transpose", (b,)), b)):
                    # the shapes tell where this is possible
                    bare = (len(list(symbols(which))) == 1 and not isinstance(which, Call)) or (
                        isinstance(which, Call) and which.function == "transpose"
                    )
                    expected = TRANSPOSED if bare else TRANSPOSED | {"other gradient"}
                    names = frozenset(symbols(which))
                    yield Call("matmul", (left, right)), f"{show(which)} transposed", expected, names
            case Call("sum", (a, axis)):
                yield a, f"the sum over axis {axis} dropped", SUM, frozenset()
                yield Call("mean", (a, axis)), "mean in place of sum", CONSTANT, frozenset()
                other = Number(1 - axis.value) if isinstance(axis, Number) and axis.value in (0, 1) else axis
                yield Call("sum", (a, other)), "the sum over the other axis", frozenset({"wrong axis"}), frozenset()
            case Call("mean", (a, axis)):
                yield Call("sum", (a, axis)), "sum in place of mean", CONSTANT, frozenset()
            case Call("correlate", (a, b, mode)):
                flipped = Call("convolve", (a, b, mode))
                yield flipped, "convolution in place of correlation", UNKNOWN, frozenset()
            case Call("convolve", (a, b, mode)):
                flipped = Call("correlate", (a, b, mode))
                yield flipped, "correlation in place of convolution", frozenset({"flipped filter"}), frozenset()

    def terms(self, tree: Call) -> Iterator[Made]:
        if tree.function != "paths":
            if tree.function in ("add", "sub"):
                yield from self.inside(tree)
            return
        for k, term in enumerate(tree.operands):
            if not product(term) and not isinstance(term, Symbol) and set(symbols(term)):
                bare = (*tree.operands[:k], ONE, *tree.operands[k + 1 :])
                yield Call("paths", bare), f"1 for the path {show(term)}", MISSING, frozenset(symbols(term))
            others = (*tree.operands[:k], *tree.operands[k + 1 :])
            rest = others[0] if len(others) == 1 else Call("paths", others)
            yield rest, f"the path {show(term)} dropped", PATH, frozenset()
            flipped = (*tree.operands[:k], Call("neg", (term,)), *tree.operands[k + 1 :])
            yield Call("paths", flipped), f"the sign of the path {show(term)}", SIGN, frozenset()
            doubled = (*tree.operands[:k], Call("mul", (TWO, term)), *tree.operands[k + 1 :])
            yield Call("paths", doubled), f"the path {show(term)} twice", CONSTANT, frozenset()
        if len(tree.operands) > 2:
            yield tree.operands[-1], "all paths dropped but the last", PATH, frozenset()
            yield tree.operands[0], "all paths dropped but the first", PATH, frozenset()
        multiplied = tree.operands[0]
        for term in tree.operands[1:]:
            multiplied = Call("mul", (multiplied, term))
        yield multiplied, "paths multiplied in place of added", UNKNOWN, frozenset()

    def inside(self, tree: Expression) -> Iterator[Made]:
        """Changes in a place where they are no factor and no path of the gradient."""
        match tree:
            case Call("sub", (a, b)):
                yield Call("add", (a, b)), f"plus for minus in {show(tree)}", UNKNOWN, frozenset()
                label = isinstance(b, Call) and b.function == "one_hot"
                total = isinstance(b, Call) and b.function == "column"
                rest = LABEL if label else SUM if total else MISSING if a == ONE else UNKNOWN
                names = frozenset(symbols(b)) if a == ONE else frozenset()
                yield a, f"{show(b)} dropped from {show(tree)}", rest, names
                if not isinstance(b, Call) and a == ONE:
                    yield b, f"only {show(b)} left of {show(tree)}", OTHER | EXTRA, frozenset(symbols(b))
            case Call("add", (a, b)):
                yield Call("sub", (a, b)), f"minus for plus in {show(tree)}", UNKNOWN, frozenset()
                yield a, f"{show(b)} dropped from {show(tree)}", UNKNOWN, frozenset()
            case Call("pow", (a, b)):
                yield a, f"the power dropped from {show(tree)}", OTHER, frozenset(symbols(a))
            case Call("greater", (a, b)):
                yield Call("less", (a, b)), f"{show(tree)} the wrong way round", UNKNOWN, frozenset()
            case Call("equal" | "one_hot", _):
                return

    def swapped(self, tree: Symbol, linear: bool) -> Iterator[Made]:
        """Another node of the same shape in place of one."""
        own = step(tree.name)
        for other in sorted(self.alike.get(tree.name, ())):
            names = frozenset({tree.name, other})
            theirs = step(other)
            done = f"{other} in place of {tree.name}"
            if own is not None and theirs is not None and own[0] == theirs[0]:
                yield Symbol(other), done, STEP | OTHER, names
            elif self.around.get(tree.name) == other:
                yield Symbol(other), done, OTHER, names
            elif linear:
                if self.chance.random() < 0.3:
                    yield Symbol(other), done, OTHER, names
            elif self.chance.random() < 0.15:
                yield Symbol(other), done + " inside", OTHER, names


def product(tree: Expression) -> bool:
    """Whether a tree is a product of several factors."""
    return isinstance(tree, Call) and tree.function in ("mul", "div", "pow", "neg", "matmul", "paths")


def show(tree: Expression) -> str:
    """Short text of a tree with calls that the formula language does not have."""
    if isinstance(tree, Call):
        return f"{tree.function}({', '.join(show(o) for o in tree.operands)})"
    return str(tree)


def mutants(
    exercise: Exercise,
    alike: Mapping[str, Collection[str]],
    around: Mapping[str, str],
    arriving: Callable[[Expression], bool],
    shape: Callable[[Expression], tuple[int, ...] | None],
    seed: int = 0,
) -> Iterator[Mutant]:
    """Mutants of all answers of an exercise: of the answers, and of what they say with ``let``."""
    mutator = Mutator(alike, around, arriving, random.Random(f"{exercise.name} {seed}"))
    right = exercise.trees()
    lets: dict[str, Expression] = {}
    opened: dict[str, Expression] = {}
    for name, text in exercise.lets.items():
        opened[name] = read(text)
        lets[name] = read(text, lets)
    for target, text in exercise.answers.items():
        # as it is written, with names for what was computed before
        for tree, done, expected, witness in mutator.mutants(read(text)):
            yield Mutant(exercise, target, plain(substituted(tree, lets)), done, expected, opening(witness, lets))
        if lets and not exercise.arrays:  # written out: a slip on one path leaves the others as they are
            for tree, done, expected, witness in mutator.mutants(right[target]):
                yield Mutant(exercise, target, plain(tree), f"written out: {done}", expected, witness)
        used = set(symbols(read(text)))
        while more := {n for name in used & set(opened) for n in symbols(opened[name])} - used:
            used |= more
        for name in sorted(used & set(lets)):
            for tree, done, expected, witness in mutator.walk(opened[name], lambda e: e, True):
                earlier = {n: lets[n] for n in lets if list(lets).index(n) < list(lets).index(name)}
                if shape(substituted(tree, earlier)) != shape(lets[name]):
                    continue
                changed = exercise.trees({name: substituted(tree, earlier)})[target]
                witness = opening(witness, lets)
                yield Mutant(exercise, target, plain(changed), f"in {name}: {done}", expected, witness)


def substituted(tree: Expression, lets: Mapping[str, Expression]) -> Expression:
    """A tree with let names written out."""
    if isinstance(tree, Symbol):
        return lets.get(tree.name, tree)
    if isinstance(tree, Call):
        return Call(tree.function, tuple(substituted(o, lets) for o in tree.operands))
    return tree


def opening(witness: frozenset[str], lets: Mapping[str, Expression]) -> frozenset[str]:
    """Names of the graph that let names stand for."""
    return frozenset(n for name in witness for n in (symbols(lets[name]) if name in lets else (name,)))
