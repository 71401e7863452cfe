"""The command `prepaid`: a file for each noun, one line here for each file."""

# ruff: noqa: F401
# isort: off
from . import archive
from . import audit
from . import batch
from . import batch_receive
from . import block
from . import cards
from . import charge
from . import completion
from . import credit
from . import custody
from . import db
from . import desk
from . import disconnect
from . import doctor
from . import enforce
from . import export
from . import generate
from . import import_cards
from . import key
from . import nas
from . import operators
from . import partner
from . import product
from . import raddb
from . import redeem
from . import reconcile
from . import report
from . import sessions
from . import simulate
from . import spool
from . import track
from . import voice
from .command import cli

__all__ = ["cli"]
