"""Take an installation out of FreeRADIUS' directory, and nothing else."""

import shutil
from pathlib import Path

from ..shell import errors
from ..shell.text import _
from . import files as raddb_files
from . import local_dictionary, raddb_into
from .files import Choice
from .raddb_directory import CERTIFICATES, check_is_raddb, content
from .record import RECORD, checksum, read_record


def remove_files(directory: Path, *, force: bool = False) -> list[str]:
    """What `prepaid raddb remove` does.  Returns what was removed or changed.

    Raises OfficeError before anything is changed, if an edited file would be lost or a site's marks are damaged.
    """
    check_is_raddb(directory)
    record = read_record(directory)
    sites = raddb_into.edited_sites(directory, Choice("", ""))
    there = {path: text for path in record["files"] if (text := content(directory / path)) is not None}
    edited = [path for path, text in there.items() if checksum(text) != record["files"][path]]
    if edited and not force:
        raise errors.Refused(
            _(
                "These files were edited since they were installed: {files}. --force removes them and keeps the edited ones as "
                "FILE.before."
            ),
            files=", ".join(edited),
        )
    # First what refers to the files, then the files: FreeRADIUS can start at any moment in between.
    done = raddb_into.write_sites(directory, sites)
    done += local_dictionary.exclude(directory, record.get("dictionary_line_feed", False))
    for link in sorted(raddb_files.possible_links() | set(record.get("links", ()))):
        if (directory / link).is_symlink():
            _remove(directory / link)
            done.append(link)
    for path in there:
        if path in edited:
            shutil.copy2(directory / path, directory / f"{path}.before")
        _remove(directory / path)
        done.append(path)
    for name, before in record.get("certificates", {}).items():
        text = content(directory / CERTIFICATES / name)
        if text is not None and checksum(text) == before:
            _remove(directory / CERTIFICATES / name)
            done.append(str(CERTIFICATES / name))
    for folder in (CERTIFICATES, Path("prepaid.d")):
        if (directory / folder).is_dir() and not any((directory / folder).iterdir()):
            (directory / folder).rmdir()
    if (directory / RECORD).exists():
        _remove(directory / RECORD)
        done.append(RECORD)
    return done


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise errors.Refused(
            _("{path} cannot be removed: {cause}. Run this as root."), path=path, cause=error.strerror
        ) from None
