"""import: cards made elsewhere, with what was used of them there; all of them or none."""

import pytest


@pytest.fixture
def bring(office, tmp_path):
    """Import lines of a file; the product is one of ten hours unless said otherwise."""

    def run(*lines, options=(), product=None, encoding="utf-8"):
        path = tmp_path / "cards.csv"
        path.write_bytes("\n".join(lines).encode(encoding))
        return office.run("import", path, "--product", product or office.product("--time", "10h"), "--json", *options)

    return run


def test_cards_come_with_what_was_used(office, bring, database):
    result = bring(
        "serial,pin,status,used_seconds,used_octets",
        "OLD-1,47114711,created,,",
        "old 2,47114712,delivered,0,0",
        "OLD3,47114713,in_use,3600,5000",
        "OLD4,47114714,exhausted,36000,",
        "OLD5,47114715,blocked,60,",
    )
    assert result.exit_status == 0, result.stderr
    printed = result.json()
    assert (printed["count"], printed["first_serial"], printed["last_serial"]) == (5, "OLD1", "OLD5")
    assert {name: printed[name] for name in ("created", "delivered", "in_use", "exhausted", "blocked")} == {
        "created": 1,
        "delivered": 1,
        "in_use": 1,
        "exhausted": 1,
        "blocked": 1,
    }
    assert {row["serial"]: (row["status"], row["used_seconds"], row["used_octets"]) for row in office.json("list")} == {
        "OLD1": ("created", 0, 0),
        "OLD2": ("delivered", 0, 0),
        "OLD3": ("in_use", 3600, 5000),
        "OLD4": ("exhausted", 36000, 0),
        "OLD5": ("blocked", 60, 0),
    }
    batch = office.json("batch", "show", printed["batch"])
    assert (batch["origin"], batch["count"], batch["events"][0]["what"]) == ("imported", 5, "imported")
    assert office.track("OLD1")[0]["what"] == "imported"
    assert [(row["scope"], row["reason"]) for row in office.show("OLD5")["blocks"]] == [("import", "imported")]
    office.must("unblock", "OLD5")
    assert office.show("OLD5")["status"] == "in_use"


def test_an_imported_card_can_be_used(office, bring):
    bring("serial,pin,status,used_seconds", "OLD3,47114713,in_use,3600")
    assert office.json("simulate", "old-3")["session_seconds"] == 36000 - 3600


def test_the_pin_opens_and_is_shown_nowhere(office, bring, database, tmp_path):
    result = bring("serial,pin", "OLD1,S3cr3tPin")
    assert "S3cr3tPin" not in result.stdout + result.stderr
    office.must("export", "--batch", result.json()["batch"], "--fields", "serial,pin", "--output", tmp_path / "out.csv")
    assert "OLD1,S3cr3tPin" in (tmp_path / "out.csv").read_text()


@pytest.mark.parametrize(
    "form",
    [
        "serial;pin;status\nA1;4711;created\n",
        "\ufeffserial\tpin\tstatus\r\nA1\t4711\tcreated\r\n",
        'Serial , PIN,Status\n"A1"," 4711 ",created\n\n',
    ],
)
def test_the_usual_forms_of_csv_are_read(office, bring, form):
    assert bring(form).exit_status == 0
    assert office.show("A1")["status"] == "created"


def test_validity_goes_on_from_the_first_login(office, bring):
    product = office.product("--time", "10h", "--valid-days", "30")
    bring(
        "serial,pin,status,first_login_at,expires_at",
        "A1,4711,in_use,2026-01-01T12:00Z,",
        # A day is the last day of use.
        "A2,4712,in_use,,2026-05-31",
        "A3,4713,delivered,,",
        product=product,
    )
    assert [row["expires_at"] for row in office.json("list")] == [
        "2026-01-31T12:00:00.000Z",
        "2026-06-01T00:00:00.000Z",
        None,
    ]


def test_a_total_of_traffic_and_its_parts(office, bring):
    product = office.product("--traffic-down", "10MB", "--traffic-up", "5MB")
    assert bring("serial,pin,status,used_octets", "A1,4711,in_use,5", product=product).exit_status == 1
    bring("serial,pin,status,used_down_octets,used_up_octets", "A1,4711,in_use,5,7", product=product)
    shown = office.show("A1")
    assert (shown["used_down_octets"], shown["used_up_octets"]) == (5, 7)


# --- What is wrong ----------------------------------------------------------------------------------------


