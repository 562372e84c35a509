"""Signs of Python, Unicode and LaTeX in claims, each with the sign or word that the grammar knows."""

from __future__ import annotations

from collections.abc import Mapping

from graphc.checking.language.names import GREEK

__all__ = [
    "ACCENTS", "COMBINING", "COMMAND_OPERATORS", "FONTS", "FUNCTIONS", "GREEK_COMMANDS", "LOOKALIKES", "LOOKS",
    "OPERATORS", "STRUCTURES", "SUBSCRIPTS", "SUPERSCRIPTS",
]  # fmt: skip

#: Operators of one character or several, longest first, as they are called afterwards.
OPERATORS: Mapping[str, str] = {
    **{sign: sign for sign in ("**", "//", "<=", ">=", "==", "!=", ":=", "->")},
    "||": "‖",
    **{sign: sign for sign in "+-*/@^()[]{},:;.=<>|&~!%"},
    **dict.fromkeys("−–‐‑⁻", "-"),
    **dict.fromkeys("·⋅∙•", "·"),
    **dict.fromkeys("⊙∘◦", "⊙"),
    **dict.fromkeys("÷⁄∕", "/"),
    **dict.fromkeys("∣❘", "|"),
    "×": "×",
    "⊗": "⊗",
    "∗": "*",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "∧": "and",
    "∨": "or",
    "¬": "not",
    "‖": "‖",
    "∥": "‖",
    "∂": "∂",
    "∇": "∇",
    "⊤": "⊤",
    "ᵀ": "ᵀ",
    "⟙": "⊤",
    "\\\\": "\\\\",
}

#: Commands of LaTeX that are operators.
COMMAND_OPERATORS: Mapping[str, str] = {
    "cdot": "·", "times": "×", "odot": "⊙", "circ": "⊙", "otimes": "⊗", "div": "/", "le": "<=", "leq": "<=",
    "leqslant": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=", "lt": "<", "gt": ">", "ne": "!=", "neq": "!=",
    "land": "and", "wedge": "and", "lor": "or", "vee": "or", "lnot": "not", "neg": "not", "top": "⊤",
    "intercal": "⊤", "partial": "∂", "nabla": "∇", "{": "(", "}": ")", "lbrace": "(", "rbrace": ")", "lbrack": "[",
    "rbrack": "]", "|": "‖", "Vert": "‖", "lVert": "‖<", "rVert": "‖>", "vert": "|", "lvert": "|<", "rvert": "|>",
    "mid": "|", "\\": "\\\\", "_": "_",
}  # fmt: skip

#: Commands that the grammar knows by name.
STRUCTURES: Mapping[str, str] = {
    "frac": "frac", "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "sqrt": "sqrt",
}  # fmt: skip

#: Commands that say how something looks.
LOOKS = frozenset({
    "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "Biggl",
    "Biggr", "middle", "displaystyle", "textstyle", "limits", "bf", "rm", "it", "nolimits", "quad", "qquad",
    "mathstrut", "thinspace", ",", ";", "!", ":", ">", "(", ")", "[", "]", " ",
})  # fmt: skip

#: Commands whose argument is a name or a word.
FONTS = frozenset({
    "mathbf", "boldsymbol", "bm", "mathrm", "mathit", "mathsf", "mathcal", "mathtt", "mathbb", "mathbbm", "mathds",
    "mathfrak", "mathscr", "text", "textbf", "textit", "textrm", "textsf", "texttt", "operatorname", "vec",
    "underline", "mathop", "pmb",
})  # fmt: skip

#: Accents become words of a name.
ACCENTS: Mapping[str, str] = {
    "hat": "hat", "widehat": "hat", "tilde": "tilde", "widetilde": "tilde", "bar": "bar", "overline": "bar",
    "dot": "dot", "check": "check",
}  # fmt: skip

COMBINING: Mapping[str, str] = {"\u0302": "hat", "\u0303": "tilde", "\u0304": "bar", "\u0307": "dot"}

#: Functions that are commands.
FUNCTIONS = frozenset({
    "exp", "tanh", "ln", "log", "sin", "cos", "tan", "sinh", "cosh", "coth", "sech", "max", "min", "det", "arg",
})  # fmt: skip

GREEK_COMMANDS: Mapping[str, str] = {
    **{name: name for name in GREEK.values()},
    **{f"var{name}": name for name in ("epsilon", "theta", "phi", "rho", "sigma", "kappa", "pi")},
}

SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "0123456789+-aehijklmnoprstuvx")

#: Letters of other alphabets that look like Latin ones.
LOOKALIKES = dict(zip("аАеЕоОрРсСхХуУВНКМТіІјЈѕЅһԁɡո", "aAeEoOpPcCxXyYBHKMTiIjJsShdgn", strict=True))
