"""Queued accounting and the queue, with the real radiusd and the real charger."""

import contextlib
import os
import signal
import subprocess

import pytest

from tests.office import Office
from tests.radius_client import RadiusClient
from tests.stack import FreeRadius, free_ports

# How long to wait before concluding that there is no answer; otherwise the server answers within milliseconds.
SILENCE_SECONDS = 2


class QueuedSite:
    """A FreeRADIUS of its own on the stack's database, whose accounting goes through `folder`/queue."""

    def __init__(self, stack, folder, accounting: str, options: dict[str, str] | None = None):
        self.queue = folder / "queue"
        option_file = folder / "prepaid.cnf"
        option_file.write_text(
            stack.option_file.read_text().replace(
                "[prepaid]\n", f"[prepaid]\naccounting = {accounting}\nqueue = {self.queue}\n"
            )
        )
        self.office = Office(option_file)
        auth_port, acct_port = free_ports(2)
        self.server = FreeRadius(
            folder, auth_port=auth_port, acct_port=acct_port, options=options, dies_with_parent=True
        )
        self.server.copy_distribution()
        self.office.must(
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
        self._chargers = []

    def start_charger(self) -> subprocess.Popen:
        self._chargers.append(self.office.spawn("charge", "--watch"))
        return self._chargers[-1]

    def is_charged(self) -> bool:
        return self.office.json("queue", "status")["waiting"] == 0

    def stop(self):
        self.server.stop()
        for charger in self._chargers:
            charger.kill()
            charger.communicate()


@pytest.fixture
def queued(stack, tmp_path):
    site = QueuedSite(stack, tmp_path, "queued")
    yield site
    site.stop()


@pytest.fixture
def queueing(stack, tmp_path):
    """Direct accounting, with a queue for the time when the database is away."""
    site = QueuedSite(stack, tmp_path, "direct")
    yield site
    site.stop()


def used_seconds(database, card):
    return database.value(
        "SELECT CAST(COALESCE(SUM(used_seconds), 0) AS SIGNED) FROM session JOIN card ON card.id = card_id WHERE serial = %s",
        [card.serial],
    )


def test_a_cards_life_through_the_queue(queued, shop, database, wait_until):
    (card,) = shop.sell(1, credit_seconds=600)
    queued.start_charger()
    accept = queued.nas.login(card.serial, card.pin)
    assert accept["Session-Timeout"] == 600
    session = queued.nas.session(card.serial, accept)
    assert queued.nas.start(session).is_acknowledged
    assert queued.nas.interim(session, 200, down_octets=5 * 2**32, up_octets=7).is_acknowledged
    wait_until(lambda: used_seconds(database, card) == 200)
    assert queued.nas.stop(session, 250).is_acknowledged
    wait_until(lambda: used_seconds(database, card) == 250)
    wait_until(queued.is_charged)
    # The next login knows what is left.
    assert queued.nas.login(card.serial, card.pin)["Session-Timeout"] == 350


def test_what_is_answered_while_nobody_charges_is_charged_later(queued, shop, database, wait_until):
    (card,) = shop.sell(1, credit_seconds=600)
    session = queued.nas.session(card.serial, queued.nas.login(card.serial, card.pin))
    for seconds in (0, 60, 120):
        assert queued.nas.interim(session, seconds).is_acknowledged
    assert used_seconds(database, card) == 0
    status = queued.office.json("queue", "status")
    assert (status["waiting"], status["is_charger_running"]) == (3, False)
    assert queued.office.json("charge") == {"charged": 3, "quarantined": 0}
    assert used_seconds(database, card) == 120


def test_nothing_answered_is_lost_however_often_the_charger_is_killed(queued, shop, database, wait_until):
    cards = shop.sell(50, credit_seconds=10**6)
    for life in range(4):
        charger = queued.start_charger()
        for number in range(2):
            for card in cards:
                session = queued.nas.session(card.serial, session_id=f"{life}-{number}-{card.serial}")
                assert queued.nas.stop(session, 1).is_acknowledged
        wait_until(lambda life=life: used_seconds(database, cards[0]) > life * 2)
        charger.send_signal(signal.SIGKILL)
    queued.start_charger()
    wait_until(queued.is_charged)
    assert [used_seconds(database, card) for card in cards] == [8] * 50


def test_the_charger_survives_a_restart_of_the_database(queued, stack, shop, database, wait_until):
    (card,) = shop.sell(1, credit_seconds=600)
    session = queued.nas.session(card.serial, queued.nas.login(card.serial, card.pin))
    queued.start_charger()
    assert queued.nas.start(session).is_acknowledged
    wait_until(queued.is_charged)
    stack.mariadb.kill()
    try:
        assert queued.nas.interim(session, 60).is_acknowledged
        assert queued.nas.stop(session, 120).is_acknowledged
    finally:
        stack.mariadb.start()
    wait_until(lambda: used_seconds(database, card) == 120)


def test_while_the_database_is_away_accounting_goes_to_the_queue(queueing, stack, shop, database, wait_until):
    (card,) = shop.sell(1, credit_seconds=600)
    session = queueing.nas.session(card.serial, queueing.nas.login(card.serial, card.pin))
    assert queueing.nas.start(session).is_acknowledged
    assert not (queueing.queue / "queue").exists()
    stack.mariadb.stop()
    try:
        assert queueing.nas.interim(session, 60).is_acknowledged
        assert queueing.nas.interim(session, 120).is_acknowledged
    finally:
        stack.mariadb.start()
    # Charged directly again, the newer before the older.
    wait_until(lambda: (answer := queueing.nas.stop(session, 180)) and used_seconds(database, card) == 180 and answer)
    for _ in range(2):
        assert queueing.office.json("queue", "replay")["quarantined"] == 0
        assert used_seconds(database, card) == 180
    stopped = database.query("SELECT stopped_at, closed_at, due_at FROM session")
    assert len(stopped) == 1 and stopped[0]["stopped_at"] and stopped[0]["due_at"] is None


def test_what_python_cannot_receive_can_be_charged_from_the_quarantine(queued, shop, database):
    (card,) = shop.sell(1, credit_seconds=600)
    session = queued.nas.session(card.serial, queued.nas.login(card.serial, card.pin))
    # A hot spot's name in Latin-1; the rest of the packet is valid.
    assert queued.nas.stop(session, 60, attributes={"Called-Station-Id": b"Caf\xe9"}).is_acknowledged
    assert queued.office.json("charge")["charged"] == 0
    (row,) = queued.office.json("queue", "quarantine")
    assert (row["serial"], row["seconds"], row["nas"]) == (card.serial, "60", "127.0.0.1")
    assert queued.office.json("queue", "replay") == {"charged": 1, "quarantined": 0}
    assert used_seconds(database, card) == 60


def test_without_the_queue_directory_nothing_is_answered(queued, shop):
    (card,) = shop.sell(1)
    session = queued.nas.session(card.serial, queued.nas.login(card.serial, card.pin))
    gone = queued.queue.rename(queued.queue.with_name("gone"))
    # A file in its place, because the tests may run as root, for whom FreeRADIUS would make it again.
    queued.queue.touch()
    assert queued.nas.start(session, timeout_seconds=SILENCE_SECONDS) is None
    queued.queue.unlink()
    gone.rename(queued.queue)
    assert queued.nas.start(session).is_acknowledged


def test_on_a_full_disk_nothing_is_answered_and_nothing_is_lost(queued, shop, database, wait_until):
    (card,) = shop.sell(1, credit_seconds=600)
    session = queued.nas.session(card.serial, queued.nas.login(card.serial, card.pin))
    with small_disk(queued.queue, "size=80m"):
        wait_until(lambda: queued.nas.interim(session, 60, timeout_seconds=SILENCE_SECONDS))
        # What others have written.
        ballast = queued.queue / "ballast"
        with ballast.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 1_000_000)
        wait_until(lambda: queued.nas.interim(session, 120, timeout_seconds=SILENCE_SECONDS) is None)
        silent = queued.nas.interim(session, 180, timeout_seconds=SILENCE_SECONDS)
        ballast.unlink()
        wait_until(lambda: queued.nas.interim(session, 240, timeout_seconds=SILENCE_SECONDS))
        assert silent is None
        queued.office.must("charge")
    assert used_seconds(database, card) == 240


@contextlib.contextmanager
def small_disk(folder, size: str):
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"{size},mode=0750", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode != 0:
        pytest.skip("only root may mount a small disk")
    os.chmod(folder, 0o750)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
