"""The cards as an Excel workbook: serials, PINs and names are texts, money and counts are numbers."""

from collections.abc import Iterable
from decimal import Decimal

from ..files import Target, xlsx
from ..files.xlsx import EACH_ROW, TEXT, Column
from ..shell import output
from ..shell.text import heading_in
from .fields import Cards, Fields

_WIDTHS = {
    "serial": 20,
    "serial_grouped": 24,
    "pin": 18,
    "login_url": 60,
    "product": 30,
    "credit": 20,
    "valid_until": 22,
}


def write(file: Target, fields: Fields, count: int, chunks: Iterable[Cards], excel_brazil: bool = False) -> None:
    """Write the cards chunk by chunk, a sheet for each million."""
    shared = fields.in_brazil() if excel_brazil else fields.shared
    columns = [_column(name, shared.get(name, EACH_ROW)) for name in fields.names]
    if excel_brazil:
        # Excel shows numbers in the form of its own language.
        columns = [
            column._replace(heading=heading_in("pt_BR", output.untranslated_title(column.heading)))
            for column in columns
        ]
    # Without the first value: it is the serial, whether it was asked for or not.
    rows = (row[1:] for cards in chunks for row in fields.own_rows(cards))
    xlsx.write(file, columns, rows, count, arrange=lambda sheet, _count: sheet.freeze_panes(1, 0))


def _column(name: str, value: object) -> Column:
    form = "0.00" if isinstance(value, Decimal) else "0" if isinstance(value, int) or name == "number" else TEXT
    return Column(name, form, _WIDTHS.get(name, 12), value)
