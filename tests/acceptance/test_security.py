"""What docs/security.md promises and no other test shows."""

import os
import struct
from pathlib import Path

from pyrad import packet as codec

SILENCE_SECONDS = 2
CORE_LIMIT = "Max core file size"


def files_that_hold(folder: Path, needles: list[bytes]) -> list[tuple[str, bytes]]:
    """Every file below a folder in which one of these texts stands."""
    found = []
    for path in folder.rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        content = path.read_bytes()
        found += [(str(path), needle) for needle in needles if needle in content]
    return found


def test_a_pin_is_in_no_file_of_the_servers(office, stack, radius, tmp_path):
    """Canaries: cards that log in by every method, rightly and wrongly, are blocked, redeemed and simulated."""
    office.must("product", "add", "Canary", "--kind", "internet", "--time", "10h", "--sessions", 100)
    batch = office.json("generate", "--product", "Canary", "--count", 4, "--pin-length", 16)["batch"]
    office.must("partner", "add", "Kiosk of canaries")
    office.must("export", "--batch", batch, "--format", "csv", "--fields", "serial,pin", "--output", tmp_path / "cards.csv")
    _, *lines = (tmp_path / "cards.csv").read_text().split()
    cards = [line.lstrip("\ufeff").split(",") for line in lines]
    office.must("deliver", "--batch", batch, "--partner", "Kiosk of canaries")
    wrong = "8888877777666669"
    for method in ("pap", "chap", "mschap", "mschap2"):
        for serial, pin in cards:
            assert radius.login(serial, pin, method=method).is_accept
            assert radius.login(serial, wrong, method=method).is_reject
    session = radius.session(cards[0][0], radius.login(*cards[0]))
    radius.stop(session, seconds=10)
    office.must("simulate", cards[0][0])
    office.must("block", cards[1][0], "--reason", "canary")
    assert radius.login(*cards[1]).is_reject
    # Everything that MariaDB has in memory is in its files, or would be after its next rest.
    stack.mariadb.stop()
    stack.mariadb.start()
    needles = [pin.encode() for _, pin in cards] + [wrong.encode()]
    assert files_that_hold(stack.folder, needles) == []
    assert files_that_hold(stack.mariadb.data_folder, needles) == []


def test_what_is_written_down_would_be_seen(stack, shop, tmp_path):
    """The search of the test above finds what is there: a serial, which is no secret, is in the table's file and the log."""
    card, = shop.sell(1)
    stack.mariadb.stop()
    stack.mariadb.start()
    assert files_that_hold(stack.mariadb.data_folder, [card.serial.encode()]) != []


def test_no_core_is_written_when_radiusd_dies(stack):
    """A core would hold keys and PINs; FreeRADIUS forbids it to itself (allow_core_dumps = no)."""
    limits = Path(f"/proc/{stack.freeradius.daemon.pid()}/limits").read_text()
    line, = [line for line in limits.splitlines() if line.startswith(CORE_LIMIT)]
    assert line.split()[4] == "0"


def test_a_login_without_message_authenticator_has_no_answer(shop, radius):
    card, = shop.sell(1)
    assert radius.login(card.serial, card.pin, message_authenticator=False, timeout_seconds=SILENCE_SECONDS) is None
    assert shop.sessions(card) == []
    assert radius.login(card.serial, card.pin).is_accept


def test_a_login_with_a_wrong_message_authenticator_has_no_answer(shop, radius):
    """One octet of it, and one octet of what it signs."""
    card, = shop.sell(1)
    request = radius._packet(codec.AuthPacket, codec.AccessRequest)
    request.authenticator = request.CreateAuthenticator()
    radius._set(request, {"User-Name": card.serial, "NAS-IP-Address": "127.0.0.1"})
    request["User-Password"] = request.PwCrypt(card.pin)
    request.add_message_authenticator()
    octets = request.RequestPacket()
    place = octets.index(struct.pack("BB", 80, 18)) + 2
    for at in (place, 20 + 2):
        changed = bytearray(octets)
        changed[at] ^= 1
        assert radius.send_bytes(bytes(changed), radius.auth_port, timeout_seconds=SILENCE_SECONDS) is None
    assert shop.sessions(card) == [] and shop.refusals(card) == {}
    assert radius.send_bytes(octets, radius.auth_port)[0] == codec.AccessAccept


def test_accounting_with_a_wrong_secret_has_no_answer_and_charges_nothing(shop, radius):
    card, = shop.sell(1)
    session = radius.session(card.serial, radius.login(card.serial, card.pin))
    true_secret, radius.secret = radius.secret, os.urandom(8)
    assert radius.stop(session, seconds=60, timeout_seconds=SILENCE_SECONDS) is None
    radius.secret = true_secret
    assert shop.used(card) == (0, 0, 0)
    assert radius.stop(session, seconds=60).is_acknowledged
    assert shop.used(card) == (60, 0, 0)


def test_guesses_do_not_keep_the_owner_out(shop, radius):
    """Two hundred guesses from forty devices: none gets in, and the owner does, before, during and after."""
    card, = shop.sell(1, credit_octets=10**12, max_sessions=20)
    for guess in range(200):
        device = f"06-00-00-00-00-{guess % 40:02X}"
        assert radius.login(card.serial, f"{guess:010d}", calling_station_id=device).is_reject
        if guess % 50 == 0:
            assert radius.login(card.serial, card.pin).is_accept
    assert radius.login(card.serial, card.pin).is_accept
