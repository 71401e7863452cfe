"""deliver, return, note: cards change hands, all of them or none."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.waiting import wait_until, waiting_for_a_lock


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
        wait_until(lambda: waiting_for_a_lock(database) == 3)
    words = [process.communicate()[1] for process in running]
    assert sorted(process.returncode for process in running) == [0, 1, 1]
    assert sum("delivered" in sentence and cards[0].serial in sentence for sentence in words) == 2
    assert database.value("SELECT COUNT(DISTINCT partner_id) FROM card") == 1
    assert database.value("SELECT COUNT(*) FROM note") == 1
    assert database.value("SELECT COUNT(*) FROM card_event") == 500
