"""The local file `dictionary` of a FreeRADIUS directory: it is the administrator's, and gets one line of ours.

What it holds stays, byte by byte, and so do its owner, its mode and the link that it may be.
"""

import re
from pathlib import Path

from ..shell import errors
from ..shell.text import _

LOCAL = "dictionary"
OURS = "dictionary.prepaid"

LINE = f"""\
# Attributes that FreeRADIUS' own dictionaries lack; put here by 'prepaid raddb install'.
$INCLUDE\t{OURS}
"""


def is_included(text: bytes) -> bool:
    """Whether a dictionary includes ours, however the line is written.

    >>> is_included(b"$INCLUDE dictionary.prepaid\\n"), is_included(b"# $INCLUDE dictionary.prepaid\\n")
    (True, False)
    >>> is_included(b"$include\\t/etc/freeradius/3.0/dictionary.prepaid # ours\\n")
    True
    """
    return re.search(rb"(?mi)^[ \t]*\$INCLUDE-?[ \t]+(\S*/)?dictionary\.prepaid[ \t]*(#.*)?\r?$", text) is not None


def include(directory: Path) -> list[str]:
    """Have the local dictionary include ours, once; what was changed."""
    path = directory / LOCAL
    text = content(path)
    if is_included(text):
        return []
    begins_anew = not text or text.endswith(b"\n")
    try:
        # Appended and not written anew: one short write, and all that is there stays as it is.
        with path.open("ab") as file:
            file.write(("" if begins_anew else "\n").encode() + LINE.encode())
    except OSError as error:
        raise errors.Refused(
            _("{path} cannot be written: {cause}. Run this as root."), path=path, cause=error.strerror
        ) from None
    return [LOCAL]


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
