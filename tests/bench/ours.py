"""This project as a side of the bench: the module, its schema and its site, set up by its own command."""

from pathlib import Path

from tests.stack import Stack

from . import servers
from .cards import write_csv
from .load import Endpoint


class Ours:
    """`accounting` is direct or queued; queued has a charger of its own beside radiusd."""

    def __init__(self, folder: Path, endpoint: Endpoint, threads: int, accounting: str):
        self.name = "ours" if accounting == "direct" else "ours_queued"
        self.folder = folder
        self.endpoint = endpoint
        self.accounting = accounting
        self.stack = Stack(
            folder,
            auth_port=endpoint.auth_port,
            acct_port=endpoint.acct_port,
            mariadb_options=servers.DATABASE_OPTIONS,
            freeradius_options=servers.thread_options(threads),
            settings={"accounting": accounting},
            dies_with_parent=True,
        )

    def start(self, cards: int, history: int):
        self.stack.start_database()
        self.load_cards(cards, history)
        self.stack.start_freeradius()

    def load_cards(self, cards: int, history: int):
        """The bench's cards, sold and in use, each with `history` ended sessions; once in a folder."""
        raise NotImplementedError("This side is not plugged in yet; use --only peer,ceiling_files,ceiling_python.")

    def pids(self) -> dict[str, list[int]]:
        return {
            "radiusd": [self.stack.freeradius.daemon.pid()],
            "mariadbd": [self.stack.mariadb.daemon.pid()],
        }

    def drain(self):
        """Wait for accounting that was acknowledged and is not yet charged."""

    def stop(self):
        self.stack.down()
