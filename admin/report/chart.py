"""The geometry of charts: columns by day, bars by name, one bar of shares.  page.html draws them as SVG.

A chart gets values, and a function that writes a value as people read it.  A bar shows its value when the mouse rests on
it; a screen reader reads the label of the picture.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

Shown = Callable[[float], str]

WIDTH = 960
HALF = 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 8, 12, 26
_TICKS = 4
_LABEL_WIDTH = 62


class Line(NamedTuple):
    """A horizontal line.  Here and below, `kind` is the class in page.css that gives the colour."""

    kind: str
    x: float
    to_x: float
    y: float


class Bar(NamedTuple):
    kind: str
    x: float
    y: float
    width: float
    height: float
    radius: float
    color: str = ""
    title: str = ""


class Text(NamedTuple):
    kind: str
    x: float
    y: float
    anchor: str
    text: str
    title: str = ""


class Chart(NamedTuple):
    label: str
    width: int
    height: int
    lines: list[Line]
    bars: list[Bar]
    texts: list[Text]


def columns(
    label: str,
    names: Sequence[str],
    values: Sequence[float],
    shown: Shown,
    color: str,
    *,
    width: int = WIDTH,
    height: int = 230,
) -> Chart:
    """A column for each day.

    >>> [bar.title for bar in columns("Sales", ["1", "2"], [3, 0], str, "#000").bars]
    ['1: 3']
    """
    top = nice_top(max(values, default=0))
    inner_width, inner_height = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM
    step = inner_width / max(len(values), 1)
    wide = max(min(step * 0.72, 44), 0.8)
    lines, texts = _grid(top, width, inner_height, shown)
    bars = []
    every = max(math.ceil(len(names) / (inner_width / _LABEL_WIDTH)), 1)
    for at, (name, value) in enumerate(zip(names, values, strict=True)):
        middle = _LEFT + step * (at + 0.5)
        if at % every == 0:
            texts.append(Text("axis", round(middle, 1), height - 7, "middle", name))
        if value > 0:
            tall = max(value / top * inner_height, 1)
            bars.append(
                Bar(
                    "bar",
                    round(middle - wide / 2, 1),
                    round(_TOP + inner_height - tall, 1),
                    round(wide, 1),
                    round(tall, 1),
                    round(min(3, wide / 3), 1),
                    color,
                    f"{name}: {shown(value)}",
                )
            )
    return Chart(label, width, height, lines, bars, texts)


def bars(
    label: str,
    names: Sequence[str],
    values: Sequence[float],
    shown: Shown,
    color: str,
    rest: tuple[str, float] | None = None,
) -> Chart:
    """A bar for each name, in the given order, with its value behind it.

    `rest` is the name and sum of the others.  It has no bar, because that could be longer than all the bars.

    >>> chart = bars("Sales", ["A & B"], [3], str, "#000", ("2 others", 7))
    >>> [bar.kind for bar in chart.bars], [words.text for words in chart.texts]
    (['track', 'bar'], ['A & B', '3', '2 others', '7'])
    """
    line, name_width, value_width = 30, 168, 106
    track = HALF - name_width - value_width
    longest = max(values, default=0) or 1
    drawn, texts = [], []
    for at, (name, value) in enumerate(zip(names, values, strict=True)):
        y = at * line
        length = round(max(value / longest * track, 1.5 if value else 0), 1)
        drawn += [
            Bar("track", name_width, y + 8, track, 14, 3),
            Bar("bar", name_width, y + 8, length, 14, 3, color, f"{name}: {shown(value)}"),
        ]
        texts += [
            Text("name", name_width - 12, y + 19, "end", shortened(name), name),
            Text("value", HALF, y + 19, "end", shown(value)),
        ]
    if rest is not None:
        y = len(names) * line + 19
        texts += [Text("axis", name_width - 12, y, "end", rest[0]), Text("axis", HALF, y, "end", shown(rest[1]))]
    return Chart(label, HALF, max(len(names) + (rest is not None), 1) * line, [], drawn, texts)


def shares(label: str, names: Sequence[str], values: Sequence[float], shown: Shown, colors: Sequence[str]) -> Chart:
    """One bar, divided into its shares."""
    total, height, gap = sum(values) or 1, 34, 2
    drawn, texts, x = [], [], 0.0
    seen = [(name, value, color) for name, value, color in zip(names, values, colors, strict=True) if value > 0]
    # A share that is too small to see is drawn 5 wide, at the cost of the others.
    widths = [max(value / total * WIDTH, 5) for _name, value, _color in seen]
    scale = (WIDTH - gap * max(len(seen) - 1, 0)) / (sum(widths) or 1)
    for (name, value, color), width in zip(seen, widths, strict=True):
        percent = f"{value / total * 100:.0f} %"
        title = f"{name}: {shown(value)} ({percent})"
        drawn.append(Bar("bar", round(x, 1), 0, round(width * scale, 1), height, 4, color, title))
        if width > 52:
            texts.append(Text("share", round(x + width * scale / 2, 1), height // 2 + 5, "middle", percent))
        x += width * scale + gap
    return Chart(label, WIDTH, height, [], drawn, texts)


def nice_top(value: float) -> float:
    """The end of an axis: the least round number at or above a value.

    >>> [nice_top(value) for value in (0, 3, 17, 230, 1001)]
    [4, 4, 20, 240.0, 1200.0]
    """
    if value <= _TICKS:
        return _TICKS
    unit: float = 10 ** math.floor(math.log10(value))
    return next(top for share in (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10) if (top := share * unit) >= value)


def shortened(name: str, most: int = 24) -> str:
    """
    >>> shortened("Banca do Norte"), shortened("Banca e Tabacaria do Seu Antônio")
    ('Banca do Norte', 'Banca e Tabacaria do Se…')
    """
    return name if len(name) <= most else name[: most - 1] + "…"


def _grid(top: float, width: int, inner_height: float, shown: Shown) -> tuple[list[Line], list[Text]]:
    lines, texts = [], []
    for tick in range(_TICKS + 1):
        y = _TOP + inner_height * (1 - tick / _TICKS)
        lines.append(Line("grid" if tick else "base", _LEFT, width - _RIGHT, round(y, 1)))
        texts.append(Text("axis", _LEFT - 10, round(y + 4, 1), "end", shown(top * tick / _TICKS)))
    return lines, texts
