"""deliver, return, note: cards change hands, all of them or none."""

from datetime import UTC, datetime, timedelta

import pytest

from freeradius_module.rules import serial
from tests.waiting import wait_for_locks


@pytest.fixture
def partner(office):
    return office.partner()


def statuses(office, cards) -> list[str]:
    rows = office.json("list", "--batch", cards[0].batch)
    return [row["status"] for row in rows]


def test_a_delivered_batch_is_with_the_partner(office, partner):
    cards = office.stock(3, "--time", "10m")
    printed = office.json("deliver", "--partner", partner, "--batch", cards[0].batch)
    assert printed == {
        "note": printed["note"],
        "partner": partner,
        "count": 3,
        "first_serial": cards[0].serial,
        "last_serial": cards[2].serial,
    }
    assert {
        (row["status"], row["partner"], row["delivery_note"]) for row in office.json("list", "--batch", cards[0].batch)
    } == {("delivered", partner, printed["note"])}


def test_a_range_has_both_its_ends_and_may_be_typed_with_spaces(office, partner):
    cards = office.stock(10, "--time", "10m")
    written = f" {cards[2].serial[:4]} {cards[2].serial[4:]} - {cards[5].serial}"
    assert office.json("deliver", "--partner", partner, "--range", written)["count"] == 4
    assert statuses(office, cards) == ["created"] * 2 + ["delivered"] * 4 + ["created"] * 4


def test_nothing_changes_when_one_card_of_a_range_is_sold_already(office, partner, database):
    cards = office.stock(10, "--time", "10m")
    office.must("deliver", "--partner", partner, "--range", f"{cards[4].serial}-{cards[4].serial}")
    notes = office.json("note", "list")
    for selection in (("--batch", cards[0].batch), ("--range", f"{cards[0].serial}-{cards[9].serial}")):
        result = office.run("deliver", "--partner", office.partner(), *selection)
        assert result.exit_status == 1
        assert cards[4].serial in result.stderr
        # The message names the ranges that can be delivered.
        assert f"--range {cards[0].serial}-{cards[3].serial}" in result.stderr
        assert f"--range {cards[5].serial}-{cards[9].serial}" in result.stderr
    assert statuses(office, cards) == ["created"] * 4 + ["delivered"] + ["created"] * 5
    assert office.json("note", "list") == notes


def test_a_range_that_crosses_batches_is_refused_with_its_parts(office, partner):
    one, other = office.stock(3, "--time", "10m"), office.stock(3, "--time", "10m")
    result = office.run("deliver", "--partner", partner, "--range", f"{one[1].serial}-{other[1].serial}")
    assert result.exit_status == 1
    assert f"--range {one[1].serial}-{one[2].serial}" in result.stderr
    assert f"--range {other[0].serial}-{other[1].serial}" in result.stderr
    assert set(statuses(office, one) + statuses(office, other)) == {"created"}


def test_a_range_with_a_deleted_card_has_a_gap(office, partner):
    cards = office.stock(3, "--time", "10m")
    office.must("delete", cards[1].serial, "--yes", "--reason", "Misprinted")
    result = office.run("deliver", "--partner", partner, "--range", f"{cards[0].serial}-{cards[2].serial}")
    assert result.exit_status == 1 and cards[1].serial in result.stderr
    assert office.json("deliver", "--partner", partner, "--batch", cards[0].batch)["count"] == 2


@pytest.mark.parametrize("word", ["123", "A-B-C", "", "-"])
def test_a_text_that_is_not_a_range_is_wrong_usage(office, partner, word):
    assert office.run("deliver", "--partner", partner, "--range", word).exit_status == 2


def test_a_backward_range_is_refused_with_the_right_one(office, partner):
    cards = office.stock(2, "--time", "10m")
    result = office.run("deliver", "--partner", partner, "--range", f"{cards[1].serial}-{cards[0].serial}")
    assert result.exit_status == 1 and f"{cards[0].serial}-{cards[1].serial}" in result.stderr


def test_unknown_names_are_named(office, partner):
    cards = office.stock(1, "--time", "10m")
    for arguments, word in (
        (("--partner", "Nobody", "--batch", cards[0].batch), "Nobody"),
        (("--partner", partner, "--batch", 999999), "999999"),
        (("--partner", partner, "--range", f"{cards[0].serial}-NOWHERE1"), "NOWHERE1"),
    ):
        for verb in ("deliver", "return"):
            result = office.run(verb, *arguments)
            assert result.exit_status == 1 and word in result.stderr
    assert statuses(office, cards) == ["created"]


