"""Cards in the states that acts start from, both programs that act on them, and the invariants of a card afterwards.

The product's own code makes each state once, and SQL copies it for each schedule: a copy takes a millisecond, and all
copies are equal.  Times are kept relative to now.
"""

import secrets
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace

import pymysql

from admin.enforce import enforcer
from admin.shell import office
from freeradius_module import connection as module_connection
from freeradius_module import settings
from freeradius_module.engine.engine import Engine
from freeradius_module.rules import serial as serials
from freeradius_module.rules.identity import Claim, make_class
from freeradius_module.sealing import pin
from tests.database import Database
from tests.engine_callers import LAPTOP, NAS, PHONE, class_of, log_in, report
from tests.interleaving.footprint import Footprints
from tests.interleaving.steps import Theatre
from tests.shop import Shop

SECONDS, OCTETS, INTERIM = 10_000, 1_000_000, 300
INTERIM_OCTETS = INTERIM * 15
# The places of the cause and the grants in a session's row as `look` returns it.
CAUSE_AT, GRANTED_SECONDS_AT, GRANTED_OCTETS_AT = 3, 4, 5
PIN = "0123456789"
PARTNER = "Banca do Norte"  # to whom cards in stock are delivered
MAY_LOG_IN = ("delivered", "in_use")


@dataclass
class Side:
    """What acts at the same time as the others: a FreeRADIUS, an office, and the owner's nightly job."""

    engine: Engine
    office: office.Office
    enforcer: enforcer.Enforcer
    owner: pymysql.Connection
    unanswered: list[str] = field(default_factory=list)  # why a packet got no answer


@dataclass
class Case:
    """One copy of a state."""

    card: SimpleNamespace  # serial, pin, id, batch
    target: SimpleNamespace | None  # another card, delivered and never used, if an act needs one
    nas: str
    classes: dict[int, list[str]]
    # The highest acknowledged counters of each session, by Acct-Session-Id.
    acknowledged: dict[str, tuple[int, int, int]]
    unused_key: str = field(default_factory=lambda: secrets.token_hex(8))
    # When its logins are asked for, also when one is sent again: logins of one device within a tenth of a second are rivals,
    # and which of two results is right must not depend on how long the servers need for a schedule.
    asked_at: float = field(default_factory=time.time)

    def charged(self, session_id: str, seconds: int, down: int = 0, up: int = 0) -> None:
        known = self.acknowledged.get(session_id, (0, 0, 0))
        self.acknowledged[session_id] = tuple(map(max, known, (seconds, down, up)))


@dataclass
class State:
    """A card as the product made it, to be copied."""

    rows: dict[str, list[dict]]
    made_at: datetime
    partner: str
    logins: dict[int, float]  # login number -> seconds between the login and made_at
    acknowledged: dict[str, tuple[int, int, int]]


