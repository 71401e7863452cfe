"""Sessions are disconnected on a real dynamic-authorisation server: FreeRADIUS' own `listen { type = coa }`.

A second radiusd is the NAS: it takes Disconnect- and CoA-Requests as FreeRADIUS does, refuses what it does not know,
and writes each one down.  The logins and the reports come from the tests' NAS at the same address.
"""

import pytest

from tests.stack import free_ports
from tests.stack.freeradius import FreeRadius
from tests.waiting import wait_until

NAS_ADDRESS = "127.0.0.9"

SITE = """
listen {{
    type = coa
    ipaddr = {address}
    port = {port}
    virtual_server = nas
}}
server nas {{
    recv-coa {{
        if (&Acct-Session-Id =~ /^forgotten/) {{
            update reply {{
                &Error-Cause := Session-Context-Not-Found
            }}
            reject
        }}
        nas_requests
    }}
    send-coa {{
        ok
    }}
}}
"""

WRITE_DOWN = """
linelog nas_requests {{
    filename = "{path}"
    format = "%{{Packet-Type}} %{{User-Name}} %{{Acct-Session-Id}} %{{WISPr-Bandwidth-Max-Down}}"
}}
"""


class DynamicNas(FreeRadius):
    """A radiusd in the role of the NAS (RFC 5176)."""

    def __init__(self, folder):
        self.coa_port, *unused = free_ports(3)
        super().__init__(folder, name="nas", auth_port=unused[0], acct_port=unused[1], dies_with_parent=True)
        self.path = self.folder / "requests.log"

    def configure(self):
        self.copy_distribution()
        (self.raddb / "sites-enabled" / "nas").write_text(SITE.format(address=NAS_ADDRESS, port=self.coa_port))
        (self.raddb / "mods-enabled" / "nas_requests").write_text(WRITE_DOWN.format(path=self.path))

    def requests(self) -> list[str]:
        return [line.strip() for line in self.path.read_text().splitlines()] if self.path.exists() else []


@pytest.fixture
def nas(tmp_path):
    server = DynamicNas(tmp_path)
    server.configure()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def office_with_nas(office, radius, database, nas):
    """The office once FreeRADIUS knows the NAS: a refused login on it says so."""
    office.json(
        "nas",
        "add",
        "centro",
        "--address",
        f"{NAS_ADDRESS}/32",
        "--disconnect-port",
        nas.coa_port,
        "--secret-file",
        "-",
        stdin="testing123\n",
    )
    (stranger,) = office.sell(1, "--time", "10m")

    def is_known():
        radius.login(stranger.serial, "wrong", nas_ip=NAS_ADDRESS)
        return database.value(
            "SELECT COUNT(*) FROM login_refusal JOIN nas ON nas.id = nas_id WHERE nas.name = 'centro'"
        )

    wait_until(is_known, pause_seconds=1)
    return office


@pytest.fixture
def watch(office_with_nas):
    """prepaid enforce --watch, as its service runs it."""
    process = office_with_nas.spawn("enforce", "--watch")
    yield process
    process.terminate()
    assert process.wait(timeout=30) == 0


def begin(radius, card, **options):
    accept = radius.login(card.serial, card.pin, nas_ip=NAS_ADDRESS)
    assert accept.is_accept
    session = radius.session(card.serial, accept, nas_ip=NAS_ADDRESS, **options)
    assert radius.start(session).is_acknowledged
    return session


def test_a_blocked_cards_session_is_off(office_with_nas, radius, nas, watch, database):
    card, other = office_with_nas.sell(2, "--time", "10m")
    session, _ = begin(radius, card), begin(radius, other)
    office_with_nas.must("block", card.serial, "--reason", "stolen")
    wait_until(nas.requests)
    radius.stop(session, seconds=5)
    wait_until(lambda: database.value("SELECT MAX(outcome) FROM disconnect_attempt") == "ack")
    assert nas.requests() == [f"Disconnect-Request {card.serial} {session.session_id}"]
    assert office_with_nas.show(card)["open_sessions"] == 0
    assert office_with_nas.show(other)["open_sessions"] == 1


def test_an_exhausted_card_is_off(office_with_nas, radius, nas, watch):
    (card,) = office_with_nas.sell(1, "--traffic", "10MB")
    session = begin(radius, card)
    assert radius.interim(session, seconds=60, down_octets=10_000_000).is_acknowledged
    wait_until(nas.requests)
    radius.stop(session, seconds=61, down_octets=10_000_000)
    assert office_with_nas.show(card)["status"] == "exhausted"


