"""A report as a file: csv for programs, xlsx for a spreadsheet, pdf for paper."""

from decimal import Decimal
from xml.sax.saxutils import escape

from freeradius_module.rules import units

from ..export.csv import defused, lines
from ..shell import output, text
from ..shell.text import _
from .data import Report

# ReportLab's, around what a page holds.
FRAME_PADDING_POINTS = 6


def columns(report: Report) -> list[str]:
    return [*report.keys, *report.totals]


def plain_name(column: str) -> str:
    """A column's name in a file, where money is a decimal number.

    >>> plain_name("sold_cents"), plain_name("used_seconds")
    ('sold', 'used_seconds')
    """
    return column.removesuffix("_cents")


def heading(column: str) -> str:
    """A column's heading for people, who see by its values what is money.

    >>> heading("sold_cents"), heading("used_seconds")
    ('sold', 'used time')
    """
    return output.title(plain_name(column))


def write_csv(file, report: Report, separator: str = ",") -> None:
    names = columns(report)
    rows = ([_plain(name, row[name]) for name in names] for row in report.rows)
    file.write(lines([map(plain_name, names), *rows], separator))


def write_xlsx(file, report: Report, title: str, currency: str) -> None:
    """A sheet with a heading, a filter and the sums; dates are dates and money is money."""
    import xlsxwriter

    names = columns(report)
    with xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        bold = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        forms = {
            kind: (book.add_format({"num_format": form}), book.add_format({"num_format": form, "bold": True, "top": 1}))
            for kind, form in (
                ("money", f'"{currency}" #,##0.00'),
                ("number", "#,##0"),
                ("day", "yyyy-mm-dd"),
                ("hours", "[h]:mm"),
                ("text", "@"),
            )
        }
        sheet = book.add_worksheet(title[:31])
        sheet.freeze_panes(1, len(report.keys))
        for column, name in enumerate(names):
            sheet.set_column(column, column, 26 if _kind(name) == "text" else 14)
            sheet.write_string(0, column, _capital(heading(name)), bold)
        for number, row in enumerate([*report.rows, {**report.totals}], 1):
            is_sum = number > len(report.rows)
            for column, name in enumerate(names):
                _write_cell(sheet, number, column, name, row.get(name), forms[_kind(name)][is_sum])
        if report.rows:
            sheet.autofilter(0, 0, len(report.rows), len(names) - 1)
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(0)


def write_pdf(file, report: Report, title: str, subtitle: str, made: str) -> None:
    """A table over as many pages as it takes, with its heading on each."""
    from pathlib import Path

    import reportlab
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4, landscape
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

    # ReportLab's own fonts that are files: they are embedded, and know the signs of Portuguese.
    for name, font_file in (("Vera", "Vera.ttf"), ("Vera-Bold", "VeraBd.ttf")):
        pdfmetrics.registerFont(TTFont(name, str(Path(reportlab.__file__).parent / "fonts" / font_file)))
    names = columns(report)
    words = ParagraphStyle("words", fontName="Vera", fontSize=8, leading=10)
    bold = ParagraphStyle("bold", words, fontName="Vera-Bold", textColor=colors.HexColor("#43526a"))
    right = ParagraphStyle("right", bold, alignment=2)

    def cell(name: str, value):
        return Paragraph(escape(output.formatted(name, value)), words) if _kind(name) == "text" else shown(name, value)

    rows = [[Paragraph(escape(_capital(heading(name))), bold if name in report.keys else right) for name in names]]
    rows += [[cell(name, row[name]) for name in names] for row in report.rows]
    rows.append(
        [_("All") if at == 0 else "" for at in range(len(report.keys))]
        + [shown(name, report.totals[name]) for name in report.totals]
    )
    size = landscape(A4) if len(names) > 6 else A4
    left = 14 * mm
    shares = [2.2 if _kind(name) == "text" else 1.1 for name in names]
    width = (size[0] - 2 * left - 2 * FRAME_PADDING_POINTS) / sum(shares)
    table = Table(rows, colWidths=[share * width for share in shares], repeatRows=1)
    line = colors.HexColor("#d5dce4")
    table.setStyle(
        TableStyle(
            [
                ("FONT", (0, 0), (-1, -1), "Vera", 8),
                ("FONT", (0, -1), (-1, -1), "Vera-Bold", 8),
                ("ALIGN", (len(report.keys), 0), (-1, -1), "RIGHT"),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                ("LINEBELOW", (0, 0), (-1, -2), 0.4, line),
                ("LINEBELOW", (0, 0), (-1, 0), 0.9, colors.HexColor("#8795a8")),
                ("LINEABOVE", (0, -1), (-1, -1), 0.9, colors.HexColor("#8795a8")),
                ("LEFTPADDING", (0, 0), (0, -1), 0),
                ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ]
        )
    )

    def foot(canvas, document):
        canvas.saveState()
        canvas.setFont("Vera", 7)
        canvas.setFillColor(colors.HexColor("#66758a"))
        canvas.drawString(left, 9 * mm, made)
        canvas.drawRightString(size[0] - left, 9 * mm, str(document.page))
        canvas.restoreState()

    big = ParagraphStyle("big", fontName="Vera-Bold", fontSize=16, leading=20)
    small = ParagraphStyle("small", fontName="Vera", fontSize=9, leading=12, textColor=colors.HexColor("#66758a"))
    document = SimpleDocTemplate(
        file,
        pagesize=size,
        leftMargin=left,
        rightMargin=left,
        topMargin=14 * mm,
        bottomMargin=16 * mm,
        title=title,
        author="prepaid-cards",
    )
    document.build(
        [Paragraph(escape(title), big), Paragraph(escape(subtitle), small), Spacer(1, 5 * mm), table],
        onFirstPage=foot,
        onLaterPages=foot,
    )


def _plain(name: str, value):
    if value is None:
        return ""
    if name.endswith("_cents"):
        return units.plain_money(value)
    return defused(value) if isinstance(value, str) else output.json_value(value)


def shown(name: str, value) -> str:
    """A value on paper: counts with their thousands apart."""
    if _kind(name) == "number" and not name.endswith("_octets"):
        return f"{value:,}".replace(",", "." if text.language() == "pt_BR" else ",")
    return output.formatted(name, value)


def _write_cell(sheet, row: int, column: int, name: str, value, form) -> None:
    if value is None:
        sheet.write_blank(row, column, None, form)
    elif _kind(name) == "money":
        sheet.write_number(row, column, Decimal(value) / 100, form)
    elif _kind(name) == "hours":
        sheet.write_number(row, column, value / 86_400, form)
    elif _kind(name) == "day":
        sheet.write_datetime(row, column, value, form)
    elif _kind(name) == "number":
        sheet.write_number(row, column, value, form)
    else:
        sheet.write_string(row, column, value, form)


def _kind(name: str) -> str:
    if name in ("product", "partner"):
        return "text"
    return {"day": "day", "cents": "money", "seconds": "hours"}.get(name.rpartition("_")[2], "number")


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
