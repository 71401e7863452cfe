"""list, show, edit, batch: look at cards and find them again."""

import pytest

DESIGN_SHOW = (
    "serial status kind product batch partner credit_seconds used_seconds remaining_seconds credit_octets used_octets"
    " remaining_octets credit_cents used_cents remaining_cents first_login_at expires_at open_sessions"
).split()


def test_show_has_what_programs_rely_on(office):
    (card,) = office.stock(1, "--time", "10m", "--traffic", "10MB")
    shown = office.show(card)
    assert [name for name in DESIGN_SHOW if name not in shown] == []
    assert {name: shown[name] for name in DESIGN_SHOW} == {
        "serial": card.serial,
        "status": "created",
        "kind": "internet",
        "product": card.product,
        "batch": card.batch,
        "partner": None,
        "credit_seconds": 600,
        "used_seconds": 0,
        "remaining_seconds": 600,
        "credit_octets": 10_000_000,
        "used_octets": 0,
        "remaining_octets": 10_000_000,
        "credit_cents": None,
        "used_cents": None,
        "remaining_cents": None,
        "first_login_at": None,
        "expires_at": None,
        "open_sessions": 0,
    }


def test_show_never_shows_a_pin(office):
    (card,) = office.stock(1, "--time", "10m")
    assert card.pin not in office.must("show", card.serial, "--json").stdout
    assert card.pin not in office.must("track", card.serial, "--json").stdout


def test_money_that_is_left_stops_at_zero(office, database):
    (card,) = office.stock(1, "--money", "1.00", "--tariff-minute", "0.10")
    database.execute("UPDATE card SET posted_seconds = 330")
    shown = office.show(card)
    assert (shown["credit_cents"], shown["used_cents"], shown["remaining_cents"]) == (100, 55, 45)
    database.execute("UPDATE card SET posted_seconds = 3600")
    assert office.show(card)["remaining_cents"] == 0


def test_a_serial_may_be_typed_in_groups_and_small_letters(office):
    product = office.product("--time", "10m")
    serial = office.json("generate", "--product", product, "--count", 1, "--prefix", "TYPED")["first_serial"]
    assert office.json("show", f" {serial[:5].lower()}-{serial[5:9]} {serial[9:]} ")["serial"] == serial


def test_a_mistyped_serial_brings_a_suggestion(office):
    (card,) = office.stock(1, "--time", "10m")
    wrong = card.serial[:-1] + str((int(card.serial[-1]) + 1) % 10)
    result = office.run("show", wrong)
    assert result.exit_status == 1
    assert "check digit" in result.stderr and f"Did you mean {card.serial}" in result.stderr


@pytest.mark.parametrize("serial", ["", "x", "'; DROP TABLE card; --", "\N{SNOWMAN}", "9" * 300, "A\x00B"])
def test_a_text_that_is_not_a_serial_is_not_found(office, serial):
    for command in (("show",), ("track",), ("block", "--reason", "Stolen")):
        assert office.run(*command, serial).exit_status == 1


def test_list_filters(office):
    one, other = office.sell(2, "--time", "10m"), office.stock(3, "--time", "1h")
    partner = office.show(one[0])["partner"]

    def listed(*options):
        return [row["serial"] for row in office.json("list", *options)]

    serials = [card.serial for card in one], [card.serial for card in other]
    assert listed() == serials[0] + serials[1]
    assert listed("--status", "delivered") == serials[0]
    assert listed("--status", "delivered", "--status", "created") == serials[0] + serials[1]
    assert listed("--batch", other[0].batch) == serials[1]
    assert listed("--product", one[0].product) == serials[0]
    assert listed("--partner", partner) == serials[0]
    assert listed("--range", f"{serials[1][0]}-{serials[1][1]}") == serials[1][:2]
    assert listed("--from", "2000-01-01", "--to", "2999-12-31") == serials[0] + serials[1]
    assert listed("--to", "2000-01-01") == listed("--from", "2999-12-31") == []
    assert listed("--limit", 3) == (serials[0] + serials[1])[:3]
    assert listed("--limit", 2, "--after", serials[1][0]) == serials[1][1:]


@pytest.mark.parametrize(
    ("options", "exit_status", "word"),
    [
        (("--batch", "999999"), 1, "999999"),
        (("--product", "Nowhere"), 1, "Nowhere"),
        (("--partner", "Nobody"), 1, "Nobody"),
        (("--range", "A1-A2"), 1, "A1"),
        (("--after", "A1"), 1, "A1"),
        (("--status", "lost"), 2, "lost"),
        (("--limit", "0"), 2, "0"),
        (("--from", "yesterday"), 2, "yesterday"),
    ],
)
def test_a_filter_that_names_nothing_is_an_error_and_not_an_empty_list(office, options, exit_status, word):
    result = office.run("list", *options)
    assert result.exit_status == exit_status and word in result.stderr and result.stdout == ""


