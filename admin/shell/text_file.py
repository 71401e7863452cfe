"""Text files that people give to a command: in UTF-8, or as Excel on Windows saves them, in Windows-1252."""

import codecs
from pathlib import Path
from typing import TextIO

# Excel's CSV for Windows in the languages of Western Europe and of Brazil.
EXCEL = "cp1252"
OCTETS_A_READ = 1 << 20


def opened(path: str) -> TextIO:
    """A text file, with the ends of its lines as they are, which the csv module wants."""
    return open(path, encoding=encoding_of(path), newline="")


def encoding_of(path: str) -> str:
    """UTF-8 if the whole file is valid as that, or begins with its mark; a text in Windows-1252 with accents is not."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with Path(path).open("rb") as file:
        if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
            return "utf-8-sig"
        file.seek(0)
        try:
            while octets := file.read(OCTETS_A_READ):
                decoder.decode(octets)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return EXCEL
    return "utf-8-sig"
