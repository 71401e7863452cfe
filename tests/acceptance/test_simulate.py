"""What simulate says is what the real server then sends."""


def test_the_reply_is_the_one_on_the_wire(office, radius):
    (card,) = office.sell(1, "--time", "10m", "--valid-days", "30", "--idle-timeout", "90", "--interim", "120")
    told = office.json("simulate", card.serial, "--nas", "loopback")
    answer = radius.login(card.serial, card.pin)
    assert answer.is_accept
    sent = {name: answer[name] for name in answer.attributes if name not in ("Class", "Message-Authenticator")}
    said = {one["attribute"]: one["value"] for one in told["reply"] if one["attribute"] != "Class"}
    assert {name: str(value) for name, value in sent.items()} == said


def test_a_telephony_card_is_refused_as_was_said(office, radius):
    (card,) = office.sell(1, product=office.product("--money", "10.00", kind="telephony"))
    told = office.json("simulate", card.serial)
    answer = radius.login(card.serial, card.pin)
    assert answer.is_reject and told["reason"] == "wrong_kind"
    assert answer["Reply-Message"] == told["message"]
    assert [row["reason"] for row in office.track(card) if row["what"] == "refused"] == ["wrong_kind"]


def test_a_redeemed_card_is_no_login_either(office, radius):
    (card,) = office.sell(1, product=office.product("--money", "10.00", kind="telephony"))
    assert office.run("redeem", card.serial, "--account", "a", stdin=card.pin).exit_status == 0
    assert radius.login(card.serial, card.pin).is_reject


def test_an_imported_card_logs_in(office, radius, tmp_path):
    path = tmp_path / "cards.csv"
    path.write_text("serial;pin;status;used_seconds\nold-0001;S3cr3t-Pin;in_use;120\nold-0002;An0ther;delivered;\n")
    office.must("import", path, "--product", office.product("--time", "10m"))
    assert radius.login("old-0001", "S3cr3t-Pin", method="chap")["Session-Timeout"] == 480
    assert radius.login("OLD0002", "An0ther", method="mschap2").is_accept
