"""The peer: rlm_sql with FreeRADIUS' stock schema and queries, and sqlcounter for the credit.

The default site as Debian ships it, with what its own comments tell an administrator to enable: sql in authorize,
session, accounting and post-auth, and a counter in authorize.  This is the `stock` peer; ratios refer to it.

The `lean` peer is that of an administrator who knows FreeRADIUS well: without EAP, and without the second record of
every accounting packet in a detail file and the third in wtmp (unix).
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from pymysql.constants import CLIENT

from tests.stack.freeradius import DISTRIBUTION

from . import raddb, servers
from .cards import write_csv
from .load import Endpoint

CREDIT_SECONDS = 100_000_000  # enough for every round: no card runs out
HISTORY_SECONDS = 600

ACCOUNT = """
    CREATE DATABASE radius;
    CREATE USER radius@localhost IDENTIFIED BY 'radpass';
    GRANT ALL ON radius.* TO radius@localhost;
    USE radius;
"""

# The stock tables as web front ends fill them: password and limits by user, speed and interval by group.
USERS = """
    CREATE TEMPORARY TABLE card (
        number INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
        serial VARCHAR(64), pin VARCHAR(64)
    );
    LOAD DATA LOCAL INFILE '{csv}' INTO TABLE card
        FIELDS TERMINATED BY ',' IGNORE 1 LINES (serial, pin);
    INSERT INTO radcheck (username, attribute, op, value)
        SELECT serial, 'Cleartext-Password', ':=', pin FROM card
        UNION ALL SELECT serial, 'Max-All-Session', ':=', '{credit_seconds}' FROM card
        UNION ALL SELECT serial, 'Simultaneous-Use', ':=', '1' FROM card;
    INSERT INTO radusergroup (username, groupname, priority) SELECT serial, 'prepaid', 1 FROM card;
    INSERT INTO radgroupreply (groupname, attribute, op, value) VALUES
        ('prepaid', 'Acct-Interim-Interval', ':=', '300'),
        ('prepaid', 'Idle-Timeout', ':=', '600'),
        ('prepaid', 'WISPr-Bandwidth-Max-Down', ':=', '10000000'),
        ('prepaid', 'WISPr-Bandwidth-Max-Up', ':=', '2000000');
"""
HISTORY = """
    SET unique_checks = 0, foreign_key_checks = 0;
    INSERT INTO radacct (
        acctsessionid, acctuniqueid, username, nasipaddress, nasportid, nasporttype,
        acctstarttime, acctupdatetime, acctstoptime, acctsessiontime,
        acctinputoctets, acctoutputoctets, calledstationid, callingstationid,
        acctterminatecause, framedipaddress
    )
    SELECT CONCAT('old', seq, '-', number), MD5(CONCAT(number, '-', seq)), serial, '127.0.0.1', number, 'Wireless-802.11',
           NOW() - INTERVAL seq DAY, NOW() - INTERVAL seq DAY + INTERVAL {history_seconds} SECOND,
           NOW() - INTERVAL seq DAY + INTERVAL {history_seconds} SECOND, {history_seconds},
           10000000, 100000000, 'hotspot1', CONCAT('02-00-', number),
           'User-Request', CONCAT('10.0.', number DIV 256 % 256, '.', number % 256)
      FROM card JOIN seq_1_to_1000 ON seq <= {history};
"""
ANALYZE = "ANALYZE TABLE radcheck, radusergroup, radacct"
KEY = re.compile(r"^\s+(?P<key>(?:UNIQUE )?KEY `(?P<name>\w+)` .*?),?$", re.MULTILINE)


class Peer:
    """FreeRADIUS' own SQL modules, loaded and running under a folder, in a site that is stock or lean."""

    def __init__(self, folder: Path, endpoint: Endpoint, threads: int, site: str):
        self.name = "peer" if site == "stock" else "peer_lean"
        self.is_lean = site == "lean"
        self.folder = folder
        self.endpoint = endpoint
        self.database = servers.database(folder)
        self.radiusd = servers.radiusd(folder, endpoint, threads)

    def start(self, cards: int, history: int):
        self.database.start()
        load_users(self.database, self.folder, cards, history)
        with self.database.connect("radius") as connection, connection.cursor() as cursor:
            servers.warm(
                cursor,
                ("radacct", "PRIMARY"),
                ("radacct", "username"),
                ("radusergroup", "username"),
                ("radcheck", "PRIMARY"),
                ("radcheck", "username"),
            )
        self.radiusd.copy_distribution()
        enable_sql(self.radiusd.raddb, self.endpoint, self.database.socket)
        if self.is_lean:
            make_lean(self.radiusd.raddb)
        else:
            raddb.enable_eap(self.radiusd.raddb)
        self.radiusd.start()

    def pids(self) -> dict[str, list[int]]:
        return {
            "radiusd": [servers.running_pid(self.radiusd.daemon)],
            "mariadbd": [servers.running_pid(self.database.daemon)],
        }

    def drain(self):
        """The peer has recorded all accounting that it acknowledged, so there is nothing to wait for."""

    def stop(self):
        self.radiusd.stop()
        self.database.stop()


