"""The accounting queue: when a packet goes there, what is written, and that nothing is answered that was not written."""

import fcntl
import time

import pytest

from freeradius_module import queue_record
from tests.host import NAS, SILENCE_SECONDS, Host


@pytest.fixture
def queued(tmp_path):
    with Host("accounting_values", accounting="queued", queue=str(tmp_path / "queue")) as host:
        yield host


@pytest.fixture
def queueing(tmp_path):
    with Host("accounting_values", queue=str(tmp_path / "queue")) as host:
        yield host


def queue(tmp_path) -> str:
    path = tmp_path / "queue" / "queue"
    return path.read_text() if path.exists() else ""


def quarantine(tmp_path) -> str:
    path = tmp_path / "queue" / "quarantine"
    return path.read_text() if path.exists() else ""


def records(text: str) -> list[dict[str, str]]:
    return [dict(queue_record.parse(line).pairs) for line in text.splitlines()]


def test_queued_accounting_is_written_and_answered_without_python(queued, tmp_path):
    # The module would not charge it.
    classes = [b"another server's", b"prepaid:1", b"prepaid:2"]
    assert queued.report("fail", attributes={"Event-Timestamp": 1700000000, "Class": classes}).is_acknowledged
    record = queue_record.parse(queue(tmp_path).removesuffix("\n"))
    assert abs(record.received_at - time.time()) < 60
    for pair in (
        ("Tmp-String-0", NAS),
        ("User-Name", "fail"),
        ("Acct-Status-Type", "Interim-Update"),
        ("Acct-Session-Time", "300"),
    ):
        assert pair in record.pairs
    # The charger finds the product's among them, as the module does in a packet that is charged directly.
    assert [value for name, value in record.pairs if name == "Class"] == ["0x" + one.hex() for one in classes]


def test_a_record_has_all_that_its_charging_asks_for(queued, tmp_path):
    sent = {
        "Acct-Input-Octets": 1,
        "Acct-Input-Gigawords": 2,
        "Acct-Output-Octets": 3,
        "Acct-Output-Gigawords": 4,
        "Acct-Delay-Time": 5,
        "Acct-Terminate-Cause": "User-Request",
        "Calling-Station-Id": "a=b & c",
        "Framed-IP-Address": "192.0.2.9",
        "Framed-IPv6-Address": "2001:db8::9",
        "Framed-IPv6-Prefix": "2001:db8:1::/64",
        "Delegated-IPv6-Prefix": "2001:db8:2::/56",
    }
    assert queued.report("good", attributes=sent).is_acknowledged
    (record,) = records(queue(tmp_path))
    assert {name: record.get(name) for name in sent} == {name: str(value) for name, value in sent.items()}


OURS = b"prepaid:" + b"1" * 70
# What makes a record long: octets that have to be quoted, others' Class, IPv6.
LONGEST = {
    "Class": [b"y" * 250] * 5 + [OURS, OURS],
    "Calling-Station-Id": "&" * 253,
    "Framed-IPv6-Address": "2001:db8:1111:2222:3333:4444:5555:6666",
    "Framed-IPv6-Prefix": "2001:db8:1111:2222:3333:4444:5555:0/112",
    "Delegated-IPv6-Prefix": "2001:db8:1111:2222:3333:4444::/96",
    "Framed-IP-Address": "255.255.255.255",
    "Acct-Terminate-Cause": "Admin-Reset",
    **dict.fromkeys(
        ("Acct-Input-Octets", "Acct-Input-Gigawords", "Acct-Output-Octets", "Acct-Output-Gigawords", "Acct-Delay-Time"),
        4294967295,
    ),
}


@pytest.mark.parametrize("session_id", ["x" * 253, "&" * 150], ids=["long", "quoted"])
def test_a_record_fills_half_a_page_and_has_our_class_however_much_came(queued, tmp_path, session_id):
    session = queued.nas.session("&" * 253, nas_ip=NAS, session_id=session_id)
    assert queued.nas.report(session, "Stop", seconds=4294967295, attributes=LONGEST).is_acknowledged
    text = queue(tmp_path)
    assert len(text) == 2048
    (record,) = records(text)
    # It is nobody's name any more, and tells who sent it.
    assert record["User-Name"] == "&" * 64 + "..."
    assert record["Acct-Session-Id"] == session_id
    assert record["Class"] == "0x" + OURS.hex()
    assert text.count("0x" + OURS.hex()) == 2
    assert record["Calling-Station-Id"] == "&" * 80
    assert record["Acct-Session-Time"] == "4294967295"
    assert records(quarantine(tmp_path)) == []


def test_a_record_that_does_not_fit_goes_to_the_quarantine_whole(queued, tmp_path):
    session = queued.nas.session("&" * 253, nas_ip=NAS, session_id="&" * 253)
    assert queued.nas.report(session, "Stop", seconds=4294967295, attributes=LONGEST).is_acknowledged
    assert queue(tmp_path) == ""
    text = quarantine(tmp_path)
    assert text.count("\n") == 1
    record = queue_record.parse(text.removesuffix("\n"))
    assert record.reason == "longer than a record of the queue can be"
    sent = {name: str(value) for name, value in LONGEST.items() if name not in ("Class", "Calling-Station-Id")}
    found = dict(record.pairs)
    assert {name: found[name] for name in sent} == sent
    assert (found["Acct-Session-Id"], found["Calling-Station-Id"]) == ("&" * 253, "&" * 80)