def test_either_a_batch_or_a_range(office, partner):
    assert office.run("deliver", "--partner", partner).exit_status == 2
    assert office.run("deliver", "--partner", partner, "--batch", 1, "--range", "A1-A2").exit_status == 2


def test_a_dry_run_changes_nothing_and_takes_no_note_number(office, partner):
    cards = office.stock(3, "--time", "10m")
    printed = office.json("deliver", "--partner", partner, "--batch", cards[0].batch, "--dry-run")
    assert (printed["note"], printed["count"]) == (None, 3)
    assert statuses(office, cards) == ["created"] * 3
    first = office.json("deliver", "--partner", partner, "--batch", cards[0].batch)["note"]
    assert office.json("return", "--partner", partner, "--batch", cards[0].batch, "--dry-run")["count"] == 3
    assert statuses(office, cards) == ["delivered"] * 3
    assert office.json("return", "--partner", partner, "--batch", cards[0].batch)["note"] == first + 1


def test_nothing_is_delivered_after_the_last_day_of_sale(office, partner):
    day = datetime.now(UTC).date()
    late = office.stock(1, "--time", "10m", "--sell-by", day - timedelta(days=1))
    result = office.run("deliver", "--partner", partner, "--batch", late[0].batch)
    assert result.exit_status == 1 and str(day - timedelta(days=1)) in result.stderr
    assert statuses(office, late) == ["created"]
    today = office.stock(1, "--time", "10m", "--sell-by", day)
    office.must("deliver", "--partner", partner, "--batch", today[0].batch)


def test_cards_past_their_validity_or_off_sale_are_not_delivered(office, partner):
    over = office.stock(1, "--time", "10m", "--valid-until", "2020-01-31")
    assert office.run("deliver", "--partner", partner, "--batch", over[0].batch).exit_status == 1
    retired = office.stock(1, "--time", "10m")
    office.must("product", "retire", retired[0].product)
    assert office.run("deliver", "--partner", partner, "--batch", retired[0].batch).exit_status == 1


# --- Return -----------------------------------------------------------------------------------------------


def test_returned_cards_are_in_stock_again(office, partner):
    cards = office.sell(3, "--time", "10m", partner=partner)
    printed = office.json("return", "--partner", partner, "--range", f"{cards[0].serial}-{cards[1].serial}")
    assert (printed["count"], printed["partner"]) == (2, partner)
    assert statuses(office, cards) == ["created", "created", "delivered"]
    assert office.show(cards[0])["partner"] is None


def test_used_cards_do_not_come_back_and_none_of_their_batch(office, partner, database):
    cards = office.sell(3, "--time", "10m", partner=partner)
    database.execute(
        "UPDATE card SET status = 'in_use', first_login_at = UTC_TIMESTAMP(3) WHERE serial = %s", [cards[1].serial]
    )
    result = office.run("return", "--partner", partner, "--batch", cards[0].batch)
    assert result.exit_status == 1 and cards[1].serial in result.stderr
    assert f"--range {cards[2].serial}-{cards[2].serial}" in result.stderr
    assert statuses(office, cards) == ["delivered", "in_use", "delivered"]


def test_a_partner_returns_its_own_cards_only(office, partner):
    cards = office.sell(3, "--time", "10m")
    for selection in (("--batch", cards[0].batch), ("--range", f"{cards[0].serial}-{cards[2].serial}")):
        result = office.run("return", "--partner", partner, *selection)
        assert result.exit_status == 1 and partner in result.stderr
    assert statuses(office, cards) == ["delivered"] * 3


def test_a_batch_of_two_partners_comes_back_from_each(office):
    cards = office.stock(4, "--time", "10m")
    one, other = office.partner(), office.partner()
    office.must("deliver", "--partner", one, "--range", f"{cards[0].serial}-{cards[1].serial}")
    office.must("deliver", "--partner", other, "--range", f"{cards[2].serial}-{cards[3].serial}")
    assert office.json("return", "--partner", other, "--batch", cards[0].batch)["first_serial"] == cards[2].serial
    assert statuses(office, cards) == ["delivered"] * 2 + ["created"] * 2


# --- Notes ------------------------------------------------------------------------------------------------


