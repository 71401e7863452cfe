"""The accounting queue: when a packet goes there, what is written, and that nothing is answered that was not written."""

import fcntl

import pytest

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


def test_queued_accounting_is_written_and_answered_without_python(queued, tmp_path):
    # The module would not charge it.
    assert queued.report("fail", attributes={"Event-Timestamp": 1700000000, "Class": [b"\x01", b"\x02"]}).is_acknowledged
    record = queue(tmp_path)
    first, *lines = record.splitlines()
    assert first.isdecimal()
    for line in (f"Packet-Src-IP-Address = {NAS}", 'User-Name = "fail"', "Acct-Status-Type = Interim-Update",
                 "Acct-Session-Time = 300", "Class = 0x01", "Class = 0x02",
                 f'Tmp-String-0 = "{NAS}"', "Tmp-Integer-0 = 1700000000", f"Timestamp = {first}"):
        assert f"\t{line}" in lines
    assert lines[-1] == ""


def test_the_queue_is_for_nobody_else_to_read(queued, tmp_path):
    assert queued.report("good").is_acknowledged
    assert (tmp_path / "spool" / "queue").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o750


def test_a_text_in_a_record_cannot_end_it(queued, tmp_path):
    assert queued.report('a"\\b').is_acknowledged
    assert '\tUser-Name = "a\\"\\\\b"\n' in queue(tmp_path)


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
    found = [line.strip() for line in "".join(taken).splitlines() if "User-Name" in line]
    assert found == [f'User-Name = "card-{number}"' for number in range(60)]


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
        assert f'User-Name = "{answer}"' in queue(tmp_path)


def test_what_python_cannot_read_never_comes_into_the_queue(queued, tmp_path):
    assert queued.report(b"caf\xe9").is_acknowledged
    assert queue(tmp_path) == ""
    assert r'User-Name = "caf\351"' in (tmp_path / "spool" / "quarantine").read_text()


def test_two_servers_share_the_work():
    """Where one Python instance must not keep logins waiting for accounting."""
    with Host("decent", serve="auth") as logins, Host("decent", serve="acct") as reports:
        assert logins.login("card").is_accept
        assert reports.report("card").is_acknowledged
        assert logins.report("card", timeout_seconds=SILENCE_SECONDS) is None
        assert reports.login("card", timeout_seconds=SILENCE_SECONDS) is None
