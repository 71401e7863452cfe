"""Records that nightly work has ended, for `prepaid metrics` and `prepaid doctor`."""

import pymysql

from .. import store
from ..shell import errors, output
from ..shell.office import Office
from ..shell.text import _


def record(office: Office, work: str, faults: int) -> None:
    """The result of the work counts, so a run that cannot be recorded (on a replica, for instance) is only a notice."""
    try:
        office.change(lambda cursor: store.run.record(cursor, work, faults))
    except (pymysql.MySQLError, errors.OfficeError) as error:
        output.print_notice(_("This run was not recorded: {cause}").format(cause=error))
