"""The folders that are installed beside the code: sql/ and raddb-config/.

In a checkout they are next to the packages; an installed wheel has them under share/prepaid-cards.
"""

import sys
from pathlib import Path

from . import errors
from .text import _


def folder(name: str) -> Path:
    """The path of one of these folders.

    >>> (folder("sql") / "schema.sql").exists()
    True
    """
    places = [Path(__file__).resolve().parents[2] / name, Path(sys.prefix) / "share" / "prepaid-cards" / name]
    for place in places:
        if place.is_dir():
            return place
    raise errors.Refused(
        _(
            "The folder {name} of prepaid-cards was not found, neither at {first} nor at {second}. "
            "Install prepaid-cards again."
        ),
        name=name,
        first=places[0],
        second=places[1],
    )
