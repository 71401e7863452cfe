"""How a command is told a PIN."""

import sys

import click

from .text import _

LONGEST_PIN = 256


def read_pin() -> str:
    """From a terminal without showing it, else the first line of standard input; never from an argument."""
    if sys.stdin.isatty():
        return click.prompt(_("PIN"), hide_input=True, err=True).strip()
    return sys.stdin.buffer.readline(LONGEST_PIN).decode("utf-8", "replace").strip()
