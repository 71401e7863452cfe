"""How a command reads a PIN."""

import sys

import click

from .text import _

LONGEST_PIN = 256


def read_pin() -> str:
    """A PIN from the terminal, without showing it, or else from the first line of standard input.

    Never from an argument: other users of the machine can see arguments.
    """
    if sys.stdin.isatty():
        return str(click.prompt(_("PIN"), hide_input=True, err=True)).strip()
    return sys.stdin.buffer.readline(LONGEST_PIN).decode("utf-8", "replace").strip()
