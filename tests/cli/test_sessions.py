"""prepaid sessions: who is on, what does not add up, who had an address."""

import pytest

from tests.cli.enforcing import add_nas, open_session, sell
from tests.cli.test_enforce import NOW
from tests.disconnect_server import DisconnectServer


@pytest.fixture
def nas(office):
    with DisconnectServer() as server:
        add_nas(office, "centro", server)
        yield server


def test_the_open_sessions_are_listed(office, database, nas):
    first, second = sell(office, database, 2, "--time", "10m")
    open_session(database, first, due="-1 HOUR", due_cause="time", used_down_octets=5_000_000, used_up_octets=1000)
    open_session(database, first, number=2, due="10 SECOND")
    open_session(database, second, number=3, nas="loopback", due="-1 HOUR")
    open_session(database, second, number=4, due="-1 HOUR", acct_session_id="")
    rows = office.json("sessions")
    assert [
        (row["serial"], row["acct_session_id"]) for row in sorted(rows, key=lambda row: row["acct_session_id"])
    ] == [(first.serial, "80a1"), (first.serial, "80a2"), (second.serial, "80a3")]
    row = next(row for row in rows if row["acct_session_id"] == "80a1")
    assert (row["nas"], row["used_octets"], row["due_cause"], row["is_due"], row["is_stale"]) == (
        "centro",
        5_001_000,
        "time",
        False,
        False,
    )
    assert row["due_at"].endswith("Z")
    # Only a recorded question shows an address.
    assert not any("framed" in name or "prefix" in name for name in row)


def test_the_open_sessions_of_a_card_or_a_nas(office, database, nas):
    first, second = sell(office, database, 2, "--time", "10m")
    open_session(database, first, due="-1 HOUR")
    open_session(database, second, number=2, nas="loopback", due="-1 HOUR")
    assert [row["serial"] for row in office.json("sessions", "--serial", first.serial)] == [first.serial]
    assert [row["serial"] for row in office.json("sessions", "--nas", "loopback")] == [second.serial]
    assert office.json("sessions", "--nas", "loopback", "--serial", first.serial) == []
    result = office.run("sessions", "--nas", "loopbak")
    assert result.exit_status == 1 and "loopback" in result.stderr


def test_a_session_that_missed_its_interims_is_called_stale(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card, due="-1 HOUR")
    database.execute(f"UPDATE session SET heard_at = {NOW} - INTERVAL 961 SECOND")
    assert [row["is_stale"] for row in office.json("sessions")] == [True]


def test_the_open_sessions_are_found_by_their_index(database):
    plan = database.query(
        "EXPLAIN SELECT 1 FROM nas JOIN session FORCE INDEX (session_by_nas)"
        " ON session.nas_id = nas.id WHERE session.due_at <= UTC_TIMESTAMP(3)"
    )
    assert [row["key"] for row in plan if row["table"] == "session"] == ["session_by_nas"]


def test_anomalies_are_listed_with_their_card_and_nas(office, database, nas):
    first, second = sell(office, database, 2, "--time", "10m")
    open_session(database, first)
    open_session(database, second, number=2, nas="loopback")
    for what in ("octets_fell", "no_session_time"):
        database.execute(
            "INSERT INTO session_anomaly (card_id, login_number, what, detail)"
            " SELECT card_id, login_number, %s, 'at 600 s' FROM session",
            [what],
        )
    rows = office.json("sessions", "--anomalies")
    assert len(rows) == 4 and [row["what"] for row in rows] == ["octets_fell"] * 2 + ["no_session_time"] * 2
    row = office.json("sessions", "--anomalies", "--serial", first.serial)[0]
    assert {**row, "at": None} == {
        "at": None,
        "serial": first.serial,
        "nas": "centro",
        "acct_session_id": "80a1",
        "what": "octets_fell",
        "detail": "at 600 s",
    }
    assert len(office.json("sessions", "--anomalies", "--nas", "loopback")) == 2


# --- Who had an address ----------------------------------------------------------------------------------

MOMENT = "2026-03-02T17:30:00-03:00"


def had(
    database,
    card,
    *,
    number=1,
    table="session",
    started="2026-03-02 20:00:00",
    ended="2026-03-02 21:00:00",
    **addresses,
):
    """A session of that evening; `ended=None`: it is on since."""
    values = {"framed_ipv4": None, "framed_ipv6": None, "delegated_prefix": None} | addresses
    if table == "session":
        ends = ["stopped_at", "due_at"]
        times = [ended, None if ended else "2099-01-01"]
    else:
        ends, times = ["ended_at", "device", "used_seconds", "used_down_octets", "used_up_octets"], [ended, "", 0, 0, 0]
    columns = ["acct_session_id", "started_at", *ends, *values]
    database.execute(
        f"INSERT INTO {table} (card_id, login_number, nas_id, {', '.join(columns)})"
        f" SELECT card.id, %s, nas.id, {', '.join(['%s'] * len(columns))} FROM card, nas"
        " WHERE card.serial = %s AND nas.name = 'loopback'",
        [number, f"80a{number}", started, *times, *values.values(), card.serial],
    )


