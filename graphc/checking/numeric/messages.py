"""What a wrong gradient looks like, in words: index, both values, error, step, reason, next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy

from graphc.checking.numeric.report import Sample, place_text

__all__ = ["not_finite_text", "pattern", "sample_pattern", "shape_text", "wrong_text"]

Array = numpy.ndarray


def wrong_text(
    name: str,
    sample: Sample,
    source: str,
    hint: str,
    mistake: str,
    next_step: str,
    *,
    beside: bool = False,
    graph: bool = True,
) -> str:
    """Text on the worst sample of a parameter that is not right.

    Parameters
    ----------
    source : str
        Where the analytic value comes from.
    hint : str
        What the error looks like, or an empty string.
    mistake : str
        The mistake that gives just this, or an empty string.
    beside : bool
        Whether the sample was taken beside the point, away from its ties.
    graph : bool
        Whether winners were tracked; else kinks are known by their two slopes.
    """
    at = f"{name}{place_text(sample.place)}" if sample.place else name
    if sample.place is None:
        at = f"{name} along a random direction through all elements"
    lines = [f"{name} is {'not measured' if sample.verdict == 'unclear' else 'WRONG'}: {at}"]
    if beside:
        lines[0] += ", at a point beside the one given, away from its ties"
    lines += [
        f"  numeric   {sample.numeric:<14.8g} slope of the loss by central differences, step {sample.step:.1e}",
        f"  analytic  {sample.analytic:<14.8g} from {source}",
        f"  error     {sample.error:<14.3g} relative {sample.relative:.1e}; allowed {sample.allowed:.1e}",
    ]
    if sample.interval is not None:
        low, high = sample.interval
        lines.append(f"  Ties at the point allow {low:.8g} to {high:.8g}.")
    why = []
    if sample.reason:
        why.append(sample.reason)
    if sample.order is not None and sample.verdict == "wrong":
        right = sample.order > 1.8
        why.append(
            f"the Taylor remainder has order {sample.order:.2f}"
            + (", as of a right gradient: the error is small" if right else "; of a right gradient it is 2")
        )
    if sample.kinks:
        held = ", ".join(sample.kinks)
        why.append(f"winners that change within the first step were held, so no kink excuses it: {held}")
    elif sample.verdict == "wrong" and sample.interval is None:
        seen = (
            "no winner of max, relu or pooling changes within the step" if graph else "the slopes on both sides agree"
        )
        why.append(f"{seen}, so no kink excuses it")
    lines.append(f"  Why: {'; '.join(why)}.")
    if hint:
        lines.append(f"  It looks like {hint}.")
    if mistake:
        lines.append(f"  Mistake: {mistake}.")
    lines.append(f"  Next: {next_step}")
    return "\n".join(lines)


def shape_text(name: str, found: tuple[int, ...], expected: tuple[int, ...], source: str) -> str:
    """Text on a gradient of the wrong shape."""
    if found == expected[::-1] and len(expected) > 1:
        hint = "transpose it, or swap the factors of the matrix product that makes it"
    elif found == () and expected:
        hint = "it was summed over all axes; sum over the batch alone"
    elif len(found) > len(expected) and found[len(found) - len(expected) :] == expected:
        hint = f"{name} is used once for each of {found[0]}: sum its gradient over axis 0"
    elif sorted(found) == sorted(expected):
        hint = "its axes are in another order: transpose it"
    else:
        hint = "the gradient of a loss has one entry for each entry of the parameter"
    return (
        f"{name} is WRONG: its gradient has shape {found}, expected {expected}, the shape of {name}\n"
        f"  from {source}\n  Next: {hint}"
    )


def not_finite_text(name: str, gradient: Array, source: str) -> str:
    """Text on a gradient with a NaN or an infinity in it."""
    bad = numpy.argwhere(~numpy.isfinite(gradient))
    place = tuple(int(i) for i in bad[0])
    return (
        f"{name} is WRONG: its gradient is {gradient[place]} at {name}{place_text(place)}"
        f" ({len(bad)} of {gradient.size} entries are no number), while the loss is finite\n"
        f"  from {source}\n"
        "  Next: look for 0/0, log(0) or inf - inf on the way back; a branch that is not taken still counts if it is "
        "multiplied by 0"
    )


def pattern(candidate: Array, reference: Array, terms: Mapping[str, Array], sizes: Mapping[str, int]) -> str:
    """What a wrong gradient looks like beside the right one; an empty string where no pattern fits.

    Parameters
    ----------
    terms : mapping
        Gradient of each term of the loss, by its name.
    sizes : mapping
        Named sizes, such as the batch.
    """
    size = float(abs(reference).max(initial=0.0))
    if size == 0:
        return "a term that does not belong there: the right gradient is 0 everywhere"
    if bool((abs(candidate - reference) <= 1e-4 * size).all()):
        return ""  # too near to have a pattern

    def same(a: Array, b: Array) -> bool:
        return bool((abs(a - b) <= 1e-5 * float(abs(b).max(initial=0.0))).all())

    if candidate.ndim == 2 and candidate.shape[0] == candidate.shape[1] and same(candidate, reference.T):
        return "the transpose of the right gradient"
    if not candidate.any():
        return "0 everywhere: the path to this parameter is missing"
    factor = float((candidate * reference).sum() / (reference**2).sum())
    if factor and same(candidate, factor * reference):
        return _factor_text(factor, "the right gradient") + _size_text(factor, sizes)
    for name, part in terms.items():
        if part.any() and len(terms) > 1:
            rest = candidate - (reference - part)
            factor = float((rest * part).sum() / (part**2).sum())
            if float(abs(rest).max()) <= 1e-5 * float(abs(part).max()):
                return f"the right gradient without that of the term {name}"
            if same(rest, factor * part):
                what = f"the gradient of the term {name}"
                return f"the right one, but for {_factor_text(factor, what)}" + _size_text(factor, sizes)
    zero = reference == 0
    error = abs(candidate - reference) > 1e-5 * size
    if zero.any() and error[zero].any() and not error[~zero].any():
        count = int(error[zero].sum())
        return f"a missing mask: {count} entries are not 0 where the right gradient is, the others are right"
    gone = (candidate == 0) & ~zero
    if gone.any() and not error[~gone].any():
        return f"a missing path: {int(gone.sum())} entries are 0 where the right gradient is not, the others are right"
    return ""


def sample_pattern(samples: Sequence[Sample]) -> str:
    """What a wrong gradient looks like at its samples, where no reference is known."""
    pairs = [(s.numeric, s.analytic) for s in samples if s.place is not None]
    pairs = [(n, a) for n, a in pairs if abs(n) > 1e-6 * max(abs(m) for m, _ in pairs)]
    if len(pairs) < 2:
        return ""
    if all(a == 0 for _, a in pairs):
        return "0 at every sample: the path to this parameter is missing"
    factors = [a / n for n, a in pairs]
    if max(factors) - min(factors) <= 1e-5 * abs(factors[0]) and abs(factors[0] - 1) > 1e-4:
        return _factor_text(factors[0], f"the right gradient at all {len(pairs)} samples")
    return ""


def _size_text(factor: float, sizes: Mapping[str, int]) -> str:
    """A factor that is a size, or one over it, tells of a mean or a sum."""
    for name, size in sizes.items():
        if size > 1 and abs(factor - size) < 1e-4 * size:
            return f" ({name} = {size}: a mean over {name} is missing)"
        if size > 1 and abs(factor * size - 1) < 1e-4:
            return f" ({name} = {size}: divided by {name} once too often)"
    return ""


def _factor_text(factor: float, what: str) -> str:
    if abs(factor + 1) < 1e-5:
        return f"{what} with the sign changed"
    if abs(1 / factor) > 1.5 and abs(1 / factor - round(1 / factor)) < 1e-4:
        return f"1/{round(1 / factor)} of {what}"
    return f"{factor:.6g} times {what}"
