"""The reader's language is for the reader: programs get the same in every language."""


def test_json_is_the_same_in_every_language(office):
    card, = office.sell(1, "--time", "10m")
    for arguments in (("show", card.serial), ("list",), ("product", "show", card.product), ("track", card.serial)):
        english = office.must(*arguments, "--json")
        assert office.must("--lang", "pt_BR", *arguments, "--json") == english


def test_the_file_is_announced_in_the_readers_language(office, tmp_path):
    batch = office.json("generate", "--product", office.product("--time", "10m"), "--count", 1)["batch"]
    result = office.must("--lang", "pt_BR", "export", "--batch", batch, "--output", tmp_path / "cards.csv")
    assert result.stdout.splitlines()[-1] == f"Arquivo criado com sucesso: {tmp_path / 'cards.csv'}"


def test_the_locale_chooses_and_lang_overrules_it(office):
    portuguese = {"LANGUAGE": "", "LC_ALL": "pt_BR.UTF-8"}
    assert office.run("product", "show", "x", env=portuguese).stderr.startswith("Erro: Não existe o produto")
    assert office.run("--lang", "en", "product", "show", "x", env=portuguese).stderr.startswith("Error: There is no")
    # Nobody has to speak ours: what we do not speak is answered in English.
    assert office.run("product", "show", "x", env={"LC_ALL": "de_DE.UTF-8"}).stderr.startswith("Error: There is no")
    assert office.run("--lang", "de", "product", "list").exit_status == 2
