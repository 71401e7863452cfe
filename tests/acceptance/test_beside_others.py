"""Cards in a provider's own site: cards are decided as in our own, and the provider's customers are served as before."""

import json

import pytest

from freeradius_module.rules import serial
from tests import eap_device
from tests.eap_device import METHODS
from tests.office import Office
from tests.radius_client import SECRET
from tests.shared_site import CUSTOMER, LOOKS_LIKE_A_SERIAL, MARK, NAS, NAS_SECRET, PASSWORD, SharedSite
from tests.waiting import engine_listens

PROOFS = ("pap", "chap", "mschap", "mschap2")


@pytest.fixture
def site(database, _unstarted_stack):
    site = SharedSite(_unstarted_stack.folder)
    yield site
    site.server.stop()


@pytest.fixture
def shared(site, office):
    """The provider's site with cards in it, running."""
    office.must("raddb", "install", "--dir", str(site.raddb), "--into", "default")
    site.server.start()
    return site


def check_customers(site, tmp_path, names=(CUSTOMER, LOOKS_LIKE_A_SERIAL)):
    """The provider's customers log in by every method, from both NAS, and their accounting is recorded."""
    # Debian 12's FreeRADIUS does not sign its own answers.
    for secret, address in ((SECRET, "127.0.0.1"), (NAS_SECRET, NAS)):
        nas = site.radius(secret, needs_signature=False)
        for name in names:
            for method in PROOFS:
                accept = nas.login(name, PASSWORD, method=method, nas_ip=address)
                assert accept.is_accept and accept["Reply-Message"] == MARK, (name, method)
                assert "Session-Timeout" not in accept
                assert nas.login(name, "wrong", method=method, nas_ip=address).is_reject
            session = nas.session(name, nas_ip=address)
            assert nas.start(session).is_acknowledged and nas.stop(session, 60).is_acknowledged
            assert session.session_id in site.recorded()
    for method in METHODS:
        answer = eap_device.log_in(tmp_path, site.raddb, site.auth_port, CUSTOMER, PASSWORD, method)
        assert answer.code == "Access-Accept", (method, answer.output[-2000:])
        answer = eap_device.log_in(tmp_path, site.raddb, site.auth_port, CUSTOMER, "wrong", method)
        assert answer.code == "Access-Reject", method


def test_before_installed_and_removed_the_customers_are_served_alike(site, office, tmp_path):
    before = site.state()
    site.server.start()
    check_customers(site, tmp_path)
    office.must("raddb", "install", "--dir", str(site.raddb), "--into", "default")
    site.restart()
    check_customers(site, tmp_path)
    office.must("raddb", "remove", "--dir", str(site.raddb))
    assert site.state() == before
    site.restart()
    check_customers(site, tmp_path)
    (card,) = office.sell(1, "--time", "10m")
    assert site.radius(needs_signature=False).login(card.serial, card.pin).is_reject


@pytest.mark.parametrize("method", PROOFS)
def test_a_card_is_decided_limited_and_charged(shared, office, method):
    (card,) = office.sell(1, "--time", "10m")
    for secret, address in ((SECRET, "127.0.0.1"), (NAS_SECRET, NAS)):
        nas = shared.radius(secret)
        accept = nas.login(card.serial, card.pin, method=method, nas_ip=address)
        assert accept.is_accept
        session = nas.session(card.serial, accept, nas_ip=address)
        assert nas.start(session).is_acknowledged
        assert nas.stop(session, 200).is_acknowledged
    assert accept["Session-Timeout"] == 400
    assert office.show(card)["used_seconds"] == 400
    assert session.session_id not in shared.recorded()
    assert nas.login(card.serial, "0" * len(card.pin), method=method, nas_ip=NAS).is_reject
    office.must("block", card.serial, "--reason", "stolen")
    assert nas.login(card.serial, card.pin, method=method, nas_ip=NAS).is_reject


@pytest.mark.parametrize("method", METHODS)
def test_a_card_in_the_tunnel_of_the_sites_own_eap(shared, office, tmp_path, method):
    (card,) = office.sell(1, "--time", "10m")
    answer = eap_device.log_in(tmp_path, shared.raddb, shared.auth_port, card.serial, card.pin, method)
    assert (answer.code, answer["Session-Timeout"], answer.user_name) == ("Access-Accept", "600", card.serial)
    # The NAS knows the outer name alone; whose session it is, is in the Class.
    nas = shared.radius()
    session = nas.session("anonymous" if method != "MD5" else card.serial, nas_ip=eap_device.NAS)
    session.class_values = answer.class_values
    assert nas.stop(session, 200).is_acknowledged
    assert office.show(card)["used_seconds"] == 200
    wrong = eap_device.log_in(tmp_path, shared.raddb, shared.auth_port, card.serial, "0" * len(card.pin), method)
    assert wrong.code == "Access-Reject"
    office.must("block", card.serial, "--reason", "stolen")
    refused = eap_device.log_in(tmp_path, shared.raddb, shared.auth_port, card.serial, card.pin, method)
    assert refused.code == "Access-Reject"


