"""What a thermal printer makes of its octets: the commands that a slip uses, and no others (ESC/POS, as Epson documents it)."""

import struct
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"
CODE_PAGES = {0: "cp437", 2: "cp850"}


class Line(NamedTuple):
    text: str
    align: int  # 0 left, 1 center, 2 right
    is_bold: bool
    width: int  # 1 or 2
    height: int


class Picture(NamedTuple):
    image: Image.Image
    align: int


class Cut(NamedTuple):
    pass


def read(octets: bytes) -> list[Line | Picture | Cut]:
    """The lines, pictures and cuts; ValueError for a command that is not known here."""
    found: list[Line | Picture | Cut] = []
    text, align, is_bold, width, height, page = "", 0, False, 1, 1, "cp437"
    at = 0
    while at < len(octets):
        head = octets[at : at + 2]
        if head == b"\x1b@":
            align, is_bold, width, height, page = 0, False, 1, 1, "cp437"
            at += 2
        elif head == b"\x1bt":
            page = CODE_PAGES[octets[at + 2]]
            at += 3
        elif head == b"\x1ba":
            align = octets[at + 2] % 48
            at += 3
        elif head == b"\x1bE":
            is_bold = octets[at + 2] & 1 == 1
            at += 3
        elif head == b"\x1b!":
            width, height = 1 + (octets[at + 2] >> 5 & 1), 1 + (octets[at + 2] >> 4 & 1)
            at += 3
        elif head == b"\x1bd":
            found += [Line("", align, False, 1, 1)] * octets[at + 2]
            at += 3
        elif octets[at : at + 3] == b"\x1dv0":
            columns, rows = struct.unpack("<HH", octets[at + 4 : at + 8])
            size = columns * rows
            inverted = bytes(octet ^ 0xFF for octet in octets[at + 8 : at + 8 + size])
            found.append(Picture(Image.frombytes("1", (columns * 8, rows), inverted), align))
            at += 8 + size
        elif head == b"\x1dV":
            found.append(Cut())
            at += 3 if octets[at + 2] in (0, 1, 48, 49) else 4
        elif octets[at] == 10:
            found.append(Line(text, align, is_bold, width, height))
            text = ""
            at += 1
        elif octets[at] < 32:
            raise ValueError(f"unknown command {octets[at : at + 4].hex()} at {at}")
        else:
            text += octets[at : at + 1].decode(page)
            at += 1
    return found


def drawn(octets: bytes, dots: int, columns: int) -> Image.Image:
    """The paper as a picture."""
    cell = dots // columns
    parts = read(octets)
    heights = [
        24 * part.height if isinstance(part, Line) else part.image.height if isinstance(part, Picture) else 12
        for part in parts
    ]
    paper = Image.new("L", (dots, sum(heights)), 255)
    draw = ImageDraw.Draw(paper)
    y = 0
    for part, height in zip(parts, heights, strict=True):
        if isinstance(part, Picture):
            paper.paste(part.image, ((dots - part.image.width) // 2 if part.align == 1 else 0, y))
        elif isinstance(part, Cut):
            draw.line((0, y + 6, dots, y + 6), fill=128)
        else:
            length = len(part.text) * cell * part.width
            x = (dots - length) // 2 if part.align == 1 else 0
            for character in part.text:
                glyph = Image.new("L", (cell, 24), 255)
                ImageDraw.Draw(glyph).text(
                    (0, 1), character, font=ImageFont.truetype(FONT, 19), fill=0, stroke_width=int(part.is_bold) // 2
                )
                paper.paste(glyph.resize((cell * part.width, 24 * part.height)), (x, y))
                x += cell * part.width
        y += height
    return paper