def test_price_and_commission_are_frozen_on_the_note(office):
    office.must("partner", "add", "Banca", "--commission", "12.5")
    product = office.product("--time", "10m", "--price", "10.00", "--commission", "5")
    cards = office.stock(4, product=product)
    first = office.json("deliver", "--partner", "Banca", "--range", f"{cards[0].serial}-{cards[1].serial}")["note"]
    office.must("product", "edit", product, "--price", "12.00")
    office.must("partner", "edit", "Banca", "--commission", "none")
    second = office.json("deliver", "--partner", "Banca", "--range", f"{cards[2].serial}-{cards[3].serial}")["note"]

    def prices(note):
        return [
            (row["count"], row["price_cents"], row["commission_basis_points"])
            for row in office.json("note", "show", note)["prices"]
        ]

    assert prices(first) == [(2, 1000, 1250)]
    assert prices(second) == [(2, 1200, 500)]
    back = office.json("return", "--partner", "Banca", "--batch", cards[0].batch)["note"]
    # Returned cards have the price and commission of their delivery.
    assert prices(back) == [(2, 1000, 1250), (2, 1200, 500)]


def test_notes_are_listed_newest_first_with_who_made_them(office, partner):
    cards = office.sell(1, "--time", "10m", partner=partner)
    office.must("return", "--partner", partner, "--batch", cards[0].batch, "--reason", "Shop closes")
    newest, oldest = office.json("note", "list", "--partner", partner)
    assert (newest["kind"], newest["reason"], oldest["kind"]) == ("return", "Shop closes", "delivery")
    assert newest["operator"] == "prepaid_admin"
    assert office.run("note", "show", 999999).exit_status == 1


def test_two_offices_deliver_one_batch_once(office, database):
    """Each waits for the batch until the one before has committed, and then reads what is left."""
    cards = office.stock(500, "--time", "10m")
    shops = [office.partner() for _ in range(3)]
    with database.connect() as holder, holder.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute("SELECT id FROM batch FOR UPDATE")
        running = [office.spawn("deliver", "--partner", shop, "--batch", cards[0].batch) for shop in shops]
        wait_for_locks(database, 3)
    words = [process.communicate()[1] for process in running]
    assert sorted(process.returncode for process in running) == [0, 1, 1]
    assert sum("delivered" in sentence and cards[0].serial in sentence for sentence in words) == 2
    assert database.value("SELECT COUNT(DISTINCT partner_id) FROM card") == 1
    assert database.value("SELECT COUNT(*) FROM note") == 1
    assert database.value("SELECT COUNT(*) FROM card_event") == 500


# --- The oldest in stock ------------------------------------------------------------------------------------


def test_the_oldest_cards_in_stock_are_delivered_exactly_as_many_as_asked(office, partner):
    old = office.stock(3, "--time", "10m")
    new = office.stock(3, product=old[0].product)
    office.must("delete", old[1].serial, "--reason", "Spoiled", "--yes")
    asked = ("deliver", "--partner", partner, "--product", old[0].product, "--count", 3)
    ranges = [
        {"batch": old[0].batch, "first_serial": old[0].serial, "last_serial": old[0].serial, "count": 1},
        {"batch": old[0].batch, "first_serial": old[2].serial, "last_serial": old[2].serial, "count": 1},
        {"batch": new[0].batch, "first_serial": new[0].serial, "last_serial": new[0].serial, "count": 1},
    ]
    shown = office.must(*asked, "--dry-run")
    assert [line.split()[0] for line in shown.stderr.splitlines()] == [
        f"{row['first_serial']}-{row['last_serial']}" for row in ranges
    ]
    assert statuses(office, old) == ["created"] * 2
    printed = office.json(*asked, "--yes")
    assert (printed["count"], printed["first_serial"], printed["last_serial"]) == (3, old[0].serial, new[0].serial)
    assert printed["ranges"] == ranges
    assert statuses(office, old) == ["delivered"] * 2
    assert statuses(office, new) == ["delivered", "created", "created"]
    # Of the two that are left nobody gets three.
    notes = office.json("note", "list")
    result = office.run(*asked, "--yes")
    assert result.exit_status == 1 and "Only 2 cards" in result.stderr and old[0].product in result.stderr
    assert office.json("note", "list") == notes
    assert statuses(office, new) == ["delivered", "created", "created"]


def test_returned_cards_are_the_first_to_be_delivered_again(office, partner):
    cards = office.sell(3, "--time", "10m", partner=partner)
    new = office.stock(1, product=cards[0].product)
    office.must("return", "--partner", partner, "--range", f"{cards[1].serial}-{cards[1].serial}")
    office.must("deliver", "--partner", office.partner(), "--product", cards[0].product, "--count", 1, "--yes")
    assert statuses(office, cards) == ["delivered"] * 3 and statuses(office, new) == ["created"]


