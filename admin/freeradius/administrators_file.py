"""Change a file that the administrator owns."""

import os
from pathlib import Path

from freeradius_module.whole_file import WholeFile

from ..shell import errors
from ..shell.text import _


def write(path: Path, content: bytes) -> None:
    """Replace what a file contains, all or nothing.  A link stays a link, and the file keeps its owner and mode.

    Raises Refused if it cannot be written.
    """
    file = path.resolve()
    status = file.stat()
    try:
        with WholeFile(file, replace=True, mode=status.st_mode & 0o777) as new:
            new.file.write(content)
            os.fchmod(new.file.fileno(), status.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.fchown(new.file.fileno(), status.st_uid, status.st_gid)
            new.publish()
    except OSError as error:
        raise errors.Refused(
            _("{path} cannot be written: {cause}. Run this as root."), path=path, cause=error.strerror
        ) from None
