"""prepaid desk: decide logins and charge accounting for all FreeRADIUS processes of this machine."""

import signal
from pathlib import Path

from freeradius_module.connection import DatabaseAway, WrongSchema
from freeradius_module.engine.engine import Desk
from freeradius_module.engine.server import DeskService, NoPlace
from freeradius_module.sealing.keyring import KeyFileError

from .queue.charge import module_settings
from .shell import errors, output
from .shell.command import cli, json_option, pass_office
from .shell.text import _, told


@cli.command()
@json_option
@pass_office
def desk(office, as_json):
    """Decide logins and charge accounting for all FreeRADIUS processes of this machine, as a service.

    It opens at the socket that `desk` in the group [prepaid] of the option file names. FreeRADIUS hands its packets over
    while it is there, and decides by itself while it is not. Runs until it is ended.

    \b
    Example:
        prepaid desk
    """
    settings = module_settings(office)
    if not settings.desk:
        raise errors.WrongUsage(
            _("The group [prepaid] of {config} names no socket for the desk: desk = /run/prepaid-cards/desk"),
            config=office.config_path)
    try:
        service = DeskService(_desk(settings), Path(settings.desk))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: service.end())
        service.serve()
    except (NoPlace, KeyFileError, WrongSchema) as fault:
        raise errors.Refused(told(fault)) from fault
    output.tell_done(
        {"decided": service.decided, "charged": service.charged},
        _("Decided {decided} logins and charged {charged} packets.").format(
            decided=service.decided, charged=service.charged),
        as_json,
    )


def _desk(settings) -> Desk:
    """Open while the database is away, too: as FreeRADIUS itself does."""
    found = Desk(settings)
    try:
        found.check()
    except DatabaseAway as away:
        output.hint(_("The database is away; opening nevertheless: {cause}").format(cause=away))
    return found
