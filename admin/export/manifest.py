"""The paper that goes with an export: what it holds and how to tell that it arrived whole.  No PIN is in it."""

import json


def path_of(path: str) -> str:
    """Where the manifest of a file lies: beside it.

    >>> path_of("out/batch-31.csv")
    'out/batch-31.csv.manifest.json'
    """
    return f"{path}.manifest.json"


def write(file, facts: dict) -> None:
    file.write((json.dumps(facts, ensure_ascii=False, indent=2) + "\n").encode())