def test_the_oldest_cards_are_delivered_only_after_a_yes(office, partner):
    cards = office.stock(2, "--time", "10m")
    asked = ("deliver", "--partner", partner, "--product", cards[0].product, "--count", 2)
    for answer in ("n\n", ""):
        result = office.run(*asked, stdin=answer)
        assert result.exit_status == 1 and f"{cards[0].serial}-{cards[1].serial}" in result.stderr
        assert statuses(office, cards) == ["created"] * 2
    assert office.must(*asked, stdin="y\n").stderr.count(cards[0].serial) == 1
    assert statuses(office, cards) == ["delivered"] * 2


def test_what_was_confirmed_is_delivered_or_nothing(office, partner, monkeypatch):
    """Another delivery takes one of the cards while the person reads the question."""
    cards = office.stock(3, "--time", "10m")

    def answer(_question):
        other = f"{cards[0].serial}-{cards[0].serial}"
        office.must("deliver", "--partner", partner, "--range", other)
        return True

    monkeypatch.setattr("admin.shell.output.confirm", answer)
    result = office.run("deliver", "--partner", partner, "--product", cards[0].product, "--count", 2)
    assert result.exit_status == 1 and "may no longer be what was confirmed" in result.stderr
    assert statuses(office, cards) == ["delivered", "created", "created"]


def test_two_deliveries_at_the_same_moment_share_no_card(office, database):
    """Both choose while the batches are locked; then each has its own hundred, and the third finds too few."""
    old = office.stock(60, "--time", "10m")
    office.stock(190, product=old[0].product)
    shops = [office.partner() for _ in range(3)]
    with database.connect() as holder, holder.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute("SELECT id FROM batch FOR UPDATE")
        running = [
            office.spawn("deliver", "--partner", shop, "--product", old[0].product, "--count", 100, "--yes", "--json")
            for shop in shops
        ]
        wait_for_locks(database, 3)
    for process in running:
        process.communicate()
    assert sorted(process.returncode for process in running) == [0, 0, 1]
    assert (
        database.query(
            "SELECT COUNT(*) AS cards, COUNT(DISTINCT delivery_note_id) AS notes FROM card"
            " WHERE status = 'delivered' GROUP BY partner_id"
        )
        == [{"cards": 100, "notes": 1}] * 2
    )
    assert database.value("SELECT COUNT(*) FROM card_event") == 200
    assert database.query("SELECT card_count FROM note") == [{"card_count": 100}] * 2


def test_the_oldest_need_a_product_and_a_count_and_nothing_else(office, partner):
    cards = office.stock(1, "--time", "10m")
    for arguments in (
        ("--product", cards[0].product),
        ("--count", 1),
        ("--product", cards[0].product, "--count", 1, "--batch", cards[0].batch),
    ):
        assert office.run("deliver", "--partner", partner, *arguments).exit_status == 2
    result = office.run("deliver", "--partner", partner, "--product", "Nothing", "--count", 1)
    assert result.exit_status == 1 and "Nothing" in result.stderr
    empty = office.product("--time", "10m")
    result = office.run("deliver", "--partner", partner, "--product", empty, "--count", 1, "--yes")
    assert result.exit_status == 1 and "No card" in result.stderr


# --- From a scanner -----------------------------------------------------------------------------------------


def test_scanned_cards_are_delivered_and_returned(office, partner):
    """The scanner reads bar codes and the QR codes of our sheets; one card was scanned twice."""
    cards = office.stock(5, "--time", "10m")
    lines = [
        cards[4].serial,
        f"{cards[0].serial} {cards[0].pin}",
        "",
        f"https://wifi.example/login?username={cards[1].serial}&password={cards[1].pin}",
        cards[4].serial,
    ]
    asked = ("deliver", "--partner", partner, "-")
    shown = office.run(*asked, "--dry-run", stdin="\n".join(lines))
    assert "Would deliver 3 cards" in shown.stdout and "Line 5 repeats line 1" in shown.stderr
    assert statuses(office, cards) == ["created"] * 5
    printed = office.json(*asked, stdin="\r\n".join(lines) + "\r\n")
    assert printed["count"] == 3
    assert [(row["first_serial"], row["last_serial"], row["count"]) for row in printed["ranges"]] == [
        (cards[0].serial, cards[1].serial, 2),
        (cards[4].serial, cards[4].serial, 1),
    ]
    assert statuses(office, cards) == ["delivered"] * 2 + ["created"] * 2 + ["delivered"]
    assert office.json("return", "--partner", partner, "-", stdin=f"{cards[1].serial}\n")["count"] == 1
    assert statuses(office, cards) == ["delivered"] + ["created"] * 3 + ["delivered"]