@pytest.mark.parametrize("status", ["Accounting-On", "Accounting-Off", "Stop"])
def test_a_restart_of_a_nas_is_written_with_what_tells_a_repetition(queued, tmp_path, status):
    session = queued.nas.session("", nas_ip=NAS)
    packet = queued.nas.build_report(session, status)
    for _ in range(2):
        assert queued.nas.send(packet, nas_ip=NAS).is_acknowledged
    found = [record.get("Tmp-String-2") for record in records(queue(tmp_path))]
    assert found == [None if status == "Stop" else "0x" + packet.authenticator.hex()] * 2


@pytest.mark.parametrize("status", ["Accounting-On", "Stop"])
def test_so_is_what_python_gets(status):
    with Host("seen") as host:
        packet = host.nas.build_report(host.nas.session("card", nas_ip=NAS), status)
        assert host.nas.send(packet, nas_ip=NAS).is_acknowledged
        assert (f"('Tmp-String-2', '0x{packet.authenticator.hex()}')" in host.log()) == (status == "Accounting-On")


@pytest.mark.parametrize("accounting", ["direct", "queued"])
def test_what_can_never_be_charged_is_answered_when_it_is_in_the_quarantine(tmp_path, accounting):
    with Host("accounting_values", accounting=accounting, queue=str(tmp_path / "queue")) as host:
        assert host.report("never").is_acknowledged
        if accounting == "direct":
            record = queue_record.parse(quarantine(tmp_path).removesuffix("\n"))
            assert (record.reason, dict(record.pairs)["User-Name"]) == ("no card & no \\xe9", "never")
            # Without a reason it is a fault of the module, and the packet is kept for later.
            assert host.report("notfound").is_acknowledged
        assert [record["User-Name"] for record in records(queue(tmp_path))] == [
            "notfound" if accounting == "direct" else "never"
        ]


def test_nor_is_it_answered_where_the_quarantine_cannot_be_written(queueing, tmp_path):
    (tmp_path / "queue").rename(tmp_path / "gone")
    (tmp_path / "queue").touch()
    assert queueing.report("never", timeout_seconds=SILENCE_SECONDS) is None


def test_the_queue_is_for_nobody_else_to_read(queued, tmp_path):
    assert queued.report("good").is_acknowledged
    assert (tmp_path / "queue" / "queue").stat().st_mode & 0o007 == 0
    assert (tmp_path / "queue").stat().st_mode & 0o777 == 0o750


def test_a_text_in_a_record_cannot_end_it(queued, tmp_path):
    texts = ['a"\\b', "a&Acct-Session-Time=0&", "%26Class=", "%{User-Password}"]
    for text in texts:
        assert queued.report(text).is_acknowledged
    found = records(queue(tmp_path))
    assert [(record["User-Name"], record["Acct-Session-Time"]) for record in found] == [(text, "300") for text in texts]


def test_without_a_place_to_write_nothing_is_answered(queued, tmp_path):
    queue_folder = tmp_path / "queue"
    queue_folder.rename(tmp_path / "gone")
    queue_folder.touch()
    assert queued.report("good", timeout_seconds=SILENCE_SECONDS) is None
    queue_folder.unlink()
    (tmp_path / "gone").rename(queue_folder)
    assert queued.report("good").is_acknowledged


def test_a_reader_takes_the_queue_over_and_nothing_is_lost(queued, tmp_path):
    """As the description in mods-available/prepaid_queue says, while packets keep coming."""
    path, taken = tmp_path / "queue" / "queue", []
    for number in range(60):
        assert queued.report(f"card-{number}").is_acknowledged
        if number % 7 == 0:
            work = path.rename(path.with_name(f"queue.{number}.work"))
            with work.open("r+") as file:
                fcntl.lockf(file, fcntl.LOCK_EX)
                taken.append(file.read())
                work.unlink()
    taken.append(queue(tmp_path))
    assert [record["User-Name"] for record in records("".join(taken))] == [f"card-{number}" for number in range(60)]


def test_a_queue_that_is_being_read_is_not_written_to(queued, tmp_path):
    assert queued.report("before").is_acknowledged
    path = tmp_path / "queue" / "queue"
    work = path.rename(path.with_name("queue.work"))
    with work.open("r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert queued.report("during").is_acknowledged
        assert "during" not in work.read_text()
    assert "during" in queue(tmp_path)


def test_what_cannot_be_charged_now_is_written_if_there_is_a_queue(queueing, tmp_path):
    assert queueing.report("good").is_acknowledged
    assert queue(tmp_path) == ""
    for answer in ("fail", "exception", "nothing", "reject"):
        assert queueing.report(answer).is_acknowledged
        assert records(queue(tmp_path))[-1]["User-Name"] == answer


def test_what_python_cannot_read_never_comes_into_the_queue(queued, tmp_path):
    assert queued.report(b"caf\xe9").is_acknowledged
    assert queued.report(b"a\nTmp-String-1=1&").is_acknowledged
    assert queue(tmp_path) == ""
    latin, line_break = records((tmp_path / "queue" / "quarantine").read_text())
    assert latin["User-Name"] == r"caf\xe9"
    assert line_break["User-Name"] == "a\nTmp-String-1=1&"
    assert line_break["Tmp-String-0"] == NAS


def test_two_servers_share_the_work():
    """Where one Python instance must not keep logins waiting for accounting."""
    with Host("decent", serve="auth") as logins, Host("decent", serve="acct") as reports:
        assert logins.login("card").is_accept
        assert reports.report("card").is_acknowledged
        assert logins.report("card", timeout_seconds=SILENCE_SECONDS) is None
        assert reports.login("card", timeout_seconds=SILENCE_SECONDS) is None
