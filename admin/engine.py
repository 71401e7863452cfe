"""prepaid engine: decide logins and charge accounting for all FreeRADIUS processes of this machine."""

import contextlib
import signal
from pathlib import Path

from freeradius_module.connection import DatabaseAway, WrongSchema
from freeradius_module.engine.engine import Engine
from freeradius_module.engine.server import CannotListen, EngineServer
from freeradius_module.sealing.keyring import KeyFileError
from freeradius_module.settings import Settings

from .metrics import engine as engine_metrics
from .metrics import listener
from .shell import errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.module_settings import module_settings
from .shell.office import Office
from .shell.service import Service
from .shell.text import _, translated


@cli.command()
@option(
    "--caller",
    "callers",
    multiple=True,
    metavar="ACCOUNT",
    help="A system account that is served, beside root, the engine's own and those of `engine_callers`: FreeRADIUS'.",
)
@json_option
@pass_office
def engine(office: Office, callers: tuple[str, ...], as_json: bool) -> None:
    """Decide logins and charge accounting for all FreeRADIUS processes of this machine, as a service.

    The engine listens at the socket that `engine` in the group [prepaid] of the option file names. While it runs, FreeRADIUS
    passes its packets to it; while it does not, FreeRADIUS decides by itself. It runs until it is stopped. With the setting
    `metrics` it serves its counts for Prometheus, on this machine only.

    \b
    Example:
        prepaid engine
        prepaid engine --caller freerad
    """
    settings = module_settings(office)
    settings = settings._replace(engine_callers=" ".join([settings.engine_callers, *callers]).strip())
    if not settings.engine:
        raise errors.WrongUsage(
            _("The group [prepaid] of {config} names no socket for the engine: engine = /run/prepaid-cards/engine"),
            config=office.config_path,
        )
    place = listener.place_of(settings.metrics, office.config_path) if settings.metrics else None
    try:
        deciding = _engine(settings)
        service = EngineServer(deciding, Path(settings.engine))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_signal: service.end())
        systemd = Service()
        with listener.serving(engine_metrics.registry(deciding, service), place) if place else contextlib.nullcontext():
            service.serve(systemd.is_ready, systemd.works)
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
