"""The command `prepaid`: a file for each noun, one line here for each file."""

from . import db, generate, nas, partner, product, raddb  # noqa: F401
from .command import cli

__all__ = ["cli"]
