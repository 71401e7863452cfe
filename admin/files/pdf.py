"""The fonts of a PDF.  Every one is embedded, because print shops require it."""

from pathlib import Path

import reportlab
from reportlab import rl_config
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

# They come with ReportLab, and have all the characters of Portuguese.
REGULAR, BOLD, ITALIC = "Vera", "Vera-Bold", "Vera-Italic"
_FILES = {REGULAR: "Vera.ttf", BOLD: "VeraBd.ttf", ITALIC: "VeraIt.ttf"}

# ReportLab would write its streams as ASCII, a fifth larger.
rl_config.useA85 = 0


def font(wanted: str, folder: Path = Path()) -> TTFont:
    """A font that is ready for use: REGULAR, BOLD or ITALIC, or a TrueType file, whose path is relative to `folder`.

    TTFError or OSError: it cannot be used.
    """
    if wanted in _FILES:
        name, path = wanted, Path(reportlab.__file__).parent / "fonts" / _FILES[wanted]
    else:
        path = folder / wanted
        name = str(path.resolve())
    found = TTFont(name, str(path))
    pdfmetrics.registerFont(found)
    return found
