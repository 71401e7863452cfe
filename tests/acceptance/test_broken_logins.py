"""A fault at each command that FreeRADIUS sends to the database: nothing is written without a proof, and nothing twice.

The database's connection is cut before a command or after it (its answer is lost), or the database is away, or hangs, from
that command on; and what a database that hung finds when it goes on is done late.  Then all is well again, and the NAS repeats.
"""

import contextlib
import time

import pytest

from tests import eap_device
from tests.database_line import FAULTS, DatabaseLine
from tests.office import Office
from tests.radius_client import RadiusClient
from tests.stack import FreeRadius, free_ports

WRONG_PIN = "0000000000"
# More than any login sends.
COMMANDS_MOST = 25
SILENCE_SECONDS = 4


class Site:
    """A FreeRADIUS of its own, whose database is the stack's, on several lines that can be broken."""

    def __init__(self, stack, folder, lines):
        self.lines = lines
        option_file = folder / "prepaid.cnf"
        head, group, rest = stack.option_file.read_text().partition("[prepaid-radius]\n")
        hosts = ", ".join(f"127.0.0.1:{line.port}" for line in lines)
        rest = rest.replace(f"unix_socket = {stack.mariadb.socket}", f"hosts = {hosts}", 1)
        option_file.write_text(
            (head + group + rest).replace("[prepaid]\n", "[prepaid]\ndatabase_timeout_seconds = 1\n")
        )
        option_file.chmod(0o600)
        auth_port, acct_port = free_ports(2)
        self.server = FreeRadius(
            folder, auth_port=auth_port, acct_port=acct_port, options={"reject_delay": "0"}, dies_with_parent=True
        )
        self.server.copy_distribution()
        Office(option_file).must(
            "raddb",
            "install",
            "--dir",
            self.server.raddb,
            "--listen",
            "127.0.0.1",
            "--auth-port",
            auth_port,
            "--acct-port",
            acct_port,
        )
        self.server.start()
        self.nas = RadiusClient(auth_port, acct_port)


@contextlib.contextmanager
def open_site(stack, folder, count):
    with contextlib.ExitStack() as opened:
        lines = [opened.enter_context(DatabaseLine(stack.mariadb.socket)) for _ in range(count)]
        site = Site(stack, folder, lines)
        try:
            yield site
        finally:
            site.server.stop()


@pytest.fixture
def site(stack, tmp_path):
    with open_site(stack, tmp_path, 1) as site:
        yield site


def assert_untouched(shop, card):
    row = shop.card(card)
    assert (row["status"], row["device"], row["first_login_at"], row["expires_at"]) == ("delivered", None, None, None)
    assert shop.sessions(card) == []
    assert set(shop.refusals(card)) <= {"wrong_pin"}


def at_each_command(site, wait_until, shop, fault, ask, check):
    """Break the line at the first command, the second, and so on, until `ask` sends no such command any more."""
    (line,) = site.lines
    wait_until(lambda: site.nas.login("9999999999", WRONG_PIN, timeout_seconds=SILENCE_SECONDS) is not None)
    for command in range(COMMANDS_MOST):
        (card,) = shop.sell(1, bind_device=True, valid_days=30, credit_seconds=3600)
        line.break_at(command, fault)
        answer = ask(card)
        was_broken = line.mend()
        # Connected, and not left alone any more after the fault.
        wait_until(lambda: site.nas.login("9999999999", WRONG_PIN, timeout_seconds=SILENCE_SECONDS) is not None)
        check(card, answer)
        if not was_broken:
            return command
    raise AssertionError("a login of so many commands")


# Of a wrong PIN nothing is on its way that could be late.
@pytest.mark.parametrize("fault", ["cut before", "cut after", "away", "hangs"])
@pytest.mark.parametrize("method", ["pap", "mschap2"])
def test_a_wrong_pin_writes_nothing_to_a_card(site, shop, wait_until, method, fault):
    def check(card, answer):
        assert answer is None or answer.is_reject
        assert_untouched(shop, card)
        assert site.nas.login(card.serial, WRONG_PIN, method=method).is_reject
        assert_untouched(shop, card)

    tried = at_each_command(
        site,
        wait_until,
        shop,
        fault,
        lambda card: site.nas.login(card.serial, WRONG_PIN, method=method, timeout_seconds=SILENCE_SECONDS),
        check,
    )
    assert tried >= 2


