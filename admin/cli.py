"""The command `prepaid`: imports every file of commands, which adds its commands to the group `cli`."""

# ruff: noqa: F401
# isort: off
from . import archive
from .books import audit
from . import batch
from . import batch_receive
from . import block
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
from . import operators
from . import partner
from . import product
from .freeradius import raddb
from . import redeem
from .books import reconcile
from .report import command as report
from . import sessions
from . import simulate
from .queue import command as queue
from . import track
from . import voice
from .shell.command import cli

__all__ = ["cli"]
