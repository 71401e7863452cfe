"""What a check of `prepaid doctor` reports, and what it examines."""

from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from freeradius_module.settings import Settings, load

from ..freeradius import raddb_directory
from ..shell.office import Office

# The names of all checks, for --leave-out.
NAMES = tuple(
    """
    option_file database module_account server_settings event_scheduler secure_timestamp binary_log buffer_pool data_disk
    threads connections locks clock key_file nas nas_reports enforce audit archive nightly_work nightly_runs queue engine
    freeradius pins raddb configuration certificates running units login card
    """.split()
)


class Finding(NamedTuple):
    """What one check saw: one row of `prepaid doctor`.

    `state` is "ok"; "look" (it works, but somebody should know); or "fault".
    """

    check: str
    state: Literal["ok", "look", "fault"]
    detail: str
    what_to_do: str = ""


class Installation:
    """What is examined: the office's option file and database, and FreeRADIUS' directory.

    `serial_text` and `card_pin` are a card to log in with, if the caller gave one.
    """

    def __init__(self, office: Office, directory: Path, serial_text: str | None = None, card_pin: str | None = None):
        self.office = office
        self.directory = directory
        self.serial_text = serial_text
        self.card_pin = card_pin

    @cached_property
    def module_settings(self) -> Settings:
        """The settings as FreeRADIUS reads them.  Raises SettingsError."""
        return load(self.office.config_path)

    @cached_property
    def radiusd_user(self) -> str | None:
        """The account that FreeRADIUS runs as; None if its files do not name an existing one."""
        return raddb_directory.radiusd_user(self.directory)
