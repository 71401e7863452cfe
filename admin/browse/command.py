"""prepaid browse: the command that opens the screen."""

import sys

from ..shell import errors
from ..shell.command import cli, pass_office
from ..shell.office import Office
from ..shell.text import _


@cli.command()
@pass_office
def browse(office: Office) -> None:
    """Look at cards on a screen: search, open a card's history and sessions, deliver, block; with keys or a mouse.

    It needs a terminal of 80 columns and 24 lines, and works over SSH. The keys are in the last line of the screen. You can do
    what your roles allow.

    \b
    Example:
        prepaid browse
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise errors.WrongUsage(
            _("'prepaid browse' needs a terminal. In a script, use 'prepaid list' and 'prepaid show'.")
        )
    # A failure to connect is an error of the command, before the terminal changes.
    with office.reading():
        pass
    # textual takes long to import, and no other command needs it.
    from .screen import BrowseApp

    BrowseApp(office).run()
