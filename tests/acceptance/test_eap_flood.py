"""Half-open EAP handshakes: so many and no more are kept, and other logins go on."""

import re
from pathlib import Path

from tests import ttls
from tests.host import NAS, Host

EAP = Path(__file__).resolve().parents[2] / "raddb-config" / "mods-available" / "prepaid_eap"
# Of a server with room for few; the shipped number is what it says, see the first test.
ROOM = 40


def setting(name: str) -> int:
    (value,) = re.findall(rf"^\t{name} = (\d+)$", EAP.read_text(), re.M)
    return int(value)


def memory_bytes(host: Host) -> int:
    status = Path(f"/proc/{host.server.daemon.pid()}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


def half_open(host: Host, number: int):
    """A handshake of another device that stops when the server has shown its certificate."""
    device = f"06-00-00-00-{number >> 8:02X}-{number & 255:02X}"
    return ttls.begin(host.nas, nas_ip=NAS, calling_station_id=device)


def test_the_shipped_bounds_hold_a_flood_within_the_units_limit():
    """165 kB each at most, measured; MemoryMax of the unit that several FreeRADIUS are started with is 1 GB."""
    assert setting("max_sessions") * 165_000 < 0.4 * 2**30
    assert setting("timer_expire") <= 30
    units = EAP.parents[1] / "systemd"
    limited = {unit.name for unit in units.iterdir() if re.search(r"^MemoryMax=\d+M?G?$", unit.read_text(), re.M)}
    assert limited == {
        "freeradius-memory.conf",
        *(
            f"prepaid-{name}.service"
            for name in ("archive", "audit", "charge", "enforce", "engine", "metrics", "purge", "reconcile")
        ),
    }


def test_beyond_the_bound_a_handshake_is_refused_and_others_are_served():
    host = Host("decent")
    eap = host.server.raddb / "mods-available/prepaid_eap"
    eap.write_text(eap.read_text().replace(f"max_sessions = {setting('max_sessions')}", f"max_sessions = {ROOM}"))
    with host:
        assert ttls.log_in(host.nas, "card", "0123456789", nas_ip=NAS).is_accept
        begun = [half_open(host, number) for number in range(ROOM)]
        assert all(reply is not None and not reply.is_reject for reply in begun)
        before = memory_bytes(host)
        refused = []
        for number in range(ROOM, 4 * ROOM):
            try:
                reply = half_open(host, number)
            except KeyError:
                # Refused before there is a word of TLS in the answer.
                reply = None
            refused.append(reply is None or reply.is_reject)
        assert all(refused)
        assert memory_bytes(host) - before < ROOM * 165_000
        assert host.login("card").is_accept
