"""audit seal, verify: every change of the history is found and named."""

import random
import threading

import pymysql.cursors
import pytest

from admin import store
from admin.books import audit
from tests.database import without_triggers

CHANGES = 1000


@pytest.fixture
def history(office, database):
    """Some history of each kind, sealed."""
    cards = office.sell(40, "--time", "10m")
    office.must("block", "--batch", cards[0].batch, "--yes", "--reason", "Lost")
    office.must("unblock", "--batch", cards[0].batch, "--yes", "--reason", "Found")
    for card in cards[:10]:
        office.must("edit", card.serial, "--expires", "2099-12-31", "--reason", "goodwill")
        office.must("sessions", "--address", "10.5.0.7", "--at", "2026-03-02T20:30Z", "--reason", "Order 1")
        number = database.value("SELECT id FROM card WHERE serial = %s", [card.serial])
        database.execute("INSERT INTO voice_credit (card_id, account, credit_cents) VALUES (%s, 'A 1', 500)", [number])
    shop = office.json("show", cards[-1].serial)["partner"]
    for number in range(10):
        office.must("payment", "add", shop, "5.00", "--key", f"pix-{number}", "--note", "PIX")
    office.must("return", "--partner", shop, "--range", f"{cards[20].serial}-{cards[29].serial}")
    answer = office.json("audit", "seal")
    assert answer["rows"] == answer["sealed"] > 150
    return answer


@pytest.fixture
def root(database):
    """A cursor with all rights, after the triggers were dropped."""
    with without_triggers(database) as cursor:
        yield cursor


def test_an_intact_history(office, history):
    answer = office.json("audit", "verify")
    assert (answer["rows"], answer["hash"], answer["faults"]) == (history["rows"], history["hash"], [])
    assert office.json("audit", "seal")["sealed"] == 0


def test_what_happens_later_joins_the_chain(office, history):
    office.must("partner", "add", "Later shop")
    (card,) = office.sell(1, "--time", "10m", partner="Later shop")
    answer = office.json("audit", "verify", "--expect", history["hash"])
    assert answer["rows"] > history["rows"] and answer["hash"] != history["hash"]


def test_a_thousand_of_a_thousand_changes_are_found(office, history, root):
    """One change at a time: a value changed or a row removed, in the history or in the chain."""
    chance = random.Random(20_260_302)
    plain = root.connection.cursor(pymysql.cursors.Cursor)
    plain.execute("SELECT seq, source, row_id FROM history_chain ORDER BY seq")
    chain = plain.fetchall()
    assert not list(audit.faults(plain))
    found, missed = 0, []
    for turn in range(CHANGES):
        seq, source, row_id = chance.choice(chain)
        statement, expected_row = _tampering(chance, source, row_id, seq)
        root.connection.begin()
        assert root.execute(statement) >= 1, statement
        faults = list(audit.faults(plain))
        if faults and (faults[0]["source"], faults[0]["row"]) == expected_row(chain, seq):
            found += 1
        else:
            missed.append((turn, statement, faults[:1]))
        root.connection.rollback()
    assert found == CHANGES, missed[:3]
    assert not list(audit.faults(plain))


CHANGED = {
    "card_event": [
        "card_id = card_id + 1",
        "at = at + INTERVAL 1 SECOND",
        "operator = 'somebody'",
        "reason = 'another'",
    ],
    "batch_event": [
        "batch_id = batch_id + 1",
        "what = 'received'",
        "operator = 'somebody'",
        "card_count = card_count + 1",
        "first_serial = 'A'",
    ],
    "card_entry": [
        "added_seconds = added_seconds + 1",
        "reason = 'another'",
        "operator = 'somebody'",
        "expires_at = expires_at + INTERVAL 1 DAY",
    ],
    "note": ["card_count = card_count + 1", "partner_id = partner_id + 1", "kind = 'void'", "operator = 'somebody'"],
    "voice_credit": ["account = 'B 2'", "credit_cents = credit_cents + 1", "operator = 'somebody'"],
    "address_query": ["address = '10.5.0.8'", "operator = 'somebody'", "reason = 'another'"],
    "payment": ["amount_cents = amount_cents + 1", "paid_on = paid_on - INTERVAL 1 DAY", "note = 'another'"],
    "operator_role_event": ["operator = 'somebody'", "role = 'admin'", "at = at - INTERVAL 1 DAY"],
}