@pytest.mark.parametrize("method", ["TTLS/PAP", "TTLS/MSCHAPv2", "PEAP/MSCHAPv2"])
def test_a_site_that_copies_the_reply_out_of_the_tunnel(site, office, tmp_path, method):
    site.replace("mods-available/eap", "use_tunneled_reply = no", "use_tunneled_reply = yes")
    site.replace("mods-available/eap", "copy_request_to_tunnel = no", "copy_request_to_tunnel = yes")
    office.must("raddb", "install", "--dir", str(site.raddb), "--into", "default")
    site.server.start()
    (card,) = office.sell(1, "--time", "10m")
    answer = eap_device.log_in(tmp_path, site.raddb, site.auth_port, card.serial, card.pin, method)
    assert (answer.code, answer["Session-Timeout"]) == ("Access-Accept", "600")
    answer = eap_device.log_in(tmp_path, site.raddb, site.auth_port, CUSTOMER, PASSWORD, method)
    assert answer.code == "Access-Accept"


def test_the_outer_name_of_another_card_is_refused(shared, office, tmp_path):
    card, other = office.sell(2, "--time", "10m")
    answer = eap_device.log_in(
        tmp_path, shared.raddb, shared.auth_port, card.serial, card.pin, "TTLS/PAP", outer_name=other.serial
    )
    assert answer.code == "Access-Reject"
    # A customer with a card's serial outside: no card was decided, so there is no Accept.
    answer = eap_device.log_in(
        tmp_path,
        shared.raddb,
        shared.auth_port,
        CUSTOMER,
        PASSWORD,
        "TTLS/PAP",
        outer_name=other.serial,
        patience_seconds=3,
    )
    assert answer.code != "Access-Accept"


def test_a_nas_of_the_table_is_served_without_a_restart(shared, office, shop):
    address = shop.nas("mikrotik")
    (card,) = office.sell(1, "--time", "10m", "--speed-down", "2000", "--speed-up", "1000")
    accept = shared.radius().login(card.serial, card.pin, nas_ip=address)
    assert accept.is_accept and "Mikrotik-Rate-Limit" in accept
    assert shared.radius(needs_signature=False).login(CUSTOMER, PASSWORD, nas_ip=address).is_accept


def test_a_restart_of_a_nas_ends_the_sessions_of_both(shared, office):
    (card,) = office.sell(1, "--time", "10m")
    nas = shared.radius()
    session = nas.session(card.serial, nas.login(card.serial, card.pin))
    nas.start(session)
    assert office.show(card)["open_sessions"] == 1
    assert nas.nas_restarted().is_acknowledged
    assert office.show(card)["open_sessions"] == 0
    assert "Accounting-On" in shared.recorded()


# --- The database is away ---------------------------------------------------------------------------------------


def test_while_the_database_is_away_customers_are_served_and_cards_wait(shared, office, _unstarted_stack, tmp_path):
    (card,) = office.sell(1, "--time", "10m")
    nas = shared.radius()
    session = nas.session(card.serial, nas.login(card.serial, card.pin))
    assert nas.start(session).is_acknowledged
    # The site has seen this customer, so it is known that the name is no card's.
    assert shared.radius(needs_signature=False).login(LOOKS_LIKE_A_SERIAL, PASSWORD).is_accept
    _unstarted_stack.mariadb.stop()
    check_customers_in_outage(shared)
    for method in PROOFS:
        assert nas.login(card.serial, card.pin, method=method, timeout_seconds=2) is None
        assert nas.login(card.serial, "0" * len(card.pin), method=method, timeout_seconds=2) is None
    answer = eap_device.log_in(
        tmp_path, shared.raddb, shared.auth_port, card.serial, card.pin, "TTLS/PAP", patience_seconds=3
    )
    assert answer.code == "silence"
    assert nas.interim(session, 100, timeout_seconds=2) is None
    # After a restart it is the form of the serial that says it: this one has never been asked for.
    shared.restart()
    check_customers_in_outage(shared)
    assert nas.login(card.serial, card.pin, timeout_seconds=2) is None
    assert nas.interim(session, 100, timeout_seconds=2) is None
    _unstarted_stack.mariadb.start()
    assert nas.interim(session, 100).is_acknowledged
    assert office.show(card)["used_seconds"] == 100
    assert nas.login(card.serial, card.pin)["Session-Timeout"] == 500


def check_customers_in_outage(site, names=(CUSTOMER, LOOKS_LIKE_A_SERIAL)):
    nas = site.radius(needs_signature=False)
    for name in names:
        for method in PROOFS:
            assert nas.login(name, PASSWORD, method=method).is_accept, (name, method)
        session = nas.session(name)
        assert nas.start(session).is_acknowledged and nas.stop(session, 60).is_acknowledged
        assert session.session_id in site.recorded()
    assert nas.login(CUSTOMER, "wrong").is_reject


