"""Charts as SVG text, for a page that needs nothing else: bars by day, bars by name, one bar of shares.

A chart is given values and a function that writes a value as people read it.  Bars tell their value when the mouse
rests on them; those who cannot see it are told by the label of the picture.
"""

import math
from collections.abc import Callable, Sequence
from html import escape

Shown = Callable[[float], str]

WIDTH = 960
HALF = 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 8, 12, 26
_TICKS = 4
_LABEL_WIDTH = 62


def columns(
    label: str,
    names: Sequence[str],
    values: Sequence[float],
    shown: Shown,
    color: str,
    *,
    width: int = WIDTH,
    height: int = 230,
) -> str:
    """A column for each day.

    >>> columns("Sales", ["1", "2"], [3, 0], str, "#000").count("<rect")
    1
    """
    top = nice_top(max(values, default=0))
    inner_width, inner_height = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM
    step = inner_width / max(len(values), 1)
    wide = max(min(step * 0.72, 44), 0.8)
    parts = [*_grid(top, width, inner_height, shown)]
    every = max(math.ceil(len(names) / (inner_width / _LABEL_WIDTH)), 1)
    for at, (name, value) in enumerate(zip(names, values, strict=True)):
        middle = _LEFT + step * (at + 0.5)
        if at % every == 0:
            parts.append(
                f'<text class="axis" x="{middle:.1f}" y="{height - 7}" text-anchor="middle">{escape(name)}</text>'
            )
        if value > 0:
            tall = max(value / top * inner_height, 1)
            corner = min(3, wide / 3)
            parts.append(
                f'<rect class="bar" x="{middle - wide / 2:.1f}" y="{_TOP + inner_height - tall:.1f}" width="{wide:.1f}" '
                f'height="{tall:.1f}" rx="{corner:.1f}" fill="{color}">'
                f"<title>{escape(name)}: {escape(shown(value))}</title></rect>"
            )
    return _picture(label, width, height, parts)


def bars(
    label: str,
    names: Sequence[str],
    values: Sequence[float],
    shown: Shown,
    color: str,
    rest: tuple[str, float] | None = None,
) -> str:
    """A bar for each name, in the order in which they come, with its value behind it; the rest is told without a bar,
    because it may be longer than all of them.

    >>> bars("Sales", ["A & B"], [3], str, "#000", ("2 others", 7)).count("<rect")
    2
    """
    line, name_width, value_width = 30, 168, 106
    track = HALF - name_width - value_width
    longest = max(values, default=0) or 1
    parts = []
    for at, (name, value) in enumerate(zip(names, values, strict=True)):
        y = at * line
        length = max(value / longest * track, 1.5 if value else 0)
        parts.append(
            f'<text class="name" x="{name_width - 12}" y="{y + 19}" text-anchor="end">{escape(shortened(name))}'
            f"<title>{escape(name)}</title></text>"
            f'<rect class="track" x="{name_width}" y="{y + 8}" width="{track}" height="14" rx="3"/>'
            f'<rect class="bar" x="{name_width}" y="{y + 8}" width="{length:.1f}" height="14" rx="3" fill="{color}">'
            f"<title>{escape(name)}: {escape(shown(value))}</title></rect>"
            f'<text class="value" x="{HALF}" y="{y + 19}" text-anchor="end">{escape(shown(value))}</text>'
        )
    if rest is not None:
        y = len(names) * line + 19
        parts.append(
            f'<text class="axis" x="{name_width - 12}" y="{y}" text-anchor="end">{escape(rest[0])}</text>'
            f'<text class="axis" x="{HALF}" y="{y}" text-anchor="end">{escape(shown(rest[1]))}</text>'
        )
    return _picture(label, HALF, max(len(names) + (rest is not None), 1) * line, parts)


def shares(label: str, names: Sequence[str], values: Sequence[float], shown: Shown, colors: Sequence[str]) -> str:
    """One bar, cut into its shares."""
    total, height, gap = sum(values) or 1, 34, 2
    parts, x = [], 0.0
    seen = [(name, value, color) for name, value, color in zip(names, values, colors, strict=True) if value > 0]
    # What is too small to see is drawn as wide as can be seen, at the cost of the rest.
    widths = [max(value / total * WIDTH, 5) for _name, value, _color in seen]
    scale = (WIDTH - gap * max(len(seen) - 1, 0)) / (sum(widths) or 1)
    for (name, value, color), width in zip(seen, widths, strict=True):
        percent = f"{value / total * 100:.0f} %"
        parts.append(
            f'<rect class="bar" x="{x:.1f}" y="0" width="{width * scale:.1f}" height="{height}" rx="4" fill="{color}">'
            f"<title>{escape(name)}: {escape(shown(value))} ({percent})</title></rect>"
        )
        if width > 52:
            parts.append(
                f'<text class="share" x="{x + width * scale / 2:.1f}" y="{height / 2 + 5:.0f}" '
                f'text-anchor="middle">{percent}</text>'
            )
        x += width * scale + gap
    return _picture(label, WIDTH, height, parts)


def nice_top(value: float) -> float:
    """The end of an axis: the least round number at or above a value.

    >>> [nice_top(value) for value in (0, 3, 17, 230, 1001)]
    [4, 4, 20, 240.0, 1200.0]
    """
    if value <= _TICKS:
        return _TICKS
    unit = 10 ** math.floor(math.log10(value))
    return next(top for share in (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10) if (top := share * unit) >= value)


def shortened(name: str, most: int = 24) -> str:
    """
    >>> shortened("Banca do Norte"), shortened("Banca e Tabacaria do Seu Antônio")
    ('Banca do Norte', 'Banca e Tabacaria do Se…')
    """
    return name if len(name) <= most else name[: most - 1] + "…"


def _grid(top: float, width: int, inner_height: float, shown: Shown):
    for tick in range(_TICKS + 1):
        y = _TOP + inner_height * (1 - tick / _TICKS)
        yield f'<line class="{"base" if tick == 0 else "grid"}" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield (
            f'<text class="axis" x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(shown(top * tick / _TICKS))}</text>"
        )


def _picture(label: str, width: int, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{escape(label, quote=True)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )
