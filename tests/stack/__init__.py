"""The private stack: MariaDB and FreeRADIUS in one folder, without any system service.

`make up` and `make down` start and stop one under var/ (see `__main__.py`); tests, bench and fault campaigns make
theirs with the same classes.  They use only the standard library and PyMySQL, so that all else is the product's work.

Every process runs as the user who starts it, because the users mysql and freerad cannot read a checkout under /root.
"""

from tests.stack.errors import StackError
from tests.stack.freeradius import FreeRadius
from tests.stack.mariadb import MariaDB
from tests.stack.ports import free_ports
from tests.stack.stack import Stack

__all__ = ["FreeRadius", "MariaDB", "Stack", "StackError", "free_ports"]
