"""The accounting queue: when a packet goes there, what is written, and that nothing is answered that was not written."""

import fcntl
import time

import pytest

from freeradius_module import queue_record
from tests.host import NAS, SILENCE_SECONDS, Host


@pytest.fixture
def queued(tmp_path):
    with Host("accounting_values", accounting="queued", spool=str(tmp_path / "spool")) as host:
        yield host


@pytest.fixture
def spooling(tmp_path):
    with Host("accounting_values", spool=str(tmp_path / "spool")) as host:
        yield host


def queue(tmp_path) -> str:
    path = tmp_path / "spool" / "queue"
    return path.read_text() if path.exists() else ""


def records(text: str) -> list[dict[str, str]]:
    return [dict(queue_record.parse(line).pairs) for line in text.splitlines()]


def test_queued_accounting_is_written_and_answered_without_python(queued, tmp_path):
    # The module would not charge it.
    assert queued.report("fail", attributes={"Event-Timestamp": 1700000000, "Class": [b"\x01", b"\x02"]}).is_acknowledged
    record = queue_record.parse(queue(tmp_path).removesuffix("\n"))
    assert abs(record.received_at - time.time()) < 60
    for pair in (("Tmp-String-0", NAS), ("User-Name", "fail"), ("Acct-Status-Type", "Interim-Update"),
                 ("Acct-Session-Time", "300"), ("Class", "0x01"), ("Class", "0x02")):
        assert pair in record.pairs


def test_a_record_has_all_that_its_charging_asks_for(queued, tmp_path):
    sent = {
        "Acct-Input-Octets": 1, "Acct-Input-Gigawords": 2, "Acct-Output-Octets": 3, "Acct-Output-Gigawords": 4,
        "Acct-Delay-Time": 5, "Acct-Terminate-Cause": "User-Request", "Calling-Station-Id": "a=b & c",
        "Framed-IP-Address": "192.0.2.9", "Framed-IPv6-Address": "2001:db8::9", "Framed-IPv6-Prefix": "2001:db8:1::/64",
        "Delegated-IPv6-Prefix": "2001:db8:2::/56",
    }
    assert queued.report("good", attributes=sent).is_acknowledged
    (record,) = records(queue(tmp_path))
    assert {name: record.get(name) for name in sent} == {name: str(value) for name, value in sent.items()}


def test_a_record_fills_half_a_page_however_much_came(queued, tmp_path):
    for text, classes in (("x", []), ("&" * 250, [b"y" * 250] * 6)):
        assert queued.report(text, attributes={"Class": classes}).is_acknowledged
    assert {len(line) for line in queue(tmp_path).splitlines()} == {2047}
    assert [record["User-Name"] for record in records(queue(tmp_path))] == ["x", "&" * 250]


def test_the_queue_is_for_nobody_else_to_read(queued, tmp_path):
    assert queued.report("good").is_acknowledged
    assert (tmp_path / "spool" / "queue").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o750


def test_a_text_in_a_record_cannot_end_it(queued, tmp_path):
    texts = ['a"\\b', "a&Acct-Session-Time=0&", "%26Class=", "%{User-Password}"]
    for text in texts:
        assert queued.report(text).is_acknowledged
    found = records(queue(tmp_path))
    assert [(record["User-Name"], record["Acct-Session-Time"]) for record in found] == [(text, "300") for text in texts]


def test_without_a_place_to_write_nothing_is_answered(queued, tmp_path):
    spool = tmp_path / "spool"
    spool.rename(tmp_path / "gone")
    spool.touch()
    assert queued.report("good", timeout_seconds=SILENCE_SECONDS) is None
    spool.unlink()
    (tmp_path / "gone").rename(spool)
    assert queued.report("good").is_acknowledged


def test_a_reader_takes_the_queue_over_and_nothing_is_lost(queued, tmp_path):
    """As the description in mods-available/prepaid_spool says, while packets keep coming."""
    path, taken = tmp_path / "spool" / "queue", []
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
    path = tmp_path / "spool" / "queue"
    work = path.rename(path.with_name("queue.work"))
    with work.open("r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert queued.report("during").is_acknowledged
        assert "during" not in work.read_text()
    assert "during" in queue(tmp_path)


def test_what_cannot_be_charged_now_is_written_if_there_is_a_spool(spooling, tmp_path):
    assert spooling.report("good").is_acknowledged
    assert queue(tmp_path) == ""
    for answer in ("fail", "exception", "nothing", "reject"):
        assert spooling.report(answer).is_acknowledged
        assert records(queue(tmp_path))[-1]["User-Name"] == answer


def test_what_python_cannot_read_never_comes_into_the_queue(queued, tmp_path):
    assert queued.report(b"caf\xe9").is_acknowledged
    assert queued.report(b"a\nTmp-String-1=1&").is_acknowledged
    assert queue(tmp_path) == ""
    latin, line_break = records((tmp_path / "spool" / "quarantine").read_text())
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
