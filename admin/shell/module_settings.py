"""The FreeRADIUS module's settings, for commands that work by the module's rules."""

from freeradius_module import settings

from . import errors
from .office import Office
from .text import translated


def module_settings(office: Office, connection_group: str = settings.RADIUS_GROUP) -> settings.Settings:
    """The settings as the module reads them from the office's option file, with the connection of a group; a wrong option
    file is wrong usage."""
    try:
        return settings.load(office.config_path, connection_group)
    except settings.SettingsError as fault:
        raise errors.WrongUsage(translated(fault)) from fault
