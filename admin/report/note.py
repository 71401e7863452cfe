"""A delivery or return note on paper, for both parties to sign."""

from collections.abc import Sequence
from typing import IO, Any, NamedTuple, cast
from xml.sax.saxutils import escape

from stdnum.br import cnpj, cpf

from freeradius_module.rules import units

from ..files import Target
from ..shell import output, text
from ..shell.text import _
from ..store.rows import Row


class Party(NamedTuple):
    """Who signs: a name, and a CNPJ or CPF."""

    name: str
    document: str | None


class Paper(NamedTuple):
    """What the note says: its row, its ranges of serials, its amounts by product."""

    note: Row
    provider: Party
    partner: Party
    ranges: list[Row]
    amounts: list[Row]
    made: str


def write_pdf(file: Target, paper: Paper) -> None:
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

    from ..files import pdf

    regular, bold = pdf.font(pdf.REGULAR).fontName, pdf.font(pdf.BOLD).fontName
    gray, pale, rule = (colors.HexColor(color) for color in ("#66758a", "#d5dce4", "#8795a8"))
    plain = ParagraphStyle("plain", fontName=regular, fontSize=9, leading=12)
    # As the other cells, whose lines are 1.2 times the size apart; else the words stand higher.
    cell = ParagraphStyle("cell", plain, fontSize=8.5, leading=10.2)
    small = ParagraphStyle("small", plain, fontSize=8, leading=11, textColor=gray)
    strong = ParagraphStyle("strong", plain, fontName=bold)
    big = ParagraphStyle("big", fontName=bold, fontSize=16, leading=21)
    margin = 18 * mm
    width = A4[0] - 2 * margin

    def table(heading: Sequence[str], rows: list[list[Any]], shares: Sequence[float], left: int, sums: bool) -> Table:
        """Rows under a heading; the first `left` columns are texts, the others numbers."""
        unit = width / sum(shares)
        made = Table([list(heading), *rows], colWidths=[share * unit for share in shares], repeatRows=1, hAlign="LEFT")
        style: list[Any] = [
            ("FONT", (0, 0), (-1, -1), regular, 8.5),
            ("FONT", (0, 0), (-1, 0), bold, 8.5),
            ("ALIGN", (left, 0), (-1, -1), "RIGHT"),
            ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, pale),
            ("LINEBELOW", (0, 0), (-1, 0), 0.9, rule),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
        ]
        if sums:
            style += [("FONT", (0, -1), (-1, -1), bold, 8.5), ("LINEABOVE", (0, -1), (-1, -1), 0.9, rule)]
        made.setStyle(TableStyle(style))
        return made

    def columns(left: list[Any], right: list[Any], style: list[Any]) -> Table:
        """Two blocks side by side, the provider's and the partner's."""
        made = Table([[left, "", right]], colWidths=[width * 0.47, width * 0.06, width * 0.47])
        made.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0), *style]))
        return made

    def party(label: str, one: Party) -> list[Any]:
        return [Paragraph(escape(label), small), Paragraph(escape(one.name), strong), Paragraph(_document(one), plain)]

    def signature(one: Party) -> list[Any]:
        return [Paragraph(escape(one.name), plain), Paragraph(_document(one), small)]

    def foot(canvas: Canvas, document: Any) -> None:
        canvas.saveState()
        canvas.setFont(regular, 7)
        canvas.setFillColor(gray)
        canvas.drawString(margin, 10 * mm, paper.made)
        canvas.drawRightString(A4[0] - margin, 10 * mm, f"{title}  –  {document.page}")
        canvas.restoreState()

    title, confirmed = _words(paper)
    note = paper.note
    facts = [output.formatted("made_at", note["made_at"]), f"{_capital('operator')}: {note['operator']}"]
    if note["reason"]:
        facts.append(f"{_capital('reason')}: {note['reason']}")
    content: list[Any] = [
        Paragraph(escape(title), big),
        *(Paragraph(escape(fact), small) for fact in facts),
        Spacer(1, 6 * mm),
        columns(party(_("Provider"), paper.provider), party(_("Partner"), paper.partner), []),
        Spacer(1, 8 * mm),
        table(
            [_capital(name) for name in ("batch", "product", "first_serial", "last_serial", "cards")],
            [
                [
                    row["batch"],
                    Paragraph(escape(row["product"]), cell),
                    row["first_serial"],
                    row["last_serial"],
                    _count(row["cards"]),
                ]
                for row in paper.ranges
            ],
            (0.7, 2.2, 2, 2, 0.9),
            4,
            sums=False,
        ),
        Spacer(1, 8 * mm),
        table(
            [
                *(_capital(name) for name in ("product", "cards")),
                _("Price"),
                _("Face value"),
                _("Commission"),
                _("Net"),
            ],
            [*(_amounts(row, Paragraph(escape(row["product"]), cell)) for row in paper.amounts), _sums(paper)],
            (2.2, 0.9, 1.1, 1.3, 1.9, 1.3),
            1,
            sums=True,
        ),
        KeepTogether(
            [
                Spacer(1, 12 * mm),
                Paragraph(escape(confirmed), plain),
                Spacer(1, 8 * mm),
                Paragraph(escape(_("Place and date:")) + " " + "_" * 44, plain),
                Spacer(1, 22 * mm),
                columns(
                    signature(paper.provider),
                    signature(paper.partner),
                    [("LINEABOVE", (at, 0), (at, 0), 0.8, colors.black) for at in (0, 2)],
                ),
            ]
        ),
    ]
    SimpleDocTemplate(
        cast(IO[bytes], file),
        pagesize=A4,
        leftMargin=margin - 6,
        rightMargin=margin - 6,
        topMargin=16 * mm,
        bottomMargin=18 * mm,
        title=title,
        author="prepaid-cards",
        initialFontName=regular,
    ).build(content, onFirstPage=foot, onLaterPages=foot)