def test_each_wrong_line_of_a_scan_is_named_and_nothing_changes(office, partner):
    cards = office.stock(4, "--time", "10m")
    elsewhere = office.partner()
    office.must("deliver", "--partner", elsewhere, cards[1].serial)
    lines = f"{cards[0].serial}\n{cards[1].serial}\nNOTACARD1\nLIVRE9 1234567890\n"
    result = office.run("deliver", "--partner", partner, "-", stdin=lines)
    assert result.exit_status == 1
    # Cards that do not exist first; their lines cannot be checked for more.
    assert "line 3: there is no card NOTACARD1." in result.stderr
    assert "line 4: there is no card with this serial." in result.stderr and "1234567890" not in result.stderr
    result = office.run("deliver", "--partner", partner, "-", stdin=f"{cards[0].serial}\n\n{cards[1].serial}\n")
    assert result.exit_status == 1
    assert f"line 3: card {cards[1].serial} is delivered, but must be created." in result.stderr
    result = office.run("return", "--partner", partner, "-", stdin=f"{cards[1].serial}\n{cards[2].serial}\n")
    assert result.exit_status == 1
    assert f"line 1: card {cards[1].serial} is not with {partner}." in result.stderr
    assert f"line 2: card {cards[2].serial} is created, but must be delivered." in result.stderr
    assert statuses(office, cards) == ["created", "delivered", "created", "created"]


def test_more_cards_than_a_list_of_the_server_holds_are_scanned(office, partner, database):
    cards = office.stock(1200, "--time", "10m")
    scan = "".join(f"{card.serial}\n" for card in cards[:1100])
    assert office.json("deliver", "--partner", partner, "-", stdin=scan)["count"] == 1100
    assert database.value("SELECT COUNT(*) FROM card WHERE status = 'delivered'") == 1100


def test_a_scan_is_the_only_way_of_naming_cards_and_has_a_line(office, partner):
    cards = office.stock(1, "--time", "10m")
    for arguments, lines in (
        (("-",), "\n\n"),
        (("-", cards[0].serial), cards[0].serial),
        (("-", "--batch", cards[0].batch), cards[0].serial),
        (("-", "--product", cards[0].product, "--count", 1), cards[0].serial),
    ):
        assert office.run("deliver", "--partner", partner, *arguments, stdin=lines).exit_status == 2
    assert statuses(office, cards) == ["created"]


# --- Without check digits -----------------------------------------------------------------------------------


def test_a_range_may_lack_its_check_digits(office, partner):
    cards = office.stock(10, "--time", "10m")
    bodies = [card.serial[:-1] for card in cards]
    for written in (f"{bodies[2]}-{bodies[5]}", f"{cards[2].serial}-{bodies[5]}", f"{bodies[2]} - {cards[5].serial}"):
        printed = office.json("deliver", "--partner", partner, "--range", written, "--dry-run")
        assert (printed["first_serial"], printed["last_serial"], printed["count"]) == (
            cards[2].serial,
            cards[5].serial,
            4,
        )
    assert len(office.json("list", "--range", f"{bodies[2]}-{bodies[5]}")) == 4
    assert office.json("block", "--reason", "Lost", "--range", f"{bodies[0]}-{bodies[0]}")["blocked"] == 1
    wrong = cards[9].serial[:-1] + str((int(cards[9].serial[-1]) + 1) % 10)
    result = office.run("deliver", "--partner", partner, "--range", f"{bodies[2]}-{wrong}")
    assert result.exit_status == 1 and "check digit" in result.stderr and cards[9].serial in result.stderr


def test_a_range_that_may_be_two_is_refused_with_both(office, partner, tmp_path):
    """The serials of one batch are those of another one without their check digits."""
    product = office.product("--time", "10m")
    batches = []
    for serials in (("70010", "70011"), (serial.complete("70010"), serial.complete("70011"))):
        path = tmp_path / f"{serials[0]}.csv"
        path.write_text("serial,pin\n" + "".join(f"{one},S3cr3tPin{at}\n" for at, one in enumerate(serials)))
        batches.append(office.json("import", path, "--product", product)["batch"])
    written = "70010-70011"
    result = office.run("deliver", "--partner", partner, "--range", written)
    assert result.exit_status == 1
    assert written in result.stderr and f"{serial.complete('70010')}-{serial.complete('70011')}" in result.stderr
    # The other end decides if it has only one meaning.
    completed = f"70010-{serial.complete('70011')}"
    printed = office.json("deliver", "--partner", partner, "--range", completed, "--dry-run")
    assert printed["first_serial"] == serial.complete("70010")
