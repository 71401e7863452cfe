"""note show --format pdf: a delivery or return note for both parties to sign."""

import pdfplumber
import pytest

from tests.office import Office


@pytest.fixture
def provider(office, tmp_path):
    """The office, with the provider's name in its option file."""
    path = tmp_path / "prepaid.cnf"
    path.write_text(
        office.option_file.read_text().replace(
            "[prepaid]\n", "[prepaid]\nprovider = Rede & Cia Ltda.\nprovider_document = 12.345.678/0001-95\n"
        )
    )
    return Office(path)


def words_of(path) -> str:
    with pdfplumber.open(path) as document:
        return "\n".join(page.extract_text() for page in document.pages)


def test_a_delivery_note_has_parties_ranges_and_amounts(provider, tmp_path):
    provider.must("partner", "add", "Padaria São José", "--document", "11.222.333/0001-81")
    cards = provider.stock(10, "--time", "1h", "--price", "9.99", "--commission", "12.5")
    provider.must("deliver", "--partner", provider.partner(), "--range", f"{cards[4].serial}-{cards[4].serial}")
    provider.must("block", cards[0].serial, "--reason", "Lost")
    provider.must("delete", cards[9].serial, "--yes", "--reason", "Spoiled")
    provider.must("deliver", "--partner", "Padaria São José", "--range", f"{cards[1].serial}-{cards[3].serial}")
    note = provider.json("note", "list")[0]["note"]
    path = tmp_path / "note.pdf"
    provider.must("note", "show", note, "--format", "pdf", "--output", path)
    words = words_of(path)
    for word in (
        f"Delivery note {note}",
        "Rede & Cia Ltda.",
        "CNPJ 12.345.678/0001-95",
        "Padaria São José",
        "11.222.333/0001-81",
        f"{cards[1].serial} {cards[3].serial} 3",
        # 12.5 % of 9.99 is 1.24875, rounded for each card.
        "3 R$ 9.99 R$ 29.97 12.5 % R$ 3.75 R$ 26.22",
        "Total 3 R$ 29.97 R$ 3.75 R$ 26.22",
        "Padaria São José received from Rede & Cia Ltda. the 3 cards listed above.",
        "Place and date:",
    ):
        assert word in words, words
    assert provider.run("note", "show", note, "--format", "pdf", "--output", path).exit_status == 1
    provider.must("note", "show", note, "--format", "pdf", "--output", path, "--force")


def test_a_return_note_has_a_line_for_each_range_and_price(provider, database, tmp_path):
    """Cards that were delivered at two prices, one of them used and kept: two ranges, two amounts."""
    product = provider.product("--time", "1h", "--price", "10.00")
    shop = provider.partner()
    cards = provider.stock(6, product=product)
    provider.must("deliver", "--partner", shop, "--range", f"{cards[0].serial}-{cards[2].serial}")
    provider.must("product", "edit", product, "--price", "20.00")
    provider.must("deliver", "--partner", shop, "--range", f"{cards[3].serial}-{cards[5].serial}")
    note = provider.json("return", "--partner", shop, "--batch", cards[0].batch, "--reason", "Closed")["note"]
    path = tmp_path / "note.pdf"
    provider.must("--lang", "pt_BR", "note", "show", note, "--format", "pdf", "--output", path)
    words = words_of(path)
    for word in (
        f"Nota de devolução {note}",
        "Closed",
        f"{cards[0].serial} {cards[5].serial} 6",
        "3 R$ 10,00 R$ 30,00 0 % R$ 0,00 R$ 30,00",
        "3 R$ 20,00 R$ 60,00 0 % R$ 0,00 R$ 60,00",
        "R$ 90,00",
        "Valor de face",
        "Líquido",
    ):
        assert word in words, words


def test_ranges_end_where_a_card_is_not_on_the_note(provider, tmp_path):
    shop = provider.partner()
    cards = provider.stock(7, "--time", "1h")
    provider.must("deliver", "--partner", shop, "--batch", cards[0].batch)
    provider.must("block", cards[3].serial, "--reason", "Lost")
    # By hand, because a return command takes one range: cards on both sides of the blocked one.
    from admin import store
    from admin.shell.office import Office as AdminOffice

    office = AdminOffice(str(provider.option_file))
    try:
        with office.transaction() as cursor:
            partner_id = store.partner.find(cursor, shop)["id"]
            note = store.note.add(cursor, "return", partner_id)
            store.connection.set_reason(cursor, None, note)
            store.card.take_back(cursor, store.card.of_batch(cards[0].batch))
        with office.reading() as cursor:
            found = store.note.ranges(cursor, note)
    finally:
        office.close()
    assert [(row["first_serial"], row["last_serial"], row["cards"]) for row in found] == [
        (cards[0].serial, cards[2].serial, 3),
        (cards[4].serial, cards[6].serial, 3),
    ]


def test_a_long_note_takes_several_pages_and_repeats_its_heading(provider, tmp_path):
    """Ninety cards, every second one delivered by another note."""
    from admin.report import note as note_paper

    rows = [
        {"batch": 1, "product": "Hour", "first_serial": f"{n:09}", "last_serial": f"{n:09}", "cards": 1}
        for n in range(90)
    ]
    amounts = [
        {
            "product": "Hour",
            "cards": 90,
            "price_cents": 1000,
            "commission_basis_points": 1250,
            "face_value_cents": 90000,
            "commission_cents": 11250,
            "net_cents": 78750,
        }
    ]
    note = {"note": 5, "kind": "delivery", "count": 90, "made_at": None, "operator": "ana", "reason": None}
    path = tmp_path / "long.pdf"
    with path.open("wb") as file:
        party = note_paper.Party("A", None)
        note_paper.write_pdf(file, note_paper.Paper(note, party, party, rows, amounts, "made"))
    with pdfplumber.open(path) as document:
        pages = [page.extract_text() for page in document.pages]
    assert len(pages) > 1 and all("First serial" in page for page in pages[:2])
    assert "Place and date" in pages[-1] and "R$ 787.50" in pages[-1]


def test_what_cannot_be_made_is_refused_with_what_to_do(office, provider, tmp_path):
    cards = provider.sell(1, "--time", "1h")
    note = provider.show(cards[0])["delivery_note"]
    path = tmp_path / "note.pdf"
    refused = office.run("note", "show", note, "--format", "pdf", "--output", path)
    assert refused.exit_status == 2 and "provider" in refused.stderr
    for wrong in (("--format", "pdf"), ("--output", path), ("--format", "pdf", "--output", path, "--json")):
        assert provider.run("note", "show", note, *wrong).exit_status == 2
    assert not path.exists()