def test_a_fault_in_our_option_file_leaves_the_customers_served(site, office, _unstarted_stack, tmp_path, wait_until):
    office.must("raddb", "install", "--dir", str(site.raddb), "--into", "default")
    (card,) = office.sell(1, "--time", "10m")
    option_file = _unstarted_stack.option_file
    whole = option_file.read_text()
    try:
        option_file.write_text(whole.replace("[prepaid-radius]", "[prepaid-radius"))
        site.server.start()
        nas = site.radius()
        check_customers_in_outage(site)
        assert nas.login(card.serial, card.pin, timeout_seconds=2) is None
        session = nas.session(card.serial)
        assert nas.start(session, timeout_seconds=2) is None
        assert str(option_file) in site.server.log_since_mark()
        assert "other customers are served" in site.server.log_since_mark()
    finally:
        option_file.write_text(whole)
    # The file is read again by itself.
    accept = wait_until(lambda: nas.login(card.serial, card.pin, timeout_seconds=2))
    assert accept["Session-Timeout"] == 600
    assert nas.start(nas.session(card.serial, accept)).is_acknowledged


def test_a_name_that_may_be_a_card_gets_no_answer_where_the_site_would_refuse_it(shared, _unstarted_stack):
    _unstarted_stack.mariadb.stop()
    nas = shared.radius(needs_signature=False)
    # A valid check digit, and neither a batch's form nor a customer of the provider.
    assert nas.login(serial.complete("571"), PASSWORD, timeout_seconds=2) is None
    assert nas.login("nobody", PASSWORD).is_reject


def test_a_site_that_accepts_everybody_gives_a_card_nothing_while_the_database_is_away(site, office, _unstarted_stack):
    (card,) = office.sell(1, "--time", "10m")
    site.append("mods-config/files/authorize", "DEFAULT Auth-Type := Accept\n")
    office.must("raddb", "install", "--dir", str(site.raddb), "--into", "default")
    _unstarted_stack.mariadb.stop()
    site.server.start()
    nas = site.radius(needs_signature=False)
    assert nas.login("guest", "anything").is_accept
    assert nas.login(card.serial, card.pin, timeout_seconds=2) is None


def test_while_the_database_is_away_a_cards_report_goes_to_the_queue(site, _unstarted_stack, database, open_folder):
    option_file, queue = open_folder / "prepaid.cnf", open_folder / "queue"
    option_file.write_text(
        _unstarted_stack.option_file.read_text().replace("[prepaid]\n", f"[prepaid]\nqueue = {queue}\n")
    )
    office = Office(option_file)
    office.must("raddb", "install", "--dir", str(site.raddb), "--into", "default")
    site.server.start()
    (card,) = office.sell(1, "--time", "10m")
    nas = site.radius()
    session = nas.session(card.serial, nas.login(card.serial, card.pin))
    _unstarted_stack.mariadb.stop()
    assert nas.interim(session, 100).is_acknowledged
    assert nas.nas_restarted("127.0.0.5").is_acknowledged
    check_customers_in_outage(site)
    _unstarted_stack.mariadb.start()
    office.must("charge")
    assert office.show(card)["used_seconds"] == 100


def test_an_engine_says_whose_a_name_is(site, _unstarted_stack, database, open_folder, wait_until):
    option_file, engine = open_folder / "prepaid.cnf", open_folder / "engine"
    option_file.write_text(
        _unstarted_stack.option_file.read_text().replace("[prepaid]\n", f"[prepaid]\nengine = {engine}\n")
    )
    office = Office(option_file)
    office.must("raddb", "install", "--dir", str(site.raddb), "--into", "default")
    process = office.spawn("engine", "--json")
    try:
        wait_until(lambda: engine_listens(engine))
        site.server.start()
        (card,) = office.sell(1, "--time", "10m")
        nas = site.radius(needs_signature=False)
        assert nas.login(card.serial, card.pin)["Session-Timeout"] == 600
        assert nas.login(LOOKS_LIKE_A_SERIAL, PASSWORD).is_accept
    finally:
        process.terminate()
        words = process.communicate()[0]
    # It was the engine that decided; a question for a name is not counted as a login.
    assert json.loads(words.splitlines()[-1])["decided"] == 1


def test_doctor_and_check_find_nothing_wrong_also_after_a_batch_of_a_new_form(shared, office):
    office.sell(1, "--time", "10m")
    assert office.run("raddb", "check", "--dir", str(shared.raddb)).exit_status == 0
    found = {row["check"]: row for row in office.run("doctor", "--dir", str(shared.raddb), "--json").json()}
    assert found["raddb"]["state"] == found["login"]["state"] == "ok", found
