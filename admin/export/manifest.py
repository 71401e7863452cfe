"""The manifest of an export: what the file holds, and its SHA-256.  It has no PIN.

The print shop checks by it that the file arrived complete and unchanged.
"""

import json
from collections.abc import Mapping

from ..files import Target


def path_of(path: str) -> str:
    """The path of a file's manifest, which lies beside it.

    >>> path_of("out/batch-31.csv")
    'out/batch-31.csv.manifest.json'
    """
    return f"{path}.manifest.json"


def write(file: Target, facts: Mapping[str, object]) -> None:
    file.write((json.dumps(facts, ensure_ascii=False, indent=2) + "\n").encode())
