"""The file `dictionary` in FreeRADIUS' directory.  It belongs to the administrator; the product adds one line.

Its other content stays byte by byte, and so do its owner and its mode.  If it is a link, it stays a link.
"""

import re
from pathlib import Path

from ..shell import errors
from ..shell.text import _
from . import administrators_file

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


def exclude(directory: Path, added_line_feed: bool) -> list[str]:
    """Take our line out again, and the line feed before it if `include` has added one.  Returns the changed files.

    A line by the administrator that includes the product's dictionary becomes a comment, because FreeRADIUS does not start
    if the file is missing.
    """
    path = directory / LOCAL
    text = content(path)
    if not is_included(text):
        return []
    ours = LINE.encode()
    at = text.find(ours)
    if at >= 0:
        end = at + len(ours)
        begin = at - 1 if added_line_feed and end == len(text) and text[at - 1 : at] == b"\n" else at
        changed = text[:begin] + text[end:]
    else:
        changed = re.sub(
            rb"(?mi)^(?=[ \t]*\$INCLUDE-?[ \t]+(\S*/)?dictionary\.prepaid[ \t]*(#.*)?\r?$)", b"# ", text, count=1
        )
    administrators_file.write(path, changed)
    return [LOCAL]


def content(path: Path) -> bytes:
    """What a file contains; nothing if it does not exist."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
