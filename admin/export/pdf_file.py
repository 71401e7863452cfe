"""A PDF of any number of pages, written page by page.

ReportLab draws, and embeds fonts and pictures; but it keeps every page in memory until the end.  Here each page goes
to the file when it is full, and what ReportLab still holds then (fonts, pictures, forms: things that pages share)
follows after the last page.
"""

import array
import zlib

from reportlab.pdfbase import pdfdoc
from reportlab.pdfgen.canvas import Canvas

# The numbers below are ReportLab's: it counts its shared objects from 1.  Ours come after them.
_FIRST_OWN_NUMBER = 1000
# The tree of pages has two levels, so that a viewer finds page 90,000 quickly.
_PAGES_A_NODE = 500


class PagedPdf:
    """Draw on `canvas`, then `end_page`; `finish` at the end."""

    def __init__(self, file, page_size_points: tuple[float, float], title: str):
        self._file = file
        self._position = 0
        self._title = title
        self._own_offsets = array.array("Q")
        self._pictures: dict[str, object] = {}
        self._nodes: list[tuple[int, list[int]]] = []
        self._page_size = page_size_points
        self.canvas = Canvas("unused", pagesize=page_size_points)
        # What a full page would be kept for.
        self.canvas._doc.addPage = self._write_page
        # ReportLab begins everything with Helvetica, which it does not embed and nothing here is set in.
        self.canvas._preamble = ""
        self._write(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
        self._pages, self._resources = self._new_number(), self._new_number()

    def end_page(self) -> None:
        self.canvas.showPage()

    def finish(self) -> None:
        document = self.canvas._doc
        offsets = self._write_shared(document)
        for node, kids in self._nodes:
            self._write_own(
                node,
                b"<< /Type /Pages /Parent %d 0 R /Count %d /Kids [%s] >>" % (self._pages, len(kids), _references(kids)),
            )
        width, height = self._page_size
        self._write_own(
            self._pages,
            b"<< /Type /Pages /Count %d /MediaBox [0 0 %.2f %.2f] /Kids [%s] >>"
            % (sum(len(kids) for _, kids in self._nodes), width, height, _references(node for node, _ in self._nodes)),
        )
        catalog, info = self._new_number(), self._new_number()
        self._write_own(catalog, b"<< /Type /Catalog /Pages %d 0 R >>" % self._pages)
        self._write_own(
            info,
            b"<< /Producer (prepaid-cards, with ReportLab) /Title <FEFF%s> >>"
            % self._title.encode("utf-16-be").hex().encode(),
        )
        self._write_index(offsets, catalog, info)

    def _write_page(self, page) -> None:
        if not self._nodes or len(self._nodes[-1][1]) == _PAGES_A_NODE:
            self._nodes.append((self._new_number(), []))
        node, kids = self._nodes[-1]
        content, number = self._new_number(), self._new_number()
        drawn = zlib.compress(page.stream.encode("latin-1"))
        self._write_own(content, b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
        self._write_own(
            number,
            b"<< /Type /Page /Parent %d 0 R /Resources %d 0 R /Contents %d 0 R >>" % (node, self._resources, content),
        )
        kids.append(number)
        if page.XObjects:
            self._pictures.update(page.XObjects.dict)

    def _write_shared(self, document) -> dict[int, int]:
        """Fonts, pictures and forms; where each one begins."""
        for font in document.delayedFonts:
            font.addObjects(document)
        document.idToObject[pdfdoc.BasicFonts].dict.pop("F1", None)
        resources = pdfdoc.PDFResourceDictionary()
        resources.basicFonts()
        resources.allProcs()
        resources.XObject = self._pictures
        self._write_own(self._resources, resources.format(document).rstrip())
        offsets: dict[int, int] = {}
        # Writing one may bring up another, which gets the next number.
        while len(offsets) + 1 in document.numberToId:
            number = len(offsets) + 1
            name = document.numberToId[number]
            offsets[number] = self._position
            self._write(pdfdoc.PDFIndirectObject(name, document.idToObject[name]).format(document))
        if len(offsets) >= _FIRST_OWN_NUMBER:
            raise ValueError(f"{len(offsets)} fonts and pictures are more than a sheet of cards can have.")
        return offsets

    def _write_index(self, shared: dict[int, int], catalog: int, info: int) -> None:
        size = _FIRST_OWN_NUMBER + len(self._own_offsets)
        begin = self._position
        self._write(b"xref\n0 %d\n" % size)
        self._write(
            b"".join(
                b"%010d 00000 n \n" % shared[number] if number in shared else b"0000000000 65535 f \n"
                for number in range(_FIRST_OWN_NUMBER)
            )
        )
        for at in range(0, len(self._own_offsets), _PAGES_A_NODE):
            self._write(b"".join(b"%010d 00000 n \n" % offset for offset in self._own_offsets[at : at + _PAGES_A_NODE]))
        self._write(
            b"trailer\n<< /Size %d /Root %d 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n"
            % (size, catalog, info, begin)
        )

    def _new_number(self) -> int:
        self._own_offsets.append(0)
        return _FIRST_OWN_NUMBER + len(self._own_offsets) - 1

    def _write_own(self, number: int, content: bytes) -> None:
        self._own_offsets[number - _FIRST_OWN_NUMBER] = self._position
        self._write(b"%d 0 obj\n%s\nendobj\n" % (number, content))

    def _write(self, octets: bytes) -> None:
        self._file.write(octets)
        self._position += len(octets)


def _references(numbers) -> bytes:
    return b" ".join(b"%d 0 R" % number for number in numbers)
