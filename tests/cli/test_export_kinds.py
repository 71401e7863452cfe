"""export as pdf: what a card says depends on its product, its codes and the provider's settings."""

import pytest

from tests.cli.test_export_pdf import text_of
from tests.office import Office


@pytest.fixture
def provider(office, tmp_path):
    """An office whose option file names the provider and the helpline."""
    path = tmp_path / "provider.cnf"
    path.write_text(
        office.option_file.read_text().replace(
            "[prepaid]\n", "[prepaid]\nprovider = Rede do Sol\nhelpline = 0800 123 456\n"
        )
    )
    return Office(path)


def sheet(office, path, kind, *terms, generate=(), export=(), lang="en") -> str:
    product = office.product(*terms, kind=kind)
    batch = office.json("generate", "--product", product, "--count", 2, *generate)["batch"]
    office.must("--lang", lang, "export", "--batch", batch, "--output", path, *export)
    return text_of(path)


def test_a_card_has_validity_provider_and_helpline(provider, tmp_path):
    terms = ("--time", "10h", "--valid-days", 30, "--valid-until", "2036-12-31", "--timezone", "America/Sao_Paulo")
    text = sheet(provider, tmp_path / "a.pdf", "internet", *terms)
    assert "30 days from the first use, until 2036-12-31" in text
    assert "Rede do Sol" in text and "0800 123 456" in text and "Wi-Fi" in text
    text = sheet(provider, tmp_path / "b.pdf", "internet", *terms, lang="pt_BR")
    assert "Validade: 30 dias a partir do primeiro uso, até 31/12/2036" in text and "Atendimento: 0800 123 456" in text


def test_a_telephone_card_says_so_and_nothing_of_the_internet(provider, tmp_path):
    text = sheet(provider, tmp_path / "a.pdf", "telephony", "--money", "20.00", "--tariff-minute", "0.05")
    assert "Telephone card" in text and "Wi-Fi" not in text and "login" not in text
    text = sheet(provider, tmp_path / "b.pdf", "telephony", "--money", "20.00", "--tariff-minute", "0.05", lang="pt_BR")
    assert "Cartão telefônico" in text and "Wi-Fi" not in text and "usuário" not in text


def test_a_card_with_one_code_shows_it_once(office, tmp_path):
    text = sheet(office, tmp_path / "a.pdf", "internet", "--time", "10h", generate=("--single-code",))
    code = office.json("list")[0]["serial"]
    assert text.replace(" ", "").count(code) == 1
    assert "Code (login and password)" in text and "PIN" not in text and "Serial" not in text


def test_no_label_stands_without_its_value(office, tmp_path):
    text = sheet(office, tmp_path / "a.pdf", "internet", "--time", "10h", export=("--fields", "serial"))
    assert "Serial number" in text
    for label in ("PIN", "Valid", "Help", "type both"):
        assert label not in text
