"""The private stack: a MariaDB and a FreeRADIUS of one folder's own, without any system service.

`make up` and `make down` start and stop one under var/ (see `__main__.py`); the tests, the benchmark and
the fault injection make theirs with the same classes.  Only the standard library and PyMySQL are used, so
that what the stack shows is the product's doing.

Every process runs as whoever started it: a checkout under /root is closed to the users mysql and freerad,
and two private processes on the loopback address that serve one folder gain nothing from a third user.
"""

from tests.stack.errors import StackError
from tests.stack.freeradius import FreeRadius
from tests.stack.mariadb import MariaDB
from tests.stack.ports import free_ports
from tests.stack.stack import Stack

__all__ = ["FreeRadius", "MariaDB", "Stack", "StackError", "free_ports"]
