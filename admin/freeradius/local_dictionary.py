"""The file `dictionary` in FreeRADIUS' directory.  It belongs to the administrator; the product adds one line.

Its other content stays byte by byte, and so do its owner and its mode.  If it is a link, it stays a link.
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
    """Whether a dictionary includes the product's, in any spelling that FreeRADIUS accepts.

    >>> is_included(b"$INCLUDE dictionary.prepaid\\n"), is_included(b"# $INCLUDE dictionary.prepaid\\n")
    (True, False)
    >>> is_included(b"$include\\t/etc/freeradius/3.0/dictionary.prepaid # ours\\n")
    True
    """
    return re.search(rb"(?mi)^[ \t]*\$INCLUDE-?[ \t]+(\S*/)?dictionary\.prepaid[ \t]*(#.*)?\r?$", text) is not None


def include(directory: Path) -> list[str]:
    """Make the local dictionary include the product's, once.  Returns the changed files."""
    path = directory / LOCAL
    text = content(path)
    if is_included(text):
        return []
    line_feed = b"" if not text or text.endswith(b"\n") else b"\n"
    try:
        # One short append, so that the administrator's content cannot be lost.
        with path.open("ab") as file:
            file.write(line_feed + LINE.encode())
    except OSError as error:
        raise errors.Refused(
            _("{path} cannot be written: {cause}. Run this as root."), path=path, cause=error.strerror
        ) from None
    return [LOCAL]


def content(path: Path) -> bytes:
    """What a file contains; nothing if it does not exist."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