def _words(paper: Paper) -> tuple[str, str]:
    """The title, and the sentence above the signatures."""
    number, count = paper.note["note"], _count(paper.note["count"])
    names = {"provider": paper.provider.name, "partner": paper.partner.name, "count": count}
    if paper.note["kind"] == "return":
        return (
            _("Return note {note}").format(note=number),
            _("{provider} received back from {partner} the {count} cards listed above.").format(**names),
        )
    return (
        _("Delivery note {note}").format(note=number),
        _("{partner} received from {provider} the {count} cards listed above.").format(**names),
    )


def _amounts(row: Row, product: Any) -> list[Any]:
    share = output.formatted("commission_basis_points", row["commission_basis_points"])
    return [
        product,
        _count(row["cards"]),
        output.money(row["price_cents"]),
        output.money(row["face_value_cents"]),
        f"{share}  {output.money(row['commission_cents'])}",
        output.money(row["net_cents"]),
    ]


def _sums(paper: Paper) -> list[Any]:
    def total(name: str) -> int:
        return sum(row[name] for row in paper.amounts)

    money = [output.money(total(name)) for name in ("face_value_cents", "commission_cents", "net_cents")]
    return [_("Total"), _count(total("cards")), "", *money]


def _document(one: Party) -> str:
    """A party's document with its kind; that of a foreign partner as it is.

    >>> _document(Party("A", "11.222.333/0001-81")), _document(Party("B", "390.533.447-05")), _document(Party("C", None))
    ('CNPJ 11.222.333/0001-81', 'CPF 390.533.447-05', '')
    """
    document = one.document or ""
    for name, kind in (("CNPJ", cnpj), ("CPF", cpf)):
        if kind.is_valid(document):
            return f"{name} {kind.format(document)}"
    return escape(document)


def _count(value: int) -> str:
    return units.format_count(value, text.language())


def _capital(column: str) -> str:
    words = output.title(column)
    return words[:1].upper() + words[1:]