def ask(office, address, moment=MOMENT):
    return [
        (row["serial"], row["acct_session_id"]) for row in office.json("sessions", "--address", address, "--at", moment)
    ]


@pytest.mark.parametrize("table", ["session", "session_archive"])
def test_who_had_an_ipv4_address(office, database, table):
    before, then, other, after = sell(office, database, 4, "--time", "10m")
    had(
        database,
        before,
        table=table,
        started="2026-03-02 19:00:00",
        ended="2026-03-02 20:29:59",
        framed_ipv4="10.5.0.7",
    )
    had(database, then, table=table, framed_ipv4="10.5.0.7")
    had(database, other, table=table, framed_ipv4="10.5.0.8")
    had(database, after, table=table, started="2026-03-02 20:30:01", framed_ipv4="10.5.0.7")
    assert ask(office, "10.5.0.7") == [(then.serial, "80a1")]


@pytest.mark.parametrize("table", ["session", "session_archive"])
@pytest.mark.parametrize(
    "addresses",
    [
        {"framed_ipv6": "2001:db8:1:2::5"},
        {"framed_ipv6": "2001:db8:1:2::/64"},
        {"delegated_prefix": "2001:db8:1::/48"},
        {"framed_ipv6": "2001:db8:1:2::/64", "delegated_prefix": "2001:db8:1::/56"},
    ],
)
def test_who_had_an_ipv6_address_or_a_prefix_that_holds_it(office, database, table, addresses):
    card, other = sell(office, database, 2, "--time", "10m")
    had(database, card, table=table, **addresses)
    had(database, other, table=table, framed_ipv6="2001:db8:1:3::/64", delegated_prefix="2001:db8:2::/48")
    assert ask(office, "2001:DB8:1:2:0::5") == [(card.serial, "80a1")]


def test_who_had_a_delegated_prefix(office, database):
    (card,) = sell(office, database, 1, "--time", "10m")
    had(database, card, delegated_prefix="2001:db8:1:200::/56")
    assert ask(office, "2001:db8:1:200::/56") == ask(office, "2001:db8:1:210::/60") == [(card.serial, "80a1")]


def test_who_has_an_address_still(office, database):
    (card,) = sell(office, database, 1, "--time", "10m")
    had(database, card, ended=None, framed_ipv4="10.5.0.7")
    assert ask(office, "10.5.0.7") == [(card.serial, "80a1")]


def test_the_question_is_recorded_even_if_nobody_had_the_address(office, database):
    result = office.run("sessions", "--address", "10.5.0.7", "--at", MOMENT, "--reason", "Order 123/2026", "--json")
    assert (result.exit_status, result.json()) == (0, [])
    (row,) = database.query("SELECT operator, address, moment_at, reason FROM address_query")
    assert (row["operator"], row["address"], str(row["moment_at"]), row["reason"]) == (
        "prepaid_admin",
        "10.5.0.7",
        "2026-03-02 20:30:00",
        "Order 123/2026",
    )
    assert "was recorded" in result.stderr
    with pytest.raises(Exception, match="history_is_never_edited"):
        database.execute("UPDATE address_query SET operator = 'nobody'")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--address", "10.5.0.7"], "--at together"),
        (["--at", MOMENT], "--at together"),
        (["--address", "10.5.0.300", "--at", MOMENT], "not an address"),
        (["--address", "10.5.0.0/24", "--at", MOMENT], "not an address"),
        (["--address", "10.5.0.7", "--at", "yesterday"], "not a time"),
        (["--address", "10.5.0.7", "--at", "2099-01-01T00:00Z"], "in the future"),
        (["--address", "10.5.0.7", "--at", MOMENT, "--anomalies"], "cannot be combined"),
        (["--reason", "Order 1"], "only for --address"),
    ],
)
def test_a_wrong_question_about_an_address_is_wrong_usage(office, database, arguments, said):
    result = office.run("sessions", *arguments)
    assert result.exit_status == 2 and said in result.stderr
    assert database.value("SELECT COUNT(*) FROM address_query") == 0


@pytest.mark.parametrize("command", ["sessions", "disconnect", "enforce"])
def test_help_has_an_example(office, command):
    result = office.run(command, "--help")
    assert result.exit_status == 0 and f"    prepaid {command}" in result.stdout
