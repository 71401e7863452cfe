"""The roles of operators: one for each kind of work.  sql/roles.sql grants each its rights.

A role of MariaDB belongs to the whole server, so its name begins with the name of the database: `prepaid:block`.
"""

import re

# What each role may do, in the order of lists.
ROLES = {
    "see": "look at cards, notes, sessions and history",
    "see_pin": "read PINs: export them, show one; recorded",
    "generate": "make batches of cards",
    "import": "import cards that another system made",
    "export": "write batches into files for the print shop (with PINs: see_pin too)",
    "deliver": "hand cards to partners",
    "return": "take cards back from partners",
    "block": "block and unblock cards",
    "delete": "delete cards in stock, also those that the print shop spoiled",
    "credit": "add or move credit, extend validity, write a note on a card",
    "products": "types of credit",
    "partners": "partners, and their credit limits",
    "payments": "record and reverse payments of partners",
    "nas": "NAS",
    "disconnect": "disconnect cards, enforce limits",
    "redeem": "redeem telephony cards, for the subscriber centre",
    "voice": "export and confirm credits of the voice platform",
    "report": "stock, sales, usage, settlement",
    "audit": "reconcile, verify the history chain",
    "address": "ask who had an address; recorded",
    "nat": "import the log of a NAT, and remove old records",
    "admin": "all of these",
}

# The role that a command needs, if it is not `see`.
_OF_COMMAND = {
    "generate": "generate",
    "import": "import",
    "export": "export",
    "deliver": "deliver",
    "return": "return",
    "block": "block",
    "unblock": "block",
    "delete": "delete",
    "credit": "credit",
    "transfer": "credit",
    "edit": "credit",
    "product": "products",
    "partner": "partners",
    "payment": "payments",
    "nas": "nas",
    "nat": "nat",
    "disconnect": "disconnect",
    "enforce": "disconnect",
    "redeem": "redeem",
    "voice": "voice",
    "report": "report",
    "reconcile": "audit",
    "audit": "audit",
    "metrics": "audit",
    "batch": "delete",
    "key": "admin",
    "operator": "admin",
    "doctor": "admin",
    "db": "admin",
}
_OF_ROUTINE = {"read_pin": "see_pin", "open_pins": "see_pin", "read_pins": "see_pin", "who_had": "address"}
_READING = (
    "list",
    "show",
    "track",
    "sessions",
    "note",
    "product",
    "partner",
    "payment",
    "nas",
    "batch",
    "simulate",
    "voice",
)


def missing(command: str, cause: str) -> str:
    """The role that a refused command lacks, by the command's name and the database's message.

    >>> missing("block", "UPDATE command denied to user 'ana'@'localhost' for column 'status' in table 'card'")
    'block'
    >>> missing("partner", "SELECT command denied to user 'ana'@'localhost' for table `prepaid`.`partner`")
    'see'
    >>> missing("export", "execute command denied to user 'ana'@'localhost' for routine 'prepaid.open_pins'")
    'see_pin'
    >>> missing("operator", "SELECT command denied to user 'ana'@'localhost' for table `prepaid`.`operator_role`")
    'admin'
    >>> missing("sessions", "execute command denied to user 'ana'@'localhost' for routine 'prepaid.who_had'")
    'address'
    """
    routine = re.search(r"for routine '[^']*\.(\w+)'", cause)
    if routine and routine[1] in _OF_ROUTINE:
        return _OF_ROUTINE[routine[1]]
    if cause.startswith("SELECT") and command in _READING:
        return "see"
    return _OF_COMMAND.get(command, "see")


def in_database(database: str, role: str) -> str:
    """The role's name on the server.

    >>> in_database("prepaid", "block")
    'prepaid:block'
    """
    return f"{database}:{role}"


def of_operator(database: str, operator: str) -> str:
    """The role that contains all roles of an operator, because MariaDB lets an account use only one at a time.

    >>> of_operator("prepaid", "ana")
    'prepaid:operator:ana'
    """
    return f"{database}:operator:{operator}"
