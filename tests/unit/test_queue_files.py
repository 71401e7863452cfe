"""The queue's directory: files are taken over in order, read in blocks, by one charger at a time, and never lost."""

import os
import subprocess
import sys
import tracemalloc

import pytest

from admin.queue.files import Queue
from admin.shell import errors
from freeradius_module.queue_record import Record, Unreadable
from tests.queue_writer import QueueWriter, another_charger, report


@pytest.fixture
def queue_folder(tmp_path):
    return Queue(tmp_path)


@pytest.fixture
def queue(tmp_path):
    return QueueWriter(tmp_path)


def serials(file, size=500):
    return [dict(part.pairs)["User-Name"] for group in file.groups(size) for part in group.parts]


def test_an_empty_queue_has_nothing_to_charge(queue_folder):
    queue_folder.take_over()
    assert queue_folder.work_files() == []
    assert queue_folder.waiting() == (0, 0, None)


def test_a_queue_that_is_not_there_says_what_to_do(tmp_path):
    with pytest.raises(errors.Refused, match="raddb install"):
        Queue(tmp_path / "gone")


def test_files_are_charged_in_the_order_in_which_they_were_taken_over(queue_folder, queue):
    for number in range(12):
        queue.write(report(str(number), "Start"))
        queue_folder.take_over()
    assert [serials(queue_folder.claim(path)) for path in queue_folder.work_files()] == [
        [str(number)] for number in range(12)
    ]


def test_a_file_is_one_chargers_alone_until_that_ends(queue_folder, queue):
    queue.write(report("4000", "Start"))
    queue_folder.take_over()
    (path,) = queue_folder.work_files()
    with another_charger(path):
        assert queue_folder.claim(path) is None
    assert serials(queue_folder.claim(path)) == ["4000"]


def test_what_freeradius_writes_meanwhile_is_not_touched(queue_folder, queue):
    queue.write(report("1", "Start"))
    queue_folder.take_over()
    queue.write(report("2", "Start"))
    (path,) = queue_folder.work_files()
    with queue_folder.claim(path) as file:
        assert serials(file) == ["1"]
        file.remove()
    assert queue_folder.work_files() == []
    queue_folder.take_over()
    assert serials(queue_folder.claim(queue_folder.work_files()[0])) == ["2"]


def test_the_next_charger_begins_where_the_killed_one_stopped(queue_folder, queue):
    queue.write(*(report(str(number), "Start") for number in range(1200)))
    queue_folder.take_over()
    (path,) = queue_folder.work_files()
    with queue_folder.claim(path) as file:
        first = next(file.groups(500))
        file.note_charged(first.end_octets)
    assert queue_folder.waiting().records == 700
    assert serials(queue_folder.claim(path))[0] == "500"


def test_groups_end_where_a_record_ends(queue_folder, queue):
    queue.write(*(report(str(number), "Start") for number in range(1001)))
    queue_folder.take_over()
    with queue_folder.claim(queue_folder.work_files()[0]) as file:
        assert [len(group.parts) for group in file.groups(500)] == [500, 500, 1]
        ends = [group.end_octets for group in file.groups(500)]
    assert ends[-1] == queue_folder.work_files()[0].stat().st_size


def test_a_file_of_any_size_is_read_in_pieces(queue_folder, queue):
    one = report("4000", "Interim-Update", seconds=300)
    queue.write(one * 20_000)
    queue_folder.take_over()
    with queue_folder.claim(queue_folder.work_files()[0]) as file:
        tracemalloc.start()
        count = sum(len(group.parts) for group in file.groups(500))
        peak_octets = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == 20_000
    assert peak_octets < 4_000_000 < len(one) * 20_000


def test_megabytes_of_zeros_after_a_power_failure_hide_no_record(queue_folder, queue):
    queue.write(report("1", "Stop"), "\0" * 3_000_001, report("2", "Stop"))
    queue_folder.take_over()
    with queue_folder.claim(queue_folder.work_files()[0]) as file:
        parts = [part for group in file.groups(500) for part in group.parts]
    assert [dict(part.pairs)["User-Name"] for part in parts if isinstance(part, Record)] == ["1", "2"]


def test_the_last_record_was_not_answered_if_its_empty_line_is_missing(queue_folder, queue):
    queue.write(report("1", "Stop"), report("2", "Stop").removesuffix("\n"))
    queue_folder.take_over()
    with queue_folder.claim(queue_folder.work_files()[0]) as file:
        first, last = (part for group in file.groups(500) for part in group.parts)
    assert isinstance(first, Record)
    assert isinstance(last, Unreadable)


def test_what_is_set_aside_can_be_read_again_with_its_reason(queue_folder):
    text = report("4000", "Stop", seconds=60).strip("\n")
    queue_folder.set_aside([Unreadable(text, 'no "card"')])
    queue_folder.set_aside([Unreadable("\0\1", "garbage")])
    record, garbage = queue_folder.quarantined()
    assert (record.reason, dict(record.pairs)["Acct-Session-Time"]) == ('no "card"', "60")
    assert isinstance(garbage, Unreadable)


def test_what_is_set_aside_again_has_one_reason(queue_folder):
    queue_folder.set_aside([Unreadable(report("4000", "Stop").strip("\n"), "first")])
    (record,) = queue_folder.quarantined()
    queue_folder.set_aside([Unreadable(record.text, "second")])
    assert [each.reason for each in queue_folder.quarantined()] == ["first", "second"]
    assert list(queue_folder.quarantined())[1].text.count("Quarantine-Reason") == 1


def test_only_its_owner_can_read_the_quarantine(queue_folder, tmp_path):
    queue_folder.set_aside([Unreadable("x", "y")])
    assert (tmp_path / "quarantine").stat().st_mode & 0o777 == 0o600


def test_how_much_waits_and_since_when(queue_folder, queue):
    queue.write(report("1", "Start", at=1764000000.5), report("2", "Start", at=1764000007.5))
    queue_folder.take_over()
    queue.write(report("3", "Start", at=1764000009.5))
    waiting = queue_folder.waiting()
    assert (waiting.records, waiting.oldest_at) == (3, 1764000000.5)
    assert waiting.octets == sum(path.stat().st_size for path in queue.folder.glob("queue*"))


def test_a_charger_is_seen_while_it_runs(queue_folder):
    assert not queue_folder.is_charged()
    with queue_folder.charging():
        # A process does not see its own lock.
        seen = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys, pathlib; from admin.queue.files import Queue; print(Queue(pathlib.Path(sys.argv[1])).is_charged())",
                str(queue_folder.folder),
            ],
            capture_output=True,
            text=True,
            cwd=os.getcwd(),
            check=True,
        )
        assert seen.stdout == "True\n"
    assert not queue_folder.is_charged()