def load_users(database, folder: Path, cards: int, history: int):
    """The stock schema, with `cards` users and `history` closed sessions of each; once in a folder."""
    loaded = folder / "loaded"
    if loaded.exists():
        return
    csv = folder / "cards.csv"
    write_csv(csv, cards)
    schema = (DISTRIBUTION / "mods-config/sql/main/mysql/schema.sql").read_text()
    about = {"csv": csv, "credit_seconds": CREDIT_SECONDS, "history": history, "history_seconds": HISTORY_SECONDS}
    with (
        servers.filling(database, cards * (history + 1)),
        database.connect(local_infile=True, client_flag=CLIENT.MULTI_STATEMENTS) as connection,
        connection.cursor() as cursor,
    ):
        for script in (ACCOUNT, schema, USERS.format(**about)):
            run(cursor, script)
        with without_keys(cursor, "radacct"):
            run(cursor, HISTORY.format(**about))
        run(cursor, ANALYZE)
    loaded.touch()


def run(cursor, script: str) -> None:
    cursor.execute(script)
    while cursor.nextset():  # an error of a later statement shows only when its turn comes
        pass


@contextlib.contextmanager
def without_keys(cursor, table: str) -> Iterator[None]:
    """Drop a table's keys while it is filled: building them afterwards is one sort, keeping them up to date is a random
    write for each row and key."""
    before = keys_of(cursor, table)
    cursor.execute(f"ALTER TABLE {table} {', '.join(f'DROP KEY {name}' for name in before)}")
    yield
    cursor.execute(f"ALTER TABLE {table} {', '.join(f'ADD {key}' for key in before.values())}")
    if keys_of(cursor, table) != before:
        raise RuntimeError(f"{table} has other keys than it had before it was filled")


def keys_of(cursor, table: str) -> dict[str, str]:
    """The keys beside the primary one, as the server writes them, by name."""
    cursor.execute(f"SHOW CREATE TABLE {table}")
    [(_, definition)] = cursor.fetchall()
    return {found["name"]: found["key"] for found in KEY.finditer(definition)}


def enable_sql(made: Path, endpoint: Endpoint, database_socket: Path):
    """Enable sql and the counter in a fresh copy of the stock raddb, as its comments say."""
    raddb.change(
        made / "mods-available/sql",
        ('\tdialect = "sqlite"\n', '\tdialect = "mysql"\n'),
        ('\tdriver = "rlm_sql_null"\n', '\tdriver = "rlm_sql_mysql"\n'),
        (
            '\tradius_db = "radius"\n',
            '\tserver = "localhost"\n\tlogin = "radius"\n\tpassword = "radpass"\n\tradius_db = "radius"\n',
        ),
    )
    sql = made / "mods-available/sql"
    sql.write_text(raddb.without_blocks(sql.read_text(), "tls {"))  # a Unix socket needs none
    # rlm_sql_mysql has no setting for the Unix socket, but reads [freeradius] of an option file.
    (made / "my.cnf").write_text(f"[freeradius]\nsocket = {database_socket}\n")
    raddb.change(made / "radiusd.conf", ("\nENV {\n", f"\nENV {{\n\tMYSQL_HOME = '{made}'\n"))
    (made / "clients.conf").write_text(raddb.CLIENT.format(secret=endpoint.secret.decode()))
    for module in ("sql", "sqlcounter"):
        (made / "mods-enabled" / module).symlink_to(f"../mods-available/{module}")
    enable_in_site(made / "sites-available/default", endpoint)
    (made / "sites-enabled/default").symlink_to("../sites-available/default")


def enable_in_site(site: Path, endpoint: Endpoint):
    listeners = raddb.LISTENERS.format(**endpoint._asdict())
    site.write_text(raddb.without_blocks(site.read_text(), "listen {"))
    raddb.change(site, ("\nserver default {\n", f"\nserver default {{\n{listeners}"))
    raddb.change_section(site, "authorize", ("\n\t-sql\n", "\n\tsql\n"), ("\n#\tdaily\n", "\n\tnoresetcounter\n"))
    raddb.change_section(site, "session", ("\n#\tsql\n", "\n\tsql\n"))
    raddb.change_section(site, "accounting", ("\n\t-sql\n", "\n\tsql\n"))
    # post-auth has '-sql' already, once for an Accept and once for a Reject: it is on as soon as sql is.


def make_lean(made: Path):
    site = made / "sites-available/default"
    site.write_text(raddb.without_blocks(site.read_text(), "eap {"))
    raddb.remove_lines(site, "accounting", "detail", "unix")
    for section in ("authenticate", "post-auth", "post-proxy"):
        raddb.remove_lines(site, section, "eap")
