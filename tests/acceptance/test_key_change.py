"""Keys are changed while people log in: nobody is refused, and running sessions are known by their Class afterwards."""

import threading

import pytest


@pytest.fixture
def key_file(_unstarted_stack):
    """The stack's key file, which is put back after the test."""
    path = _unstarted_stack.key_file
    before = path.read_bytes()
    yield path
    path.write_bytes(before)


def test_logins_go_on_while_a_rotation_runs(office, radius, stack, database, key_file):
    cards = office.sell(600, "--time", "10h", "--sessions", "200")
    before = radius.session(cards[0].serial, radius.login(cards[0].serial, cards[0].pin))
    silent, wrong, tries, is_over = [], [], [], threading.Event()

    def log_in(first):
        index = first
        while not is_over.is_set():
            card = cards[index % len(cards)]
            answer = radius.login(card.serial, card.pin, method="chap")
            (tries if answer is not None and answer.is_accept else silent).append(card.serial)
            # A stranger is refused all the while, and not met with silence.
            answer = radius.login("9999999999", "1234567890")
            if answer is None or not answer.is_reject:
                wrong.append(answer)
            index += 7

    threads = [threading.Thread(target=log_in, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    try:
        office.must("key", "add")
        assert office.json("key", "rotate", "--yes")["cards"] == 600
        seen = len(tries)
        while len(tries) < seen + 50 and any(thread.is_alive() for thread in threads):
            pass
        database.execute("UPDATE site SET value = UTC_TIMESTAMP(3) - INTERVAL 61 SECOND WHERE name = 'resealed_at'")
        office.must("key", "retire", "1", "--yes")
        seen = len(tries)
        while len(tries) < seen + 50 and any(thread.is_alive() for thread in threads):
            pass
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert (silent, wrong) == ([], [])
    # The session that began before is charged by its Class, whose proof has outlasted the key.
    assert radius.stop(before, seconds=120).is_acknowledged
    assert office.show(cards[0])["used_seconds"] == 120
    numbers = database.query(
        "SELECT login_number FROM session JOIN card ON card.id = session.card_id"
        " WHERE card.serial = %s AND used_seconds = 120",
        [cards[0].serial],
    )
    assert numbers == [{"login_number": 1}]
    # A server that starts now has never known the old key.
    stack.freeradius.stop()
    stack.start_freeradius()
    assert radius.login(cards[1].serial, cards[1].pin).is_accept