def test_a_pipe_gets_a_line_for_each_card_and_no_heading(office):
    cards = office.stock(3, "--time", "10m")
    lines = office.must("list", "--batch", cards[0].batch).stdout.splitlines()
    assert [line.split("\t")[:2] for line in lines] == [[card.serial, "created"] for card in cards]


def test_an_empty_list_is_an_empty_array(office):
    assert office.json("list") == [] == office.json("batch", "list") == office.json("partner", "list")


def test_a_batch_shows_its_cards_by_status_and_its_history(office):
    cards = office.stock(3, "--time", "10m")
    office.must("deliver", "--partner", office.partner(), "--range", f"{cards[0].serial}-{cards[0].serial}")
    shown = office.json("batch", "show", cards[0].batch)
    assert shown["cards"] == {"created": 2, "delivered": 1}
    assert [event["what"] for event in shown["events"]] == ["generated", "pins_read", "exported"]
    assert [row["batch"] for row in office.json("batch", "list")] == [cards[0].batch]
    assert office.run("batch", "show", 999999).exit_status == 1


# --- Edit -------------------------------------------------------------------------------------------------


def test_a_note_comes_and_goes(office):
    (card,) = office.stock(1, "--time", "10m")
    assert office.json("edit", card.serial, "--note", "Lost by the shop")["note"] == "Lost by the shop"
    assert office.json("edit", card.serial, "--note", "none")["note"] is None


def test_an_extension_is_an_entry_with_a_reason(office):
    (card,) = office.sell(1, "--time", "10m")
    assert office.run("edit", card.serial, "--expires", "2030-12-31").exit_status == 2
    office.must("edit", card.serial, "--expires", "2030-12-31", "--reason", "Storm")
    assert office.show(card)["expires_at"] == "2031-01-01T00:00:00.000Z"
    assert (office.track(card)[-1]["what"], office.track(card)[-1]["reason"]) == ("extended", "Storm")


@pytest.mark.parametrize(("first_login_at", "status"), [(None, "delivered"), ("2026-01-01", "in_use")])
def test_an_expired_card_works_again_when_its_validity_is_extended(office, database, first_login_at, status):
    (card,) = office.sell(1, "--time", "10m")
    if first_login_at:
        database.execute("UPDATE card SET status = 'in_use', first_login_at = %s", [first_login_at])
    database.execute("UPDATE card SET status = 'expired', expires_at = '2026-01-02'")
    office.must("edit", card.serial, "--expires", "2026-01-03", "--reason", "Not long enough")
    assert office.show(card)["status"] == "expired"
    office.must("edit", card.serial, "--expires", "2999-12-31T18:00Z", "--reason", "Storm")
    assert (office.show(card)["status"], office.show(card)["expires_at"]) == (status, "2999-12-31T18:00:00.000Z")


def test_a_card_is_released_from_its_device(office, database):
    (card,) = office.sell(1, "--time", "10m", "--bind-device")
    database.execute("UPDATE card SET device = 'aa-bb-cc-dd-ee-ff'")
    office.must("edit", card.serial, "--unbind", "--reason", "New phone")
    assert office.show(card)["device"] is None


def test_edit_needs_a_change_and_a_card_that_is_not_deleted(office):
    (card,) = office.stock(1, "--time", "10m")
    assert office.run("edit", card.serial).exit_status == 2
    office.must("delete", card.serial, "--yes", "--reason", "Misprinted")
    assert office.run("edit", card.serial, "--note", "x").exit_status == 1


def test_an_end_of_validity_is_removed(office, database):
    (card,) = office.sell(1, "--time", "10m", "--valid-days", "30")
    database.execute(
        "UPDATE card SET status = 'in_use', first_login_at = '2026-01-01', expires_at = '2026-01-31' WHERE serial = %s",
        [card.serial],
    )
    database.execute("UPDATE card SET status = 'expired' WHERE serial = %s", [card.serial])
    assert office.run("edit", card.serial, "--expires", "none").exit_status == 2
    office.must("edit", card.serial, "--expires", "none", "--reason", "Sold without an end")
    shown = office.show(card)
    assert (shown["status"], shown["expires_at"]) == ("in_use", None)
    assert office.json("simulate", card.serial)["limited_by"] == "time"
    assert [row["what"] for row in office.track(card)][-2:] == ["extended", "reopened"]
    assert office.json("reconcile")["faults"] == []


def test_without_an_end_of_its_own_a_card_ends_with_its_product(office, database):
    (card,) = office.sell(1, "--time", "10m", "--valid-until", "2099-12-31")
    office.must("edit", card.serial, "--expires", "2090-01-01", "--reason", "Mistake")
    office.must("edit", card.serial, "--expires", "none", "--reason", "Mistake")
    assert office.show(card)["expires_at"].startswith("2099-12-31") or office.show(card)["expires_at"].startswith(
        "2100"
    )
