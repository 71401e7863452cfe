"""The peer: rlm_sql with FreeRADIUS' stock schema and queries, and sqlcounter for the credit.

The stock default site, with what its own comments tell an administrator to enable: sql in authorize,
session, accounting and post-auth, and a counter in authorize.  Two things are taken *out*, so that
the peer does not pay for what this project does not do either: the second record of every accounting
packet in a detail file, and the one in wtmp (unix).
"""

from pathlib import Path

from . import raddb
from .cards import write_csv
from .load import Endpoint
from .servers import Mariadbd, Radiusd

CREDIT_SECONDS = 100_000_000  # enough for every round: no card runs out
HISTORY_SECONDS = 600

GRANTS = """
    CREATE DATABASE radius;
    CREATE USER radius@localhost IDENTIFIED BY 'radpass';
    GRANT ALL ON radius.* TO radius@localhost;
"""

# As web front ends fill the stock tables: a password, limits by user, speed and interval by group.
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
    ANALYZE TABLE radcheck, radusergroup, radacct;
"""


class Peer:
    """FreeRADIUS' own SQL modules, loaded and running under a folder."""

    name = "peer"

    def __init__(self, endpoint: Endpoint, threads: int):
        self.endpoint = endpoint
        self.threads = threads

    def start(self, folder: Path, cards: int, history: int):
        self.database = Mariadbd(folder / "database")
        self.radiusd = Radiusd(folder / "raddb", raddb.log(folder))
        try:
            self.database.start()
            if not self.database.run("SHOW DATABASES LIKE 'radius'"):
                load_users(self.database, folder, cards, history)
            make_raddb(folder, self.endpoint, self.threads, self.database.socket)
            self.radiusd.start()
        except BaseException:
            self.stop()
            raise

    def pids(self) -> dict[str, list[int]]:
        return {"radiusd": [self.radiusd.process.pid], "mariadbd": [self.database.process.pid]}

    def drain(self):
        """Wait for accounting that was acknowledged and not yet recorded: the peer has none."""

    def stop(self):
        self.radiusd.stop()
        self.database.stop()


def load_users(database: Mariadbd, folder: Path, cards: int, history: int):
    """The stock schema, with `cards` users and `history` closed sessions of each."""
    csv = folder / "cards.csv"
    write_csv(csv, cards)
    database.run(GRANTS)
    database.run((raddb.STOCK / "mods-config/sql/main/mysql/schema.sql").read_text(), "radius")
    database.run(
        USERS.format(csv=csv, credit_seconds=CREDIT_SECONDS, history=history, history_seconds=HISTORY_SECONDS), "radius"
    )


def make_raddb(folder: Path, endpoint: Endpoint, threads: int, database_socket: Path) -> Path:
    """The stock raddb with sql and the counter enabled as its comments say."""
    made = raddb.copy(folder, endpoint, threads)
    raddb.change(
        made / "mods-available/sql",
        ('\tdialect = "sqlite"\n', '\tdialect = "mysql"\n'),
        ('\tdriver = "rlm_sql_null"\n', '\tdriver = "rlm_sql_mysql"\n'),
        ('\tradius_db = "radius"\n',
         f'\tserver = "localhost"\n\tlogin = "radius"\n\tpassword = "radpass"\n\tradius_db = "radius"\n'),
    )
    # rlm_sql_mysql has no setting for the Unix socket, but reads [freeradius] of an option file.
    (made / "my.cnf").write_text(f"[freeradius]\nsocket = {database_socket}\n")
    raddb.change(made / "radiusd.conf", ("\nENV {\n", f"\nENV {{\n\tMYSQL_HOME = '{made}'\n"))
    without_tls(made / "mods-available/sql")
    for module in ("sql", "sqlcounter"):
        (made / "mods-enabled" / module).symlink_to(f"../mods-available/{module}")
    site = made / "sites-available/default"
    site.write_text(raddb.replace_listeners(site.read_text(), raddb.listen(endpoint)))
    raddb.change_section(site, "authorize", ("\n\t-sql\n", "\n\tsql\n"), ("\n#\tdaily\n", "\n\tnoresetcounter\n"))
    raddb.change_section(site, "session", ("\n#\tsql\n", "\n\tsql\n"))
    raddb.change_section(
        site, "accounting", ("\n\t-sql\n", "\n\tsql\n"), ("\n\tdetail\n", "\n"), ("\n\tunix\n", "\n")
    )
    return made


def without_tls(sql: Path):
    """Take the sample's TLS settings out: the database is reached through a Unix socket."""
    kept, depth = [], 0
    for line in sql.read_text().splitlines(keepends=True):
        code = line.partition("#")[0].strip()
        if depth == 0 and code == "tls {":
            depth = 1
        elif depth:
            depth += code.count("{") - code.count("}")
        else:
            kept.append(line)
    sql.write_text("".join(kept))