def nothing_came(database):
    return database.query("SELECT (SELECT COUNT(*) FROM card) AS cards, (SELECT COUNT(*) FROM batch) AS batches") == [
        {"cards": 0, "batches": 0}
    ]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (",4711,created,", "not a serial"),
        ("A" * 33 + ",4711,,", "not a serial"),
        ("A1,,,", "no PIN"),
        ("A1," + "9" * 65 + ",,", "PIN"),
        ("A1,47\x0711,,", "PIN"),
        ("A1,4711,sold,", "sold"),
        ("A1,4711,redeemed,", "redeemed"),
        ("A1,4711,in_use,ten", "ten"),
        ("A1,4711,in_use,-1", "-1"),
        ("A1,4711,created,60", "used"),
        ("A1,4711,delivered,60", "used"),
        ("A1,4711,in_use,99999999999", "whole number"),
        ("A1,4711", "fields"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_comes(bring, database, line, word):
    result = bring("serial,pin,status,used_seconds", "GOOD1,1234567890,created,", line, "GOOD2,1234567890,created,")
    assert result.exit_status == 1 and "line 3" in result.stderr and word in result.stderr
    assert nothing_came(database)


def test_all_wrong_lines_are_said_at_once_up_to_twenty(bring, database):
    lines = [f"A{number},{'' if number % 2 else '1234567890'}" for number in range(100)]
    result = bring("serial,pin", *lines[:10])
    assert result.stderr.count("line ") == 5 and "line 3:" in result.stderr and "line 11:" in result.stderr
    result = bring("serial,pin", *lines)
    assert result.stderr.count("line ") == 20 and "at least 20" in result.stderr
    assert nothing_came(database)


def test_a_serial_comes_once_however_it_is_written(bring, database):
    result = bring("serial,pin", "AB-1,1111111111", "x2,2222222222", "ab 1,3333333333")
    assert result.exit_status == 1 and "line 4" in result.stderr and "twice" in result.stderr
    assert nothing_came(database)


def test_a_serial_that_comes_again_thousands_of_lines_later_is_found(bring, database):
    lines = [f"A{number:05},1234567890" for number in range(2500)]
    result = bring("serial,pin", *lines, "A00003,1234567890", "A02499,1234567890")
    assert result.exit_status == 1 and "line 2502:" in result.stderr and "line 2503:" in result.stderr
    assert nothing_came(database)


def test_a_serial_that_is_taken_is_named_with_its_batch(office, bring, database):
    (card,) = office.stock(1, "--time", "10m")
    result = bring("serial,pin", "NEW1,1234567890", f"{card.serial},1234567890", "NEW2,")
    assert result.exit_status == 1 and "line 3" in result.stderr and f"batch {card.batch}" in result.stderr
    assert "line 4" in result.stderr
    assert database.value("SELECT COUNT(*) FROM card") == 1


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("serial,pin",),
        ("serial,password", "A1,1"),
        ("serial", "A1"),
        ("serial,pin,serial", "A1,1,A1"),
        ("serial,pin", '"A1,1234'),
        ("\x00\x01", "A"),
    ],
)
def test_a_file_that_is_not_a_list_of_cards(bring, database, lines):
    result = bring(*lines)
    assert result.exit_status == 1 and "cards.csv" in result.stderr
    assert nothing_came(database)


def test_a_file_without_a_heading_shows_no_pin_of_its_first_line(bring, database):
    """Its first line is a card, and the message may end up in a mail of cron."""
    result = bring("A1,4711471147", "A2,1234567890")
    assert result.exit_status == 1 and "serial, pin" in result.stderr and "2 others" in result.stderr
    assert "4711471147" not in result.stderr and nothing_came(database)


def test_a_file_that_is_not_utf_8(bring, database):
    for encoding, mark in (("utf-8-sig", "\x81"), ("latin-1", "\x81")):
        wrong = f"A1,1234567890,caf\xe9 {mark}"
        octets = "serial,pin,note\n".encode(encoding) + wrong.encode("latin-1")
        result = bring(octets.decode("latin-1"), encoding="latin-1")
        assert result.exit_status == 1 and "UTF-8" in result.stderr
    assert nothing_came(database)


def test_a_file_that_excel_saved_is_imported(office, bring):
    bring("serial;pin;note", "A1;1234567890;Caf\xe9 \u20ac 5 \u2013 balc\xe3o", encoding="cp1252")
    assert office.show("A1")["note"] == "Caf\xe9 \u20ac 5 \u2013 balc\xe3o"


def test_in_use_without_a_beginning_is_refused_where_validity_depends_on_it(office, bring, database):
    product = office.product("--time", "10h", "--valid-days", "30")
    result = bring("serial,pin,status", "A1,1234567890,in_use", product=product)
    assert result.exit_status == 1 and "first_login_at" in result.stderr and nothing_came(database)


def test_another_product_in_the_file_is_refused(office, bring, database):
    result = bring("serial,pin,product", "A1,1234567890,Elsewhere")
    assert result.exit_status == 1 and "Elsewhere" in result.stderr and nothing_came(database)


def test_an_unknown_product_or_file(office, bring, tmp_path):
    assert bring("serial,pin", "A1,1234567890", product="Nowhere").exit_status == 1
    assert office.run("import", tmp_path / "none.csv", "--product", "x").exit_status == 2


def test_pins_that_can_be_guessed_are_warned_about(bring):
    result = bring("serial,pin", "A1,1234", "A2,4321", "A3,8Q2KD81PXQ")
    assert result.exit_status == 0 and result.json()["weak_pins"] == 2
    assert "2 cards" in result.stderr and "1234" not in result.stderr


def test_a_dry_run_changes_nothing(bring, database):
    result = bring("serial,pin", "A1,1234567890", "A2,1234567890", options=("--dry-run",))
    assert result.exit_status == 0 and (result.json()["count"], result.json()["batch"]) == (2, None)
    assert nothing_came(database)


def test_reconcile_finds_no_fault_in_imported_usage(office, bring):
    result = bring("serial,pin,status,used_seconds,used_octets", "A1,1234567890,in_use,60,5", "A2,1234567890,created,,")
    assert result.exit_status == 0, result.stderr
    assert office.json("reconcile")["faults"] == []
    assert [row["what"] for row in office.track("A1")] == ["imported"]