def _tampering(chance, source: str, row_id: int, seq: int):
    """A statement, and the row that the first fault must name."""
    the_row = lambda chain, seq: chain[seq - 1][1:]  # noqa: E731
    kind = chance.choice(["change", "change", "remove", "chain", "chain_row", "price"])
    if kind == "price" and source == "note":
        return f"UPDATE note_price SET price_cents = price_cents + 1 WHERE note_id = {row_id}", the_row
    if kind == "remove":
        return f"DELETE FROM {source} WHERE id = {row_id}", the_row
    if kind == "chain":
        return f"UPDATE history_chain SET hash = UNHEX(SHA2('x', 256)) WHERE seq = {seq}", the_row
    if kind == "chain_row":
        return f"UPDATE history_chain SET sealed_at = sealed_at + INTERVAL 1 SECOND WHERE seq = {seq}", the_row
    return f"UPDATE {source} SET {chance.choice(CHANGED[source])} WHERE id = {row_id}", the_row


def test_a_gap_in_the_chain_is_named(office, history, root):
    root.execute("DELETE FROM history_chain WHERE seq IN (5, 6)")
    result = office.run("audit", "verify", "--json")
    assert result.exit_status == 1
    assert "5" in result.json()["faults"][0]["fault"] and "6" in result.json()["faults"][0]["fault"]


def test_a_shortened_chain_is_found_by_who_kept_the_hash(office, history, root):
    root.execute("DELETE FROM history_chain WHERE seq > 10")
    # The chain is sealed again without a gap; only the hash that was kept elsewhere shows the loss.
    assert office.run("audit", "verify").exit_status == 0
    result = office.run("audit", "verify", "--expect", history["hash"])
    assert result.exit_status == 1 and history["hash"] in result.stderr


def test_a_backdated_row_is_named(office, history, root):
    card_id, first, last = (
        root.execute("SELECT MIN(card_id) AS a, MIN(id) AS b, MAX(id) AS c FROM card_event")
        and root.fetchone().values()
    )
    # By its date, with the next number.
    root.execute(
        "INSERT INTO card_event (card_id, at, what, operator) VALUES (%s, '2020-01-01', 'credited', 'x')", [card_id]
    )
    number = root.lastrowid
    result = office.run("audit", "verify", "--json")
    assert result.exit_status == 1
    assert [(row["source"], row["row"], row["fault"]) for row in result.json()["faults"]] == [
        ("card_event", number, "backdated")
    ]
    # By its number, below the floor.
    root.execute("DELETE FROM card_event WHERE id = %s", [number])
    root.execute("UPDATE history_floor SET row_id = %s WHERE source = 'card_event'", [last + 10])
    root.execute(
        "INSERT INTO card_event (id, card_id, what, operator) VALUES (%s, %s, 'credited', 'x')", [last + 5, card_id]
    )
    faults = office.run("audit", "verify", "--json").json()["faults"]
    assert ("card_event", last + 5, "backdated") in [(row["source"], row["row"], row["fault"]) for row in faults]


def test_a_row_put_into_the_future_is_named(office, history, root):
    """After it, every row of today would be one that was put into the past."""
    card_id = root.execute("SELECT MIN(card_id) AS a FROM card_event") and root.fetchone()["a"]
    root.execute(
        "INSERT INTO card_event (card_id, at, what, operator) VALUES (%s, UTC_TIMESTAMP() + INTERVAL 2 DAY, 'credited',"
        " 'x')",
        [card_id],
    )
    number = root.lastrowid
    result = office.run("audit", "verify", "--json")
    assert result.exit_status == 1
    assert [(row["source"], row["row"], row["fault"]) for row in result.json()["faults"]] == [
        ("card_event", number, "dated in the future")
    ]


