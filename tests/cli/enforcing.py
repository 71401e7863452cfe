"""What tests of `prepaid enforce` and `prepaid disconnect` share: sessions, and a NAS that answers as it is told."""

import subprocess

import pytest

from tests.database import without_triggers
from tests.disconnect_server import SECRET, DisconnectServer
from tests.office import Card

NOW = "UTC_TIMESTAMP(3)"


@pytest.fixture
def nas(office):
    """A NAS at 127.0.0.9 that ends sessions on request, and its row in the office."""
    with DisconnectServer() as server:
        add_nas(office, "centro", server)
        yield server


def add_nas(office, name, server, vendor="mikrotik", address=None):
    office.json(
        "nas",
        "add",
        name,
        "--address",
        address or server.address,
        "--vendor",
        vendor,
        "--disconnect-port",
        server.port,
        "--secret-file",
        "-",
        stdin=SECRET.decode() + "\n",
    )


def sell(office, database, count, *product_options):
    """Delivered cards, without their PINs."""
    product = office.product(*product_options)
    batch = office.json("generate", "--product", product, "--count", count)["batch"]
    office.must("deliver", "--batch", batch, "--partner", office.partner())
    return [
        Card(row["serial"], "", batch, product)
        for row in database.query("SELECT serial FROM card WHERE batch_id = %s ORDER BY serial", [batch])
    ]


def open_session(database, card, nas="centro", *, number=1, due="10 SECOND", **columns):
    """A session that began a minute ago, was heard of just now, and is due `due` ago; "-1 HOUR": in an hour."""
    values = {
        "acct_session_id": f"80a{number}",
        "device": "02-00-00-00-00-01",
        "framed_ipv4": "10.5.0.7",
        "due_cause": "blocked",
        "used_seconds": 60,
        "granted_seconds": 600,
    } | columns
    database.execute(
        "UPDATE card SET status = 'in_use', first_login_at = UTC_TIMESTAMP(3)"
        " WHERE serial = %s AND status = 'delivered'",
        [card.serial],
    )
    database.execute(
        f"""
        INSERT INTO session (card_id, login_number, nas_id, login_at, started_at, heard_at, due_at, {", ".join(values)})
        SELECT card.id, %s, nas.id, {NOW} - INTERVAL 60 SECOND, {NOW} - INTERVAL 60 SECOND,
               {NOW} - INTERVAL 1 SECOND, {NOW} - INTERVAL {due}, {", ".join(["%s"] * len(values))}
          FROM card, nas WHERE card.serial = %s AND nas.name = %s
        """,
        [number, *values.values(), card.serial, nas],
    )


def session_of(database, card, number=1):
    (row,) = database.query(
        "SELECT session.* FROM session JOIN card ON card.id = session.card_id"
        " WHERE card.serial = %s AND login_number = %s",
        [card.serial, number],
    )
    return row


def attempts(database, card):
    return [
        (row["outcome"], row["error_cause"])
        for row in database.query(
            "SELECT outcome, error_cause FROM disconnect_attempt JOIN card ON card.id = card_id WHERE serial = %s ORDER BY attempt",
            [card.serial],
        )
    ]


def stop(database, number=1):
    """The Stop of the NAS, as the module writes it."""
    return lambda request: database.execute(
        f"UPDATE session SET stopped_at = {NOW}, stop_cause = 'Admin-Reset', due_at = NULL WHERE acct_session_id = %s",
        [request["Acct-Session-Id"][0]],
    )


def hear_again(database):
    database.execute("UPDATE disconnect_attempt SET next_at = at - INTERVAL 1 SECOND")


def pass_time(database, seconds):
    """Move all sessions and attempts into the past."""
    database.execute(
        f"UPDATE session SET heard_at = heard_at - INTERVAL {seconds} SECOND,"
        f" login_at = login_at - INTERVAL {seconds} SECOND"
    )
    with without_triggers(database) as cursor:
        cursor.execute(
            f"UPDATE disconnect_attempt SET at = at - INTERVAL {seconds} SECOND,"
            f" next_at = next_at - INTERVAL {seconds} SECOND"
        )
        cursor.connection.commit()


def end(process: subprocess.Popen) -> int:
    process.terminate()
    return process.wait(timeout=30)
