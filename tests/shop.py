"""Cards in the state that a test needs, made by SQL; and their balance, sessions and history afterwards.

    card, = shop.sell(1, credit_seconds=600)
    shop.balance(card)["used_seconds"]
    shop.age(card, seconds=61)

This is faster than the office's commands, and can make what they refuse.  tests/cli tests how the commands make cards.
"""

import itertools
import time

from freeradius_module.rules import serial
from freeradius_module.sealing import keyring, pin
from tests.database import Database
from tests.office import Card

# Different in each run, because a server may remember serials and addresses of an earlier run.
_numbers = itertools.count(int(time.time()) % 10_000_000 * 10)

SECRET = "testing123"


class Shop:
    def __init__(self, database: Database, key_file):
        self.database = database
        self.keys = keyring.load(key_file)

    # --- Making ----------------------------------------------------------------------------------------

    def product(self, **columns) -> int:
        """A product of ten minutes, or with other `columns`; returns its id."""
        credits = [name for name in columns if name.startswith("credit_")]
        values = {"name": f"Product {next(_numbers)}", "kind": "internet"} | columns
        if not credits:
            values["credit_seconds"] = 600
        return self._insert("product", values)

    def stock(self, count: int = 1, *, product: int | None = None, **columns) -> list[Card]:
        """Cards in stock, of a new product unless one is given."""
        product = product or self.product(**columns)
        serials = [serial.build("", next(_numbers), 9) for _ in range(count)]
        batch = self._insert(
            "batch",
            {"product_id": product, "card_count": count, "first_serial": serials[0], "last_serial": serials[-1]},
        )
        cards = [Card(number, pin.new_pin(), batch, str(product)) for number in serials]
        rows = []
        for card in cards:
            key_number, sealed = pin.seal(card.pin, card.serial, self.keys)
            rows.append((card.serial, sealed, key_number, batch, product))
        with self.database.connect() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO card (serial, pin_sealed, key_number, batch_id, product_id) VALUES (%s, %s, %s, %s, %s)",
                rows,
            )
        return cards

    def sell(self, count: int = 1, **options) -> list[Card]:
        """Cards that were delivered to a partner: they work."""
        cards = self.stock(count, **options)
        partner = self._insert("partner", {"name": f"Partner {next(_numbers)}"})
        self.database.execute(
            "UPDATE card SET status = 'delivered', partner_id = %s WHERE batch_id = %s", [partner, cards[0].batch]
        )
        return cards

    def nas(self, vendor: str = "generic", **columns) -> str:
        """A new NAS; returns its address, which is new too, because radiusd remembers addresses for some seconds."""
        number = next(_numbers)
        address = f"127.{number // 62500 % 250 + 1}.{number // 250 % 250 + 1}.{number % 250 + 1}"
        name = f"NAS {address}"
        key_number, sealed = pin.seal_nas_secret(SECRET, name, self.keys)
        self._insert(
            "nas",
            {
                "name": name,
                "address": f"{address}/32",
                "secret_sealed": sealed,
                "key_number": key_number,
                "vendor": vendor,
                **columns,
            },
        )
        return address

    def _insert(self, table: str, values: dict) -> int:
        places = ", ".join(["%s"] * len(values))
        with self.database.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", list(values.values()))
            return cursor.lastrowid

    # --- What the office does --------------------------------------------------------------------------

    def set_status(self, card: Card, status: str) -> int:
        return self.database.execute("UPDATE card SET status = %s WHERE serial = %s", [status, card.serial])

    def add_credit(self, card: Card, **added) -> None:
        self._insert("card_entry", {"card_id": self.id(card), "what": "credited", "reason": "goodwill", **added})

    def change(self, card: Card, **columns) -> None:
        assignments = ", ".join(f"{name} = %s" for name in columns)
        self.database.execute(f"UPDATE card SET {assignments} WHERE serial = %s", [*columns.values(), card.serial])

    def age(self, card: Card, seconds: float) -> None:
        """Move all times of this card's sessions into the past, as if `seconds` had passed."""
        moved = ", ".join(
            f"{column} = {column} - INTERVAL %(seconds)s SECOND"
            for column in (
                "login_at",
                "started_at",
                "heard_at",
                "stopped_at",
                "closed_at",
                "reopens_after_at",
                "end_recorded_at",
                "due_at",
            )
        )
        self.database.execute(
            f"UPDATE session SET {moved} WHERE card_id = %(id)s", {"seconds": seconds, "id": self.id(card)}
        )

    # --- The state of a card ---------------------------------------------------------------------------

    def id(self, card: Card) -> int:
        return self.database.value("SELECT id FROM card WHERE serial = %s", [card.serial])

    def card(self, card: Card) -> dict:
        (row,) = self.database.query("SELECT * FROM card WHERE serial = %s", [card.serial])
        return row

    def balance(self, card: Card) -> dict:
        """The row that `prepaid show` reads."""
        (row,) = self.database.query("SELECT * FROM card_overview WHERE serial = %s", [card.serial])
        return row

    def used(self, card: Card) -> tuple[int, int, int]:
        """Seconds, octets down, octets up."""
        row = self.balance(card)
        return tuple(int(row[name]) for name in ("used_seconds", "used_down_octets", "used_up_octets"))

    def status(self, card: Card) -> str:
        return self.card(card)["status"]

    def sessions(self, card: Card) -> list[dict]:
        return self.database.query("SELECT * FROM session WHERE card_id = %s ORDER BY login_number", [self.id(card)])

    def refusals(self, card: Card) -> dict[str, int]:
        """How often each reason was recorded."""
        rows = self.database.query(
            "SELECT reason, SUM(tries) AS tries FROM login_refusal WHERE card_id = %s GROUP BY reason", [self.id(card)]
        )
        return {row["reason"]: int(row["tries"]) for row in rows}

    def anomalies(self, card: Card) -> list[str]:
        rows = self.database.query("SELECT what FROM session_anomaly WHERE card_id = %s ORDER BY id", [self.id(card)])
        return [row["what"] for row in rows]

    def explain(self, statement: str, arguments) -> list[dict]:
        """The database's plan for a statement: one row for each table that it reads."""
        return self.database.query(f"EXPLAIN {statement}", arguments)