class World:
    def __init__(self, database, option_file, key_file, module_keys, names: str = "ABC"):
        self.database = OneConnection(database)
        self.shop = Shop(self.database, key_file)
        # Copies are sealed with the first key; the key file has a second one, which seals new PINs.
        self.first_keys = module_keys
        self.option_file = option_file
        self.owner = self.connect_owner()
        self.owner_cursor = self.owner.cursor(pymysql.cursors.DictCursor)
        with self.owner.cursor() as cursor:
            footprints = Footprints.of_database(cursor)
        self.theatre = Theatre(footprints, self.connect_owner())
        self.sides = {name: self._side(name) for name in names}
        self.class_key = self.sides["A"].engine.keys.lasting("class")
        self._serial_number = int(time.time()) % 10_000_000 * 10 + 7_000_000_000
        self.states: dict[str, State] = {}
        self._make_states()

    def close(self) -> None:
        for side in self.sides.values():
            side.office.close()
            side.owner.close()

    @staticmethod
    def count(request, **counts: int) -> None:
        """For the sum at the end of the run, also from another process of pytest."""
        request.node.user_properties.append(("interleavings", {name: int(count) for name, count in counts.items()}))

    def connect_owner(self) -> pymysql.Connection:
        made = self.database.mariadb.connect(self.database.name)
        with made.cursor() as cursor:
            cursor.execute("SET NAMES utf8mb4 COLLATE utf8mb4_nopad_bin, SESSION time_zone = '+00:00'")
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        return made

    def option_file_of(self, side_name: str):
        return self.option_file

    def _side(self, name: str) -> Side:
        option_file = str(self.option_file_of(name))
        made = office.Office(option_file)
        at_work = enforcer.Enforcer(made)
        at_work.exchange.close()
        at_work.exchange = Silence()
        return Side(Engine(settings.load(option_file)), made, at_work, self.connect_owner())

    def new_engine(self) -> Engine:
        return Engine(settings.load(str(self.option_file)))

    # --- States ----------------------------------------------------------------------------------------

    def _make_states(self) -> None:
        shop, engine = self.shop, self.sides["A"].engine
        terms = {
            "credit_seconds": SECONDS,
            "credit_octets": OCTETS,
            "max_sessions": 2,
            "valid_days": 30,
            "interim_seconds": INTERIM,
        }
        both, single = shop.product(**terms), shop.product(**(terms | {"max_sessions": 1}))

        def sold(product=both):
            return shop.sell(1, product=product)[0]

        def used_before(card):
            """A session that ended some time ago."""
            classes = class_of(log_in(engine, card))
            engine.account(report(card, "Start", None, classes, session_id="8001"))
            shop.age(card, 100)
            engine.account(report(card, "Stop", 100, self._class(card, 1, 105), session_id="8001", down=1000, up=500))
            shop.age(card, 3600)
            return {1: 3700.0}, {"8001": (100, 1000, 500)}

        def on(card, number=1, session_id="8001", device=PHONE):
            """A session that has reported once."""
            classes = class_of(log_in(engine, card, device=device))
            engine.account(report(card, "Start", None, classes, session_id=session_id, device=device))
            self._age_session(card, number, 300)
            self._account_later(engine, card, number, session_id, 300, device)
            self._age_session(card, number, 100)
            return {number: 400.0}, {session_id: (300, 3000, 1500)}

        def on_again(product=both):
            card = sold(product)
            (before, counted), (logins, acknowledged) = used_before(card), on(card, 2, "8002")
            return card, before | logins, counted | acknowledged

        self.database.execute("INSERT INTO partner (name) VALUES (%s)", [PARTNER])
        self._keep("created", shop.stock(1, product=both)[0])
        self._keep("delivered", sold())
        card = sold()
        self._keep("in_use", card, *used_before(card))
        card = sold()
        logins, acknowledged = used_before(card)
        log_in(engine, card)
        self._age_session(card, 2, 10)
        self._keep("reserved", card, logins | {2: 10.0}, acknowledged)
        self._keep("on", *on_again())
        self._keep("single", *on_again(single))
        # Two sessions are open, each has half of the credit.
        card = sold()
        (one, counted), (other, also) = on(card), on(card, 2, "8002", LAPTOP)
        self._keep("both", card, one | other, counted | also)
        # The same device logged in again and took over its first session.
        card = sold()
        _, counted = on(card)
        classes = class_of(log_in(engine, card))
        engine.account(report(card, "Start", None, classes, session_id="8002"))
        shop.age(card, 100)
        self._keep("taken_over", card, {1: 500.0, 2: 100.0}, counted)
        # Blocked while a session was open.
        card, logins, acknowledged = on_again()
        self._end(card, "blocked", "blocked")
        self._keep("blocked", card, logins, acknowledged)
        # The NAS has agreed to disconnect it, and has sent nothing since.
        card, logins, acknowledged = on_again()
        self._end(card, "blocked", "blocked")
        shop.age(card, 400)
        self.database.execute(
            "INSERT INTO disconnect_attempt (card_id, login_number, action, attempt, at, next_at, cause, outcome)"
            " VALUES (%s, 2, 'disconnect', 1, UTC_TIMESTAMP(3) - INTERVAL 390 SECOND, UTC_TIMESTAMP(3), 'blocked', 'ack')",
            [shop.id(card)],
        )
        self._keep("disconnected", card, {number: seconds + 400 for number, seconds in logins.items()}, acknowledged)
        # It was closed as stale and continues; nobody has decided yet whether it may.
        card, logins, acknowledged = on_again()
        self.database.execute(
            "UPDATE session SET due_at = NULL, closed_at = UTC_TIMESTAMP(3) - INTERVAL 50 SECOND, close_cause = 'stale'"
            " WHERE card_id = %s AND login_number = 2",
            [shop.id(card)],
        )
        self._account_later(engine, card, 2, "8002", 390)
        self._keep("revived", card, logins, acknowledged | {"8002": (390, 3900, 1950)})
        # Its validity is over, and the status does not show it yet; then the status does.
        for name in "overdue", "expired":
            card, logins, acknowledged = on_again()
            shop.change(card, expires_at=self._now())
            if name == "expired":
                self._end(card, "expired", "validity")
            self._keep(name, card, logins, acknowledged)
        card, logins, acknowledged = on_again()
        engine.account(report(card, "Stop", 400, self._class(card, 2, 400), session_id="8002", down=OCTETS, up=1500))
        self._keep("exhausted", card, logins, acknowledged | {"8002": (400, OCTETS, 1500)})
        # Ended days ago, and not posted yet.
        card = sold()
        used_before(card)
        shop.age(card, 3 * 86_400)
        if "end_recorded_at" in shop.sessions(card)[0]:
            self.database.execute(
                "UPDATE session SET end_recorded_at = end_recorded_at - INTERVAL 3 DAY WHERE card_id = %s",
                [shop.id(card)],
            )
        self._keep("old", card, {1: 3 * 86_400.0 + 3700}, {"8001": (100, 1000, 500)})
        self._keep("telephony", sold(shop.product(kind="telephony", credit_cents=1000)))

    def _end(self, card, status: str, cause: str) -> None:
        self.database.execute(
            "UPDATE session SET due_at = UTC_TIMESTAMP(3), due_cause = %s WHERE card_id = %s AND due_at IS NOT NULL",
            [cause, self.shop.id(card)],
        )
        self.shop.set_status(card, status)

    def _keep(self, name: str, card, logins: dict | None = None, acknowledged: dict | None = None) -> None:
        """Keep a card's rows, and put the card away."""
        card_id = self.shop.id(card)
        rows = {"card": self.database.query("SELECT * FROM card WHERE id = %s", [card_id])}
        for table in "session", "disconnect_attempt", "session_archive":
            rows[table] = self.database.query(f"SELECT * FROM {table} WHERE card_id = %s", [card_id])
        partner = self.database.query("SELECT name FROM partner WHERE id = %s", [rows["card"][0]["partner_id"]])
        self.states[name] = State(
            rows, self._now(), partner[0]["name"] if partner else "", logins or {}, acknowledged or {}
        )
        self._put_away([card_id])

    def _account_later(self, engine, card, number, session_id, seconds, device=PHONE):
        engine.account(
            report(
                card,
                "Interim-Update",
                seconds,
                self._class(card, number, seconds + 5),
                session_id=session_id,
                down=seconds * 10,
                up=seconds * 5,
                device=device,
            )
        )

    def _class(self, card, number: int, seconds_ago: float) -> list[str]:
        claim = Claim(self.shop.id(card), number, int(time.time() - seconds_ago))
        return [make_class(claim, card.serial, self.class_key)]

    def _age_session(self, card, number: int, seconds: float) -> None:
        moved = ", ".join(
            f"{column} = {column} - INTERVAL {seconds} SECOND"
            for column in ("login_at", "started_at", "heard_at", "due_at")
        )
        self.database.execute(
            f"UPDATE session SET {moved} WHERE card_id = %s AND login_number = %s", [self.shop.id(card), number]
        )

    def _now(self) -> datetime:
        return self.database.value("SELECT UTC_TIMESTAMP(3) AS now")

    # --- Copies ----------------------------------------------------------------------------------------

    def case(self, state_name: str, with_target: bool = False) -> Case:
        """A new card in this state."""
        state = self.states[state_name]
        for side in self.sides.values():
            if not side.owner.open:
                side.owner = self.connect_owner()
        with self.owner.cursor() as cursor:
            cursor.execute("BEGIN")
            card = self._copy_card(cursor, state)
            for table in "session", "disconnect_attempt", "session_archive":
                for row in state.rows[table]:
                    self._insert(cursor, table, state, row | {"card_id": card.id})
            target = self._copy_card(cursor, self.states["delivered"]) if with_target else None
            cursor.execute("COMMIT")
        now = time.time()
        classes = {
            number: [make_class(Claim(card.id, number, int(now - seconds)), card.serial, self.class_key)]
            for number, seconds in state.logins.items()
        }
        return Case(card, target, NAS, classes, dict(state.acknowledged))

    def _copy_card(self, cursor, state: State) -> SimpleNamespace:
        self._serial_number += 1
        serial = serials.build("", self._serial_number, 12)
        key_number, sealed = pin.seal(PIN, serial, self.first_keys)
        (row,) = state.rows["card"]
        card_id = self._insert(
            cursor, "card", state, row | {"id": None, "serial": serial, "pin_sealed": sealed, "key_number": key_number}
        )
        return SimpleNamespace(serial=serial, pin=PIN, id=card_id, partner=state.partner)

    @staticmethod
    def _insert(cursor, table: str, state: State, row: dict) -> int:
        later = datetime.now(UTC).replace(tzinfo=None) - state.made_at
        values = [value + later if isinstance(value, datetime) else value for value in row.values()]
        places = ", ".join(["%s"] * len(row))
        cursor.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", values)
        return cursor.lastrowid

    def clear(self, case: Case) -> None:
        """Put a card away, because the office's periodic jobs look at all cards."""
        self._put_away([card.id for card in (case.card, case.target) if card])

    def _put_away(self, ids: list[int]) -> None:
        with self.owner.cursor() as cursor:
            cursor.execute("DELETE FROM session_slow_down WHERE card_id IN %s", [ids])
            cursor.execute("DELETE FROM session WHERE card_id IN %s", [ids])
            cursor.execute(
                "UPDATE card SET expires_at = '2099-01-01' WHERE id IN %s AND status IN ('delivered', 'in_use')", [ids]
            )

    # --- The result ------------------------------------------------------------------------------------

    def look(self, case: Case) -> dict:
        """All that must be equal in every order: without times, row numbers and tokens."""
        return {name: self._card(card.id) for name, card in (("card", case.card), ("target", case.target)) if card}

    def _card(self, card_id: int) -> dict:
        cursor = self.owner_cursor
        cursor.execute(
            """
            SELECT status, status_before_block, device, first_login_at IS NOT NULL AS is_begun, key_number,
                   ROUND(TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), expires_at) / 86400) AS expires_in_days,
                   partner_id IS NOT NULL AS has_partner,
                   added_seconds, added_octets, added_down_octets, added_up_octets, added_cents
              FROM card WHERE id = %s
            """,
            [card_id],
        )
        card = cursor.fetchone()
        cursor.execute(
            "SELECT used_seconds, used_down_octets, used_up_octets FROM card_balance WHERE card_id = %s", [card_id]
        )
        card["used"] = tuple(map(int, cursor.fetchone().values()))
        cursor.execute(
            """
            SELECT acct_session_id, device,
                   CASE WHEN due_at IS NULL THEN 'ended' WHEN due_at <= UTC_TIMESTAMP(3) THEN 'due' ELSE 'open' END AS state,
                   IF(due_at IS NULL, COALESCE(stop_cause, close_cause), due_cause) AS cause,
                   granted_seconds, granted_octets, used_seconds, used_down_octets, used_up_octets
              FROM session WHERE card_id = %s
             ORDER BY login_number
            """,
            [card_id],
        )
        card["sessions"] = [tuple(row.values()) for row in cursor.fetchall()]
        cursor.execute(
            """
            SELECT acct_session_id, used_seconds, used_down_octets, used_up_octets
              FROM session_archive AS archived
             WHERE card_id = %s
               AND NOT EXISTS (SELECT 1 FROM session WHERE session.card_id = archived.card_id
                                                       AND session.login_number = archived.login_number)
             ORDER BY login_number
            """,
            [card_id],
        )
        card["archived"] = [tuple(row.values()) for row in cursor.fetchall()]
        cursor.execute("SELECT what, from_status, to_status FROM card_event WHERE card_id = %s ORDER BY id", [card_id])
        # A command that is repeated reads the PIN again, and records that.
        card["events"] = [tuple(row.values()) for row in cursor.fetchall() if row["what"] != "pin_read"]
        cursor.execute(
            "SELECT reason, CAST(SUM(tries) AS SIGNED) FROM login_refusal WHERE card_id = %s GROUP BY reason", [card_id]
        )
        card["refusals"] = sorted(tuple(row.values()) for row in cursor.fetchall())
        cursor.execute("SELECT account FROM voice_credit WHERE card_id = %s", [card_id])
        card["voice"] = [row["account"] for row in cursor.fetchall()]
        return card

    def faults(self, case: Case, after: dict) -> list[str]:
        """The invariants that do not hold."""
        found = []
        card = after["card"]
        # Usage equals what was acknowledged.
        expected = tuple(sum(column) for column in zip(*case.acknowledged.values(), strict=True)) or (0, 0, 0)
        if card["used"] != expected:
            found.append(f"usage: {expected} acknowledged, {card['used']} on the card")
        rows = [row[6:9] for row in card["sessions"]] + [row[1:4] for row in card["archived"]]
        total = tuple(int(sum(column)) for column in zip(*rows, strict=True)) if rows else (0, 0, 0)
        if total != card["used"]:
            found.append(f"usage: {card['used']} on the card, {total} in its sessions")
        # Never granted more than is left.
        open_rows = [row for row in card["sessions"] if row[2] == "open"]
        for name, credit, granted_at, used in (
            ("seconds", SECONDS + card["added_seconds"], GRANTED_SECONDS_AT, lambda row: row[6]),
            ("octets", OCTETS + card["added_octets"], GRANTED_OCTETS_AT, lambda row: row[7] + row[8]),
        ):
            granted = sum(max(row[granted_at] - used(row), 0) for row in open_rows if row[granted_at] is not None)
            spent = card["used"][0] if name == "seconds" else card["used"][1] + card["used"][2]
            # One packet may have reported this much meanwhile.
            tolerance = INTERIM if name == "seconds" else INTERIM_OCTETS
            if granted > max(credit - spent, 0) + tolerance:
                found.append(f"grants: {granted} {name} granted, {max(credit - spent, 0)} left")
        # Nothing open on a card that may not log in.
        for name, one in after.items():
            if one["status"] not in MAY_LOG_IN and any(row[2] == "open" for row in one["sessions"]):
                self.sides["A"].enforcer.keep_house()
                self.sides["A"].enforcer.look()
                still = self._card(getattr(case, name).id)
                if any(row[2] == "open" for row in still["sessions"]):
                    found.append(f"open: a session is open on a card that is {one['status']}")
            # Each change of status continues from the one before.
            path = [row for row in one["events"] if row[1] is not None]
            if any(first[2] != second[1] for first, second in zip(path, path[1:], strict=False)):
                found.append(f"history: {path} is no path")
            if path and path[-1][2] != one["status"]:
                found.append(f"history: {path} does not lead to {one['status']}")
        for what, count in Counter(card["events"]).items():
            # Two edits are two entries.
            if what[0] in ("credited", "transferred") and count > 1:
                found.append(f"history: {what[0]} {count} times")
        return found


