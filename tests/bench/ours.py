"""This project as a side of the bench."""

from pathlib import Path

from .load import Endpoint


class Ours:
    """The module, with its schema and its site; `accounting` is direct or queued."""

    def __init__(self, endpoint: Endpoint, threads: int, accounting: str):
        self.name = "ours" if accounting == "direct" else "ours_queued"
        self.endpoint = endpoint
        self.threads = threads
        self.accounting = accounting

    def start(self, folder: Path, cards: int, history: int):
        raise NotImplementedError("This side is not plugged in yet; use --only peer,ceiling_files,ceiling_python.")
