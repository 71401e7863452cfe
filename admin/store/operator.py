"""The statements about operators: accounts of the database and their roles.

They need the rights of the schema's owner.  Changes of accounts and roles are not part of a transaction, so each of
these functions may be repeated after a failure.
"""

from . import roles
from .rows import Cursor, Row
from .schema import create_user, quoted

# Of one person at the same time: a server has 151 for all, FreeRADIUS among them.
CONNECTIONS_MOST = 20


def has_account(cursor: Cursor, operator: str) -> bool:
    """Whether the server has an account of this name, an operator's or any other."""
    cursor.execute("SELECT 1 FROM mysql.user WHERE user = %(operator)s AND is_role = 'N'", {"operator": operator})
    return cursor.fetchone() is not None


def listed(cursor: Cursor, operator: str | None = None) -> list[Row]:
    """The operators and their roles, by name."""
    cursor.execute(
        """
        SELECT operator, role
          FROM operator_role
         WHERE (operator = %(operator)s OR %(operator)s IS NULL)
           AND role NOT IN ('module', 'office')
         ORDER BY operator, role
        """,
        {"operator": operator},
    )
    found: dict[str, list[str]] = {}
    for row in cursor.fetchall():
        found.setdefault(row["operator"], []).append(row["role"])
    order = list(roles.ROLES)
    return [{"operator": name, "roles": sorted(held, key=order.index)} for name, held in found.items()]


def give(cursor: Cursor, database: str, operator: str, given: list[str]) -> None:
    """Give roles.  The table operator_role comes first, because it limits how the account may change a card's status."""
    cursor.executemany(
        "INSERT IGNORE INTO operator_role (operator, role) VALUES (%s, %s)", [(operator, role) for role in given]
    )
    own = quoted(roles.of_operator(database, operator))
    cursor.execute(f"CREATE ROLE IF NOT EXISTS {own}")
    for role in given:
        cursor.execute(f"GRANT {quoted(roles.in_database(database, role))} TO {own}")


def take(cursor: Cursor, database: str, operator: str, taken: list[str]) -> None:
    """Take roles away."""
    own = quoted(roles.of_operator(database, operator))
    for role in taken:
        cursor.execute(f"REVOKE {quoted(roles.in_database(database, role))} FROM {own}")
    cursor.executemany(
        "DELETE FROM operator_role WHERE operator = %s AND role = %s", [(operator, role) for role in taken]
    )


def create(cursor: Cursor, database: str, operator: str, hosts: list[str], password: str) -> None:
    """Create the account, with its role active after each login."""
    for host in hosts:
        create_user(cursor, operator, host, password)
        cursor.execute(
            "ALTER USER %(operator)s@%(host)s WITH MAX_USER_CONNECTIONS %(most)s",
            {"operator": operator, "host": host, "most": CONNECTIONS_MOST},
        )
    put_in_force(cursor, database, operator, hosts)


def put_in_force(cursor: Cursor, database: str, operator: str, hosts: list[str]) -> None:
    """Make the account's role active after each login."""
    own = quoted(roles.of_operator(database, operator))
    for host in hosts:
        account = {"operator": operator, "host": host}
        cursor.execute(f"GRANT {own} TO %(operator)s@%(host)s", account)
        cursor.execute(f"SET DEFAULT ROLE {own} FOR %(operator)s@%(host)s", account)


def remove(cursor: Cursor, database: str, operator: str) -> None:
    """Remove the account and end its connections.  The history keeps its name."""
    cursor.execute(
        "SELECT host AS host FROM mysql.user WHERE user = %(operator)s AND is_role = 'N'", {"operator": operator}
    )
    for row in cursor.fetchall():
        cursor.execute("DROP USER IF EXISTS %(operator)s@%(host)s", {"operator": operator, "host": row["host"]})
    cursor.execute("KILL USER %(operator)s", {"operator": operator})
    cursor.execute(f"DROP ROLE IF EXISTS {quoted(roles.of_operator(database, operator))}")
    cursor.execute("DELETE FROM operator_role WHERE operator = %(operator)s", {"operator": operator})