class OneConnection(Database):
    """A Database with one connection for all queries, because making a connection takes longer than they do."""

    def __init__(self, database: Database):
        super().__init__(database.mariadb, database.name)
        self._connection = super().connect()

    @contextmanager
    def connect(self, **options):
        yield self._connection


class Silence:
    """A network whose NAS do not answer, because these tests do not need them."""

    def room(self, *place) -> int:
        return 100

    def send(self, key, request) -> None:
        pass

    def wait(self, seconds: float) -> list:
        return []

    def close(self) -> None:
        pass


def forget_failures(engine: Engine) -> None:
    """Let the engine try a database at once that was away a moment ago."""
    for one in _connections(engine, set()):
        one._nodes._not_before = 0.0
        for node in one._nodes.all:
            node.not_before = 0.0


def _connections(part, seen: set[int]) -> list[module_connection.Connection]:
    """The connections that an engine keeps, in attributes and in closures."""
    if id(part) in seen:
        return []
    seen.add(id(part))
    if isinstance(part, module_connection.Connection):
        return [part]
    kept = []
    if type(part).__module__.startswith("freeradius_module"):
        kept += vars(part).values() if hasattr(part, "__dict__") else []
    kept += part if isinstance(part, list) else []
    return [one for inner in kept for one in _connections(inner, seen)]
