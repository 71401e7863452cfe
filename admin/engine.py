"""prepaid engine: decide logins and charge accounting for all FreeRADIUS processes of this machine."""

import signal
from pathlib import Path

from freeradius_module.connection import DatabaseAway, WrongSchema
from freeradius_module.engine.engine import Engine
from freeradius_module.engine.server import EngineServer, NoPlace
from freeradius_module.sealing.keyring import KeyFileError

from .queue.charge import module_settings
from .shell import errors, output
from .shell.command import cli, json_option, pass_office
from .shell.text import _, translated


@cli.command()
@json_option
@pass_office
def engine(office, as_json):
    """Decide logins and charge accounting for all FreeRADIUS processes of this machine, as a service.

    It opens at the socket that `engine` in the group [prepaid] of the option file names. FreeRADIUS hands its packets over
    while it is there, and decides by itself while it is not. Runs until it is ended.

    \b
    Example:
        prepaid engine
    """
    settings = module_settings(office)
    if not settings.engine:
        raise errors.WrongUsage(
            _("The group [prepaid] of {config} names no socket for the engine: engine = /run/prepaid-cards/engine"),
            config=office.config_path,
        )
    try:
        service = EngineServer(_engine(settings), Path(settings.engine))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: service.end())
        service.serve()
    except (NoPlace, KeyFileError, WrongSchema) as fault:
        raise errors.Refused(translated(fault)) from fault
    output.print_result(
        {"decided": service.decided, "charged": service.charged},
        _("Decided {decided} logins and charged {charged} packets.").format(
            decided=service.decided, charged=service.charged
        ),
        as_json,
    )


def _engine(settings) -> Engine:
    """Open while the database is away, too: as FreeRADIUS itself does."""
    found = Engine(settings)
    try:
        found.check()
    except DatabaseAway as away:
        output.print_notice(_("The database is away; opening nevertheless: {cause}").format(cause=away))
    return found
