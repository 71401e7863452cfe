"""Every SQL statement of the module.  A function is one statement or one transaction.

    logins      reads the cards that want to log in, and reserves what an accepted login may use
    accounting  raises sessions' counters to what was reported, and finds the session that a report belongs to
    posting     moves what sessions have used to their card, and acts on what that uses up
    guessing    counts refused logins, and reads the counts that lock out
    catalogue   products, NAS and the keys' fingerprints, which the engine keeps
    sql         what these share

Others say `from .. import store` and `store.logins.read_cards(...)`.  Logins are read, and reports are written, as
lists: requests that wait at the same time share a statement.  All times are the database's own (UTC_TIMESTAMP), so that
several FreeRADIUS servers need not agree on the clock; what is returned are ages and distances in seconds.
"""

from . import accounting, catalogue, guessing, logins, posting, sql

__all__ = ["accounting", "catalogue", "guessing", "logins", "posting", "sql"]
