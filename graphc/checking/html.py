"""A report as one page that works offline: no script, no font, no address."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from graphc.checking.drawn import drawn_marks
from graphc.checking.text import finding_parts, shortened
from graphc.errors import GraphcError

if TYPE_CHECKING:
    from graphc.checking.report import Finding, Report

__all__ = ["html_text"]

_STYLE = """
:root { color-scheme: light dark; --right: #0b6b3a; --wrong: #a3200d; --open: #7a5200; --line: #8886; }
@media (prefers-color-scheme: dark) { :root { --right: #6fd39b; --wrong: #ff9d8a; --open: #f0c060; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; margin: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
section { border-left: 4px solid var(--line); padding: .1rem 0 .1rem 1rem; margin: 1.2rem 0; }
section.right { border-color: var(--right); } section.wrong { border-color: var(--wrong); }
section.undecided { border-color: var(--open); }
h2 { font-size: 1.05rem; margin: .2rem 0; overflow-wrap: anywhere; }
.right b { color: var(--right); } .wrong b { color: var(--wrong); } .undecided b { color: var(--open); }
figure { margin: 1.5rem 0; overflow-x: auto; background: #fff; color: #222; padding: .5rem; }
svg { max-width: 100%; height: auto; }
footer { color: GrayText; font-size: .9rem; }
"""

_ROLES = {"proved": "right", "agrees": "right", "differs": "wrong", "undecided": "undecided"}
_WORDS = {
    "proved": "right, proved",
    "agrees": "right at every point tried",
    "differs": "wrong",
    "undecided": "undecided",
}


def html_text(report: Report) -> str:
    """The page of a report."""
    right = sum(finding.ok for finding in report.values())
    title = escape(f"Gradients of {report.root.label}: {right} of {len(report)} claims right")
    findings = "\n".join(_section(finding) for finding in report.values())
    conventions = "\n".join(f"<li>{escape(line)}</li>" for line in report.conventions)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{title}</h1>
{findings}
{_figure(report)}
<footer><h2>Conventions</h2>
<ul>
{conventions}
</ul></footer>
</body>
</html>
"""


def _section(finding: Finding) -> str:
    """One claim: its verdict in words and colour, where it fails and every explanation."""
    role = _ROLES[finding.verdict]
    head = (
        f"<h2>∂/∂{escape(finding.name)} = <code>{escape(shortened(finding.claimed))}</code>: "
        f"<b>{_WORDS[finding.verdict]}</b></h2>"
    )
    lines = "".join(text for _, text in finding_parts(finding)).split("\n", 1)
    details = _unindented(lines[1]) if len(lines) > 1 and lines[1].strip() else ""
    if role != "wrong":
        details = escape(finding.note)
        return f'<section class="{role}">{head}{f"<p>{details}</p>" if details else ""}</section>'
    others = [e.text for e in finding.explanations if finding.diagnosis is None or e.text not in finding.diagnosis]
    more = ""
    if others:
        items = "".join(f"<li>{escape(text)}</li>" for text in dict.fromkeys(others))
        more = f"<details><summary>Other mistakes that would give this claim</summary><ul>{items}</ul></details>"
    return f'<section class="{role}">{head}<pre>{escape(details)}</pre>{more}</section>'


def _unindented(text: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in text.splitlines())


def _figure(report: Report) -> str:
    """The marked graph; without the picture where it cannot be drawn."""
    try:
        picture = report.draw()
        items = "".join(
            f"<li>{escape(said)}</li>" for said in dict.fromkeys(drawn_marks(report)[1].values()) if ":" in said
        )
        caption = f"<figcaption>Dotted frames<ul>{items}</ul></figcaption>" if items else ""
        return f"<figure>{picture.svg()}{caption}</figure>"
    except GraphcError as error:
        return f"<p>No picture: {escape(str(error))}</p>"
