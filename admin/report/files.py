"""A report as a file: csv for programs, xlsx for a spreadsheet, pdf for paper."""

from typing import IO, Any, cast
from xml.sax.saxutils import escape

from freeradius_module.rules import units

from ..files import Target, csv
from ..shell import output, text
from ..shell.text import _
from .data import Report

# Padding of ReportLab around the content of a page.
FRAME_PADDING_POINTS = 6
PAPER_A4 = 9


def columns(report: Report) -> list[str]:
    return [*report.keys, *report.totals]


def plain_name(column: str) -> str:
    """A column's name in a file, where money is a decimal number.

    >>> plain_name("sold_cents"), plain_name("used_seconds")
    ('sold', 'used_seconds')
    """
    return column.removesuffix("_cents")


def heading(column: str) -> str:
    """A column's heading for people, who recognise money by its values.

    >>> heading("sold_cents"), heading("used_seconds")
    ('sold', 'used time')
    """
    return output.title(plain_name(column))


def write_csv(file: Target, report: Report) -> None:
    names = columns(report)
    rows = ([_plain(name, row[name]) for name in names] for row in report.rows)
    file.write(csv.lines([map(plain_name, names), *rows]))


def write_xlsx(file: Target, report: Report, title: str) -> None:
    """A sheet with headings, a filter and the sums; dates are dates and money is money."""
    from ..files import xlsx

    forms = {
        "money": f'"{output.currency()}" #,##0.00',
        "number": "#,##0",
        "identifier": "0",
        "day": "yyyy-mm-dd",
        "hours": "[h]:mm",
        "text": xlsx.TEXT,
    }
    names = columns(report)

    def arrange(sheet: Any, rows: int) -> None:
        sheet.freeze_panes(1, len(report.keys))
        if rows:
            sheet.autofilter(0, 0, rows, len(names) - 1)
        sheet.set_landscape()
        sheet.set_paper(PAPER_A4)
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(0)

    xlsx.write(
        file,
        [
            xlsx.Column(_capital(heading(name)), forms[_kind(name)], 26 if _kind(name) == "text" else 14)
            for name in names
        ],
        ([_cell(name, row[name]) for name in names] for row in report.rows),
        len(report.rows),
        title=title,
        sums=[_cell(name, report.totals.get(name)) for name in names],
        arrange=arrange,
    )


def write_pdf(file: Target, report: Report, title: str, subtitle: str, made: str) -> None:
    """A table over as many pages as it needs, with the headings on each."""
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4, landscape
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

    from ..files import pdf

    regular, bold = pdf.font(pdf.REGULAR).fontName, pdf.font(pdf.BOLD).fontName
    dark, gray, pale = (colors.HexColor(color) for color in ("#43526a", "#66758a", "#d5dce4"))
    rule = colors.HexColor("#8795a8")
    names = columns(report)
    # As the other cells, whose lines are 1.2 times the size apart; else the words stand higher.
    words = ParagraphStyle("words", fontName=regular, fontSize=8, leading=9.6)
    left_heading = ParagraphStyle("left", words, fontName=bold, textColor=dark)
    right_heading = ParagraphStyle("right", left_heading, alignment=2)

    def cell(name: str, value: Any) -> Any:
        return Paragraph(escape(output.formatted(name, value)), words) if _kind(name) == "text" else shown(name, value)

    rows: list[list[Any]] = [
        [
            Paragraph(escape(_capital(heading(name))), right_heading if is_at_right(report, name) else left_heading)
            for name in names
        ]
    ]
    rows += [[cell(name, row[name]) for name in names] for row in report.rows]
    rows.append(
        [_("All") if at == 0 else "" for at in range(len(report.keys))]
        + [shown(name, report.totals[name]) for name in report.totals]
    )
    size = landscape(A4) if len(names) > 6 else A4
    margin = 14 * mm
    shares = [2.2 if _kind(name) == "text" else 1.1 for name in names]
    width = (size[0] - 2 * margin - 2 * FRAME_PADDING_POINTS) / sum(shares)
    table = Table(rows, colWidths=[share * width for share in shares], repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("FONT", (0, 0), (-1, -1), regular, 8),
                ("FONT", (0, -1), (-1, -1), bold, 8),
                *(("ALIGN", (at, 0), (at, -1), "RIGHT") for at, name in enumerate(names) if is_at_right(report, name)),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                ("LINEBELOW", (0, 0), (-1, -2), 0.4, pale),
                ("LINEBELOW", (0, 0), (-1, 0), 0.9, rule),
                ("LINEABOVE", (0, -1), (-1, -1), 0.9, rule),
                ("LEFTPADDING", (0, 0), (0, -1), 0),
                ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ]
        )
    )

    def foot(canvas: Canvas, document: Any) -> None:
        canvas.saveState()
        canvas.setFont(regular, 7)
        canvas.setFillColor(gray)
        canvas.drawString(margin, 9 * mm, made)
        canvas.drawRightString(size[0] - margin, 9 * mm, str(document.page))
        canvas.restoreState()

    big = ParagraphStyle("big", fontName=bold, fontSize=16, leading=20)
    small = ParagraphStyle("small", fontName=regular, fontSize=9, leading=12, textColor=gray)
    document = SimpleDocTemplate(
        cast(IO[bytes], file),
        pagesize=size,
        leftMargin=margin,
        rightMargin=margin,
        topMargin=14 * mm,
        bottomMargin=16 * mm,
        title=title,
        author="prepaid-cards",
        initialFontName=regular,
    )
    document.build(
        [Paragraph(escape(title), big), Paragraph(escape(subtitle), small), Spacer(1, 5 * mm), table],
        onFirstPage=foot,
        onLaterPages=foot,
    )


def is_at_right(report: Report, column: str) -> bool:
    """Whether a column has numbers, which stand below each other at the right."""
    return column not in report.keys or _kind(column) in ("number", "identifier")


def shown(name: str, value: Any) -> str:
    """A value on paper: counts with their thousands separated."""
    if value is None:
        return ""
    if _kind(name) == "number" and not name.endswith("_octets"):
        return units.format_count(value, text.language())
    return output.formatted(name, value)


def _plain(name: str, value: Any) -> object:
    if value is None:
        return ""
    if name.endswith("_cents"):
        return units.plain_money(value)
    return csv.defused(value) if isinstance(value, str) else output.json_value(value)


def _cell(name: str, value: Any) -> Any:
    """A value in the unit of a workbook: money with decimals, times as parts of a day."""
    match _kind(name), value:
        case _, None:
            return None
        case "money", cents:
            return cents / 100
        case "hours", seconds:
            return seconds / 86_400
        case "text", words:
            return output.formatted(name, words)
    return value


def _kind(name: str) -> str:
    if name in ("month", "product", "partner", "what"):
        return "text"
    if name == "number":
        return "identifier"
    return {"day": "day", "cents": "money", "seconds": "hours"}.get(name.rpartition("_")[2], "number")


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