def test_a_transaction_that_commits_late_is_sealed_later(office, history, database):
    card_id = database.value("SELECT MIN(id) FROM card")
    with database.connect() as slow, slow.cursor() as cursor:
        slow.begin()
        cursor.execute("INSERT INTO card_event (card_id, what, operator) VALUES (%s, 'credited', 'slow')", [card_id])
        database.execute("INSERT INTO card_event (card_id, what, operator) VALUES (%s, 'credited', 'quick')", [card_id])
        assert office.json("audit", "seal")["sealed"] == 1
        slow.commit()
    assert office.json("audit", "seal")["sealed"] == 1
    assert office.json("audit", "verify")["faults"] == []


def test_a_hash_that_is_none_is_wrong_usage(office, history):
    assert office.run("audit", "verify", "--expect", "abc").exit_status == 2


def test_the_floor_rises_when_hours_have_gone_by(office, history, database):
    database.execute("UPDATE history_floor SET next_since_at = next_since_at - INTERVAL 7 HOUR")
    office.must("audit", "seal")
    database.execute("UPDATE history_floor SET next_since_at = next_since_at - INTERVAL 7 HOUR")
    office.must("audit", "seal")
    assert database.value("SELECT row_id FROM history_floor WHERE source = 'card_event'") == database.value(
        "SELECT MAX(id) FROM card_event"
    )
    assert office.json("audit", "verify")["faults"] == []


def test_beside_other_work_it_seals_by_itself(office, history, database):
    """As `enforce --watch` seals."""
    from admin.shell.office import Office

    sealer = audit.Sealer(Office(str(office.option_file)))
    office.must("partner", "add", "Later shop")
    office.sell(1, "--time", "10m", partner="Later shop")
    sealer.keep_up()
    sealer._thread.join(60)
    assert office.json("audit", "seal")["sealed"] == 0
    assert database.value("SELECT MAX(seq) FROM history_chain") > history["rows"]
    # Not again before it is time.
    first = sealer._thread
    sealer.keep_up()
    assert sealer._thread is first


def test_a_service_ends_after_the_thread_that_seals(office, history, database):
    """A process that ends while a thread connects to the database is killed by a segmentation fault in OpenSSL."""
    from admin.shell.office import Office

    class Held(Office):
        """Holds whoever connects until it is released."""

        def __init__(self, path):
            super().__init__(path)
            self.is_connecting, self.is_released = threading.Event(), threading.Event()

        def connect(self, *arguments, **options):
            self.is_connecting.set()
            assert self.is_released.wait(60)
            return super().connect(*arguments, **options)

    held = Held(str(office.option_file))
    sealer = audit.Sealer(held)
    office.must("partner", "add", "Last shop")
    office.sell(1, "--time", "10m", partner="Last shop")
    rows = database.value("SELECT MAX(seq) FROM history_chain")
    sealer.keep_up()
    assert held.is_connecting.wait(60)
    thread = sealer._thread
    # Python itself waits for it, even if an error ends the command.
    assert thread.is_alive() and not thread.daemon
    asked = threading.Thread(target=sealer.end)
    asked.start()
    assert sealer._is_ended.wait(60)
    assert asked.is_alive() and thread.is_alive()
    held.is_released.set()
    asked.join(60)
    assert not asked.is_alive() and not thread.is_alive()
    # No step was begun after the thread was asked to stop; the next one seals.
    assert database.value("SELECT MAX(seq) FROM history_chain") == rows
    assert office.json("audit", "seal")["sealed"] > 0


def test_a_step_does_not_read_the_whole_chain(office, database):
    """Ten million rows are sealed in two thousand steps: the cost of a step must not grow with the length of the chain."""
    (card,) = office.stock(1, "--time", "10m")
    events = (
        "INSERT INTO card_event (card_id, what, operator) SELECT id, 'tried', 'test' FROM card JOIN seq_1_to_{}"
        " WHERE serial = %s"
    )
    database.execute(events.format(20_000), [card.serial])
    office.must("audit", "seal")
    last_id = database.value("SELECT MAX(id) FROM card_event")
    database.execute(events.format(20_000), [card.serial])
    with database.connect() as connection, connection.cursor(pymysql.cursors.Cursor) as cursor:
        before = _rows_read(cursor)
        found = store.audit.unsealed(cursor, "card_event", last_id, 100)
        read = _rows_read(cursor) - before
    assert len(found) == 100 and read < 1000


def _rows_read(cursor) -> int:
    cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
    return sum(int(value) for _name, value in cursor.fetchall())
