"""HTML that cannot be broken out of: every text is escaped unless it is markup already."""

from __future__ import annotations

import html
import json
import unicodedata
from collections.abc import Iterable, Sequence

VOID = frozenset({"br", "meta", "link", "line", "rect"})
"""Elements without content."""
HIDDEN = frozenset({"Cc", "Cf", "Cs"})
"""Characters that show nothing, or turn what follows around: controls, formats, lone surrogates."""


NUMBERS = "figure"
"""The class of cells that hold a number, and of the heads of their columns."""


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def text(value: object) -> Html:
    """A value as text of a page; a character that would hide something is shown by its code."""
    return value if isinstance(value, Html) else Html(html.escape(readable(str(value))))


def readable(value: str) -> str:
    """A text in which every character can be seen.

    >>> readable("a\\u202eb")
    'a\\\\u202eb'
    """
    if value.isprintable():
        return value
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in HIDDEN else c.encode("unicode_escape").decode() for c in value)


def tag(element: str, /, *inside: object, **attributes: object) -> Html:
    """An element; None and False leave an attribute out, `class_` is `class` and `data_x` is `data-x`.

    >>> tag("td", "<b>", class_="figure")
    '<td class="figure">&lt;b&gt;</td>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text("" if value is True else value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{element}{given}/>" if element in VOID else f"<{element}{given}>{joined(inside)}</{element}>")


def joined(parts: Iterable[object]) -> Html:
    """Parts of a page, one after the other."""
    return Html("".join(text(part) for part in parts))


def table(caption: str, head: Sequence[object], rows: Iterable[Sequence[object]], *, class_: str | None = None) -> Html:
    """A table whose first column names the rows; it scrolls by itself where it is wider than the page."""
    cells = [(first, [_cell(value) for value in rest]) for first, *rest in rows]
    body = [tag("tr", tag("th", first, scope="row"), *rest) for first, rest in cells]
    above = ["", *(NUMBERS if cell.startswith(f'<td class="{NUMBERS}') else None for cell in cells[0][1])] if cells else [None] * len(head)
    heading = tag("thead", tag("tr", *(tag("th", name, scope="col", class_=kind or None) for name, kind in zip(head, above, strict=True))))
    whole = tag("table", tag("caption", caption), heading, tag("tbody", *body), class_=class_)
    return tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _cell(value: object) -> Html:
    return value if isinstance(value, Html) and value.startswith("<td") else tag("td", value)


def pairs(rows: Iterable[tuple[str, object]]) -> Html:
    """Names and values; a name without a value is left out."""
    shown = [(name, value) for name, value in rows if value not in (None, "", (), [])]
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in shown)) if shown else Html()


def items(sentences: Iterable[object], class_: str | None = None) -> Html:
    """A list; nothing where there is none."""
    found = [tag("li", sentence) for sentence in sentences]
    return tag("ul", *found, class_=class_) if found else Html()


def data(ident: str, value: object) -> Html:
    """A value as JSON that a program can read out of the page; no text in it can end its element."""
    written = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        written = written.replace(sign, f"\\u{ord(sign):04x}")
    return tag("script", Html(written), type="application/json", id=ident)