# By MS-CHAP it is written at another section of FreeRADIUS' (post-auth).
@pytest.mark.parametrize(
    ("method", "fault"), [*(("pap", fault) for fault in FAULTS), ("mschap2", "cut after"), ("mschap2", "late")]
)
def test_a_first_login_is_let_in_once(site, shop, wait_until, method, fault):
    """It is accepted or gets no answer; then the NAS asks again, and it is accepted, by the one session that is open."""

    def check(card, answer):
        assert answer is None or answer.is_accept
        # Two logins within a second are two customers'; a NAS repeats later.
        time.sleep(1.1)
        assert site.nas.login(card.serial, card.pin, method=method).is_accept
        sessions = [one for one in shop.sessions(card) if one["due_at"] is not None]
        assert len(sessions) == 1
        assert sessions[0]["granted_seconds"] == 3600
        assert shop.status(card) == "in_use"
        activated = shop.database.value(
            "SELECT COUNT(*) FROM card_event WHERE card_id = %s AND to_status = 'in_use'", [shop.id(card)]
        )
        assert activated == 1

    tried = at_each_command(
        site,
        wait_until,
        shop,
        fault,
        lambda card: site.nas.login(card.serial, card.pin, method=method, timeout_seconds=SILENCE_SECONDS),
        check,
    )
    assert tried >= 3


@pytest.mark.parametrize("fault", FAULTS)
def test_a_packet_of_accounting_is_charged_once(site, shop, wait_until, fault):
    """What is answered is charged then; what is not is sent again, and charged once."""
    sessions = {}

    def ask(card):
        return site.nas.stop(sessions[card.serial], 600, timeout_seconds=SILENCE_SECONDS)

    def check(card, answer):
        if answer is not None:
            assert shop.used(card)[0] == 600
        assert site.nas.stop(sessions[card.serial], 600).is_acknowledged
        assert shop.used(card)[0] == 600
        (session,) = shop.sessions(card)
        assert session["due_at"] is None

    def sell(count, **columns):
        cards = shop.sell(count, **columns)
        for card in cards:
            site_answer = wait_until(
                lambda card=card: site.nas.login(card.serial, card.pin, timeout_seconds=SILENCE_SECONDS)
            )
            sessions[card.serial] = site.nas.session(card.serial, site_answer)
            assert site.nas.start(sessions[card.serial]).is_acknowledged
        return cards

    selling = _Selling(shop, sell)
    assert at_each_command(site, wait_until, selling, fault, ask, check) >= 1


class _Selling:
    """The shop, whose cards are used before they are handed over."""

    def __init__(self, shop, sell):
        self._shop = shop
        self.sell = sell

    def __getattr__(self, name):
        return getattr(self._shop, name)


@pytest.mark.skipif(not eap_device.IS_INSTALLED, reason="eapol_test is not installed (Debian: eapoltest)")
@pytest.mark.parametrize("method", ["TTLS/PAP", "PEAP/MSCHAPv2"])
def test_nor_does_one_by_eap(site, shop, wait_until, tmp_path, method):
    def ask(card):
        return eap_device.log_in(
            tmp_path, site.server.raddb, site.server.auth_port, card.serial, WRONG_PIN, method, patience_seconds=2
        )

    def check(card, answer):
        assert answer.code in ("silence", "Access-Reject")
        assert_untouched(shop, card)

    assert at_each_command(site, wait_until, shop, "away", ask, check) >= 2


# --- Two hosts of a cluster that hang ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["pap", "mschap2"])
def test_a_wrong_pin_where_two_of_three_hosts_hang_is_not_let_in_by_the_third(
    stack, shop, wait_until, tmp_path, method
):
    """The login's first question costs the time-outs of two hosts, and there is no second one for it: the third host, which
    would have written it, is asked for the next."""
    (card,) = shop.sell(1, bind_device=True, valid_days=30, credit_seconds=3600)
    with open_site(stack, tmp_path, 3) as site:
        assert site.nas.login("9999999999", WRONG_PIN).is_reject
        for line in site.lines[:2]:
            line.hang()
        site.lines[2].break_at(COMMANDS_MOST, "away")
        assert site.nas.login(card.serial, WRONG_PIN, method=method, timeout_seconds=SILENCE_SECONDS) is None
        assert site.lines[2].commands == 0
        assert shop.refusals(card) == {}
        assert_untouched(shop, card)
        assert site.server.log_since_mark().count("no answer to a login") == 1
        site.lines[2].mend()
        # One connection has found out that two hosts hang, so all others of the module know it.
        assert site.nas.login(card.serial, WRONG_PIN, method=method).is_reject
        assert_untouched(shop, card)
        assert shop.refusals(card) == {"wrong_pin": 1}
        assert site.nas.login(card.serial, card.pin, method=method).is_accept
        for line in site.lines[:2]:
            line.mend()
        assert [one["granted_seconds"] for one in shop.sessions(card) if one["due_at"] is not None] == [3600]
