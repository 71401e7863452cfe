"""The command `prepaid`: imports every file of commands, which adds its commands to the group `cli`."""

# ruff: noqa: F401
# isort: off
from . import archive
from .books import audit
from . import batch
from . import batch_receive
from . import block
from .browse import command as browse
from . import cards
from .queue import charge
from .shell import completion
from . import credit
from . import custody
from . import db
from . import engine
from .enforce import disconnect
from .doctor import command as doctor
from .enforce import command as enforce
from .export import command as export
from . import generate
from . import import_cards
from . import key
from .metrics import command as metrics
from . import nas
from . import nat
from . import operators
from . import partner
from . import payment
from . import product
from .freeradius import raddb
from . import redeem
from .books import reconcile
from .report import command as report
from . import sessions
from .setup import command as setup
from . import simulate
from . import statement
from .queue import command as queue
from . import track
from . import voice
from .shell.command import cli

# The help lists the commands by who uses them, in the order of a card's life.  The headings are translated.
cli.sections = {
    "Every day": (
        "generate",
        "import",
        "export",
        "batch",
        "deliver",
        "return",
        "note",
        "list",
        "show",
        "track",
        "simulate",
        "sessions",
        "nat",
        "disconnect",
        "edit",
        "block",
        "unblock",
        "delete",
        "browse",
    ),
    "Money": ("product", "partner", "payment", "credit", "transfer", "redeem", "voice", "report", "reconcile"),
    "System": (
        "setup",
        "doctor",
        "metrics",
        "db",
        "operator",
        "nas",
        "key",
        "raddb",
        "engine",
        "charge",
        "queue",
        "enforce",
        "audit",
        "completion",
    ),
}

__all__ = ["cli"]
