"""An export as an Excel workbook: serials, PINs and names are texts, money and counts are numbers.

XlsxWriter makes the workbook with a heading and one model row, in memory.  The cards are then written like the
model, straight into the compressed file.  XlsxWriter's own way for many rows would put every PIN into files under
/tmp, in the clear, and leave them there when the program is killed.
"""

import io
import itertools
import re
import zipfile
from collections.abc import Iterable, Iterator
from decimal import Decimal
from xml.sax.saxutils import escape

import xlsxwriter

from .fields import OWN, Cards, Fields

# Excel's own limit of rows, the heading not counted.
CARDS_A_SHEET = 1_048_575
# Quick, and a tenth larger than the best: digits drawn at random do not get smaller by trying harder.
COMPRESSION = 2
_WIDTHS = {
    "serial": 20,
    "serial_grouped": 24,
    "pin": 18,
    "login_url": 60,
    "product": 30,
    "credit": 20,
    "valid_until": 22,
}


def write(file, fields: Fields, count: int, chunks: Iterable[Cards]) -> None:
    """Write the cards as they come, a sheet for each million."""
    numbers_of_rows = [min(CARDS_A_SHEET, count - first) for first in range(0, count, CARDS_A_SHEET)]
    rows = (row for cards in chunks for row in fields.own_rows(cards))
    with (
        zipfile.ZipFile(_empty_workbook(fields, len(numbers_of_rows))) as model,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION) as workbook,
    ):
        for part in model.infolist():
            content = model.read(part).decode()
            sheet = _SHEET.fullmatch(part.filename)
            with workbook.open(_like(part), "w") as target:
                if sheet is None:
                    target.write(content.encode())
                else:
                    _write_sheet(target, content, fields, rows, numbers_of_rows[int(sheet[1]) - 1])


def _empty_workbook(fields: Fields, sheets: int) -> io.BytesIO:
    """A workbook with the heading and one row in the form that all rows have."""
    memory = io.BytesIO()
    with xlsxwriter.Workbook(memory, {"in_memory": True}) as workbook:
        heading = workbook.add_format({"bold": True, "bottom": 1})
        text, money, number = (workbook.add_format({"num_format": form}) for form in ("@", "0.00", "0"))
        for _sheet in range(sheets):
            sheet = workbook.add_worksheet()
            sheet.freeze_panes(1, 0)
            for column, name in enumerate(fields.names):
                value = fields.shared.get(name, 1 if name == "number" else "")
                style = money if isinstance(value, Decimal) else number if isinstance(value, int) else text
                sheet.set_column(column, column, _WIDTHS.get(name, 12), style)
                sheet.write_string(0, column, name, heading)
                # Blank, but with its style: the column's style is not that of a cell that is written.
                sheet.write_blank(1, column, None, style)
    memory.seek(0)
    return memory


def _write_sheet(target, model: str, fields: Fields, rows: Iterator[tuple], count: int) -> None:
    head, model_row, tail = _MODEL_ROW.split(model)
    styles = re.findall(r'<c r="[A-Z]+2" s="(\d+)"', model_row)
    columns = re.findall(r'<c r="([A-Z]+)2"', model_row)
    head = _DIMENSION.sub(f'<dimension ref="A1:{columns[-1]}{count + 1}"/>', head)
    target.write(head.encode())
    line = _line(fields, columns, styles)
    block = []
    # The range comes first in zip: a row that belongs to the next sheet is not taken from this one.
    for number, row in zip(range(2, count + 2), rows, strict=False):
        block.append(line(number, *map(_content, row)))
        if len(block) == _ROWS_A_BLOCK:
            target.write("".join(block).encode())
            block.clear()
    target.write(("".join(block) + tail).encode())


def _line(fields: Fields, columns: list[str], styles: list[str]):
    """A row with places: 0 for its number, from 2 on for the fields of the card itself; the rest is filled in."""
    places = itertools.count(2)
    cells = []
    for name, column, style in zip(fields.names, columns, styles, strict=True):
        shared = fields.shared.get(name)
        content = f"{{{next(places)}}}" if name in OWN else _content(shared).replace("{", "{{").replace("}", "}}")
        cell = f'<c r="{column}{{0}}" s="{style}"'
        if name == "number" or isinstance(shared, Decimal | int):
            cells.append(f"{cell}><v>{content}</v></c>")
        else:
            cells.append(f'{cell} t="inlineStr"><is><t xml:space="preserve">{content}</t></is></c>')
    return f'<row r="{{0}}">{"".join(cells)}</row>'.format


def _content(value) -> str:
    r"""A value as it stands in a cell; signs that XML cannot hold are written as Excel writes them.

    >>> _content("R&D <10>"), _content("a\x01b"), _content("_x0041_"), _content(None), _content(7)
    ('R&amp;D &lt;10&gt;', 'a_x0001_b', '_x005F_x0041_', '', '7')
    """
    if value is None:
        return ""
    text = str(value)
    if text.isalnum():
        return text
    text = _LOOKS_ESCAPED.sub("_x005F_", text)
    return _NOT_IN_XML.sub(lambda sign: f"_x{ord(sign[0]):04X}_", escape(text))


def _like(part: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """A part of the same name and date, compressed as we do it."""
    copy = zipfile.ZipInfo(part.filename, part.date_time)
    copy.compress_type = zipfile.ZIP_DEFLATED
    copy.external_attr = part.external_attr
    copy._compresslevel = COMPRESSION
    return copy


_ROWS_A_BLOCK = 500
_SHEET = re.compile(r"xl/worksheets/sheet(\d+)\.xml")
_DIMENSION = re.compile(r'<dimension ref="[^"]*"/>')
_MODEL_ROW = re.compile(r'(<row r="2".*?</row>)')
_LOOKS_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
_NOT_IN_XML = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff\ud800-\udfff]")
