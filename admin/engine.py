"""prepaid engine: decide logins and charge accounting for all FreeRADIUS processes of this machine."""

import signal
from pathlib import Path

from freeradius_module.connection import DatabaseAway, WrongSchema
from freeradius_module.engine.engine import Engine
from freeradius_module.engine.server import CannotListen, EngineServer
from freeradius_module.sealing.keyring import KeyFileError
from freeradius_module.settings import Settings

from .shell import errors, output
from .shell.command import cli, json_option, pass_office
from .shell.module_settings import module_settings
from .shell.office import Office
from .shell.text import _, translated


@cli.command()
@json_option
@pass_office
def engine(office: Office, as_json: bool) -> None:
    """Decide logins and charge accounting for all FreeRADIUS processes of this machine, as a service.

    The engine listens at the socket that `engine` in the group [prepaid] of the option file names. While it runs, FreeRADIUS
    passes its packets to it; while it does not, FreeRADIUS decides by itself. It runs until it is stopped.

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
            signal.signal(number, lambda *_signal: service.end())
        service.serve()
    except (CannotListen, KeyFileError, WrongSchema) as fault:
        raise errors.Refused(translated(fault)) from fault
    output.print_result(
        {"decided": service.decided, "charged": service.charged},
        _("Decided {decided} logins and charged {charged} packets.").format(
            decided=service.decided, charged=service.charged
        ),
        as_json,
    )


def _engine(settings: Settings) -> Engine:
    """An engine that starts even while the database is away, as FreeRADIUS does."""
    found = Engine(settings)
    try:
        found.check()
    except DatabaseAway as away:
        output.print_notice(_("The database is away; the engine starts nevertheless: {cause}").format(cause=away))
    return found
