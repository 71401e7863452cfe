"""batch receive: what the print shop spoiled or lost is void, under a numbered protocol."""

import pytest


@pytest.fixture
def cards(office):
    return office.stock(5, "--time", "10m")


def missing(tmp_path, *lines):
    path = tmp_path / "missing.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_missing_cards_are_void_with_a_note(office, cards, tmp_path):
    first, second, third, *_ = cards
    path = missing(tmp_path, "Serial;remark", f"{third.serial};torn", f" {first.serial[:4]}-{first.serial[4:]} ", "")
    printed = office.json("batch", "receive", cards[0].batch, "--missing", path, "--reason", "List 17", "--yes")
    assert (printed["voided"], printed["received"], printed["first_serial"], printed["last_serial"]) == (
        2,
        3,
        first.serial,
        third.serial,
    )
    note = office.json("note", "show", printed["note"])
    assert (note["kind"], note["count"], note["partner"], note["reason"]) == ("void", 2, None, "List 17")
    last = office.track(first)[-1]
    assert (last["what"], last["reason"], last["note"]) == ("deleted", "List 17", printed["note"])
    assert office.show(second)["status"] == "created"
    event = office.json("batch", "show", first.batch)["events"][-1]
    assert (event["what"], event["count"], event["reason"]) == ("received", 3, "List 17")


def test_an_empty_list_says_that_all_have_come(office, cards, tmp_path):
    printed = office.json("batch", "receive", cards[0].batch, "--missing", missing(tmp_path))
    assert (printed["voided"], printed["received"], printed["note"]) == (0, 5, None)
    assert office.json("note", "list") == []
    assert office.json("batch", "show", cards[0].batch)["events"][-1]["what"] == "received"


def test_wrong_lines_are_all_named_and_nothing_is_void(office, cards, tmp_path):
    (other,) = office.stock(1, "--time", "10m")
    office.must("deliver", "--partner", office.partner(), "--range", f"{cards[1].serial}-{cards[1].serial}")
    office.must("delete", cards[2].serial, "--yes", "--reason", "Misprinted")
    path = missing(tmp_path, cards[0].serial, other.serial, cards[1].serial, cards[2].serial, "NOWHERE1", "\x07")
    result = office.run("batch", "receive", cards[0].batch, "--missing", path, "--yes")
    assert result.exit_status == 1
    for line, word in ((2, f"batch {other.batch}"), (3, "delivered"), (4, "deleted"), (5, "NOWHERE1"), (6, "no card")):
        assert any(f"line {line}:" in text and word in text for text in result.stderr.splitlines()), result.stderr
    assert office.show(cards[0])["status"] == "created" and office.json("note", "list", "--kind", "void") == []


def test_a_dry_run_and_a_no_change_nothing(office, cards, tmp_path):
    path = missing(tmp_path, cards[0].serial)
    printed = office.json("batch", "receive", cards[0].batch, "--missing", path, "--dry-run")
    assert (printed["voided"], printed["note"], printed["dry_run"]) == (1, None, True)
    result = office.run("batch", "receive", cards[0].batch, "--missing", path, stdin="n\n")
    assert result.exit_status == 1 and "Delete 1 of the 5 cards" in result.stderr
    assert office.show(cards[0])["status"] == "created" and office.json("note", "list") == []
    events = [event["what"] for event in office.json("batch", "show", cards[0].batch)["events"]]
    assert events == ["generated", "pins_read", "exported"]


def test_the_list_may_come_by_a_pipe(office, cards):
    printed = office.json(
        "batch", "receive", cards[0].batch, "--missing", "-", "--yes", stdin=f"{cards[4].serial}\n" * 2
    )
    assert printed["voided"] == 1


def test_an_unknown_batch_or_file(office, cards, tmp_path):
    assert office.run("batch", "receive", 999999, "--missing", missing(tmp_path), "--yes").exit_status == 1
    assert office.run("batch", "receive", cards[0].batch, "--missing", tmp_path / "none").exit_status == 2
    assert office.run("batch", "receive", cards[0].batch).exit_status == 2


def test_two_at_once_void_once(office, cards, tmp_path):
    path = missing(tmp_path, cards[0].serial)
    runs = [office.spawn("batch", "receive", cards[0].batch, "--missing", path, "--yes") for _ in range(3)]
    assert sorted(run.wait() for run in runs) == [0, 1, 1]
    assert len(office.json("note", "list", "--kind", "void")) == 1