def test_money_that_time_and_traffic_use_up_together_ends_a_session(office_with_nas, radius, nas, watch):
    # R$ 1.00: 10 minutes alone, or 100 MB alone.  Five minutes and 50 MB are all of it, and neither limit by itself.
    (card,) = office_with_nas.sell(1, "--money", "1.00", "--tariff-minute", "0.10", "--tariff-mb", "0.01")
    session = begin(radius, card)
    assert radius.interim(session, seconds=299, down_octets=50_000_000).is_acknowledged
    assert office_with_nas.show(card)["status"] == "in_use"
    assert radius.interim(session, seconds=300, down_octets=50_000_000).is_acknowledged
    wait_until(nas.requests)
    radius.stop(session, seconds=300, down_octets=50_000_000)
    shown = office_with_nas.show(card)
    assert (shown["status"], shown["remaining_cents"], shown["used_cents"]) == ("exhausted", 0, 100)
    (ended,) = [row for row in office_with_nas.json("track", card.serial) if row["what"] == "exhausted"]
    assert ended["reason"] == "money"


def test_a_session_is_off_when_its_hours_are_over(office_with_nas, radius, nas, watch, database):
    # Allowed now and for some more minutes; then all times of the session are moved into the past.
    begins, ends = database.query(
        "SELECT TIME_FORMAT(UTC_TIMESTAMP() - INTERVAL 1 MINUTE, '%%H:%%i') AS begins,"
        " TIME_FORMAT(UTC_TIMESTAMP() + INTERVAL 5 MINUTE, '%%H:%%i') AS ends"
    )[0].values()
    (card,) = office_with_nas.sell(1, "--time", "10h", "--hours", f"{begins}-{ends}")
    accept = radius.login(card.serial, card.pin, nas_ip=NAS_ADDRESS)
    assert 4 * 60 - 1 <= accept["Session-Timeout"] <= 5 * 60
    session = radius.session(card.serial, accept, nas_ip=NAS_ADDRESS)
    assert radius.start(session).is_acknowledged
    database.execute(
        "UPDATE session SET due_at = due_at - INTERVAL %s SECOND, login_at = login_at - INTERVAL %s SECOND",
        [accept["Session-Timeout"]] * 2,
    )
    wait_until(nas.requests)
    assert nas.requests() == [f"Disconnect-Request {card.serial} {session.session_id}"]
    attempt = [row for row in office_with_nas.json("track", card.serial) if row["what"] == "disconnect"][0]
    assert attempt["reason"] == "hours"


def test_a_session_is_off_when_its_cards_validity_is_over(office_with_nas, radius, nas, watch, database):
    (card,) = office_with_nas.sell(1, "--time", "10h", "--valid-days", "1")
    session = begin(radius, card)
    database.execute("UPDATE card SET expires_at = UTC_TIMESTAMP(3) WHERE serial = %s", [card.serial])
    wait_until(nas.requests)
    radius.stop(session, seconds=5)
    assert office_with_nas.show(card)["status"] == "expired"


def test_the_oldest_session_makes_room_for_the_newest(office_with_nas, radius, nas, watch):
    (card,) = office_with_nas.sell(1, "--time", "10m", "--replace-oldest")
    first = begin(radius, card, calling_station_id="02-00-00-00-00-01")
    accept = radius.login(card.serial, card.pin, nas_ip=NAS_ADDRESS, calling_station_id="02-00-00-00-00-02")
    assert accept.is_accept
    wait_until(nas.requests)
    assert nas.requests() == [f"Disconnect-Request {card.serial} {first.session_id}"]
    # The old session is charged up to its end, and no credit is left.
    radius.stop(first, seconds=200)
    second = radius.session(card.serial, accept, nas_ip=NAS_ADDRESS, calling_station_id="02-00-00-00-00-02")
    radius.start(second)
    radius.stop(second, seconds=400)
    shown = office_with_nas.show(card)
    assert (shown["used_seconds"], shown["remaining_seconds"], shown["open_sessions"]) == (600, 0, 0)
    assert radius.login(card.serial, card.pin, nas_ip=NAS_ADDRESS).is_reject
    assert office_with_nas.show(card)["status"] == "exhausted"


def test_a_session_past_its_fair_use_is_slowed_down(office_with_nas, radius, nas, watch):
    (card,) = office_with_nas.sell(1, "--traffic", "10MB", "--fup-share", "50", "--fup-down", "512", "--fup-up", "256")
    session = begin(radius, card)
    assert radius.interim(session, seconds=60, down_octets=6_000_000).is_acknowledged
    wait_until(nas.requests)
    assert nas.requests() == [f"CoA-Request {card.serial} {session.session_id} 512000"]


def test_disconnect_says_what_freeradius_answers(office_with_nas, radius, nas):
    (card,) = office_with_nas.sell(1, "--time", "10m")
    begin(radius, card, session_id="forgotten1")
    result = office_with_nas.run("disconnect", card.serial, "--wait", "0", "--json")
    (row,) = result.json()
    assert (result.exit_status, row["outcome"], row["error_cause"]) == (1, "nak", "503 Session-Context-Not-Found")
