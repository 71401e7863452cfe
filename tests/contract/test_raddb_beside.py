"""prepaid raddb install --into SITE, and out again."""

import re

import pytest

from admin.freeradius import files as raddb_files
from tests.contract.raddb_directory import DEBIAN, Raddb


@pytest.fixture
def provider(tmp_path):
    """Debian's directory with its sites."""
    raddb = Raddb(tmp_path)
    conf = raddb.directory / "radiusd.conf"
    conf.write_text(re.sub(r"(?m)^\s*(user|group) = .*$", "", conf.read_text()))
    return raddb


def remove(raddb, *arguments):
    result = raddb.run("remove", *arguments)
    assert result.exit_status == 0, result.stderr
    return result


@pytest.mark.parametrize("arguments", [[], ["--into", "default"]])
@pytest.mark.parametrize("dictionary", [None, b"ATTRIBUTE My-Own 3000 string", b"# S\xe3o Paulo\r\n"])
def test_remove_takes_everything_out_and_nothing_else(provider, arguments, dictionary):
    if dictionary is not None:
        (provider.directory / "dictionary").write_bytes(dictionary)
    before = provider.state()
    provider.install(*arguments)
    assert provider.state() != before
    remove(provider)
    assert provider.state() == before
    assert "Nothing to do" in remove(provider).stdout


def test_into_a_site_changes_six_places_and_a_second_time_nothing(provider):
    before = provider.text("sites-available/default")
    provider.install("--into", "default")
    after = provider.text("sites-available/default")
    assert after.count("$INCLUDE ${confdir}/prepaid.d/") == 6
    assert len(after.splitlines()) == len(before.splitlines()) + 18
    assert provider.text("sites-available/inner-tunnel").count("$INCLUDE ${confdir}/prepaid.d/inner-") == 4
    assert (provider.directory / "sites-enabled" / "default").is_symlink()
    state = provider.state()
    assert "Nothing to do" in provider.install().stdout
    assert provider.state() == state
    assert provider.problems() == {}


def test_what_the_provider_edits_in_between_stays(provider):
    provider.install("--into", "default")
    site = provider.directory / "sites-available" / "default"
    site.write_bytes(site.read_bytes().replace(b"\tpreprocess\n", b"\tpreprocess # S\xe3o Paulo\r\n\tmy_policy\n", 1))
    edited = site.read_bytes()
    provider.install()
    assert site.read_bytes() == edited and provider.problems() == {}
    remove(provider)
    original = (DEBIAN / "sites-available" / "default").read_bytes()
    assert site.read_bytes() == original.replace(b"\tpreprocess\n", b"\tpreprocess # S\xe3o Paulo\r\n\tmy_policy\n", 1)


def test_a_module_above_our_lines_is_found_and_moved_below(provider):
    provider.install("--into", "default")
    site = provider.directory / "sites-available" / "default"
    site.write_text(site.read_text().replace("authorize {\n", "authorize {\n\tsql\n", 1))
    assert "sites-enabled/default" in provider.problems()
    provider.install()
    assert provider.problems() == {}
    assert "prepaid.d/authorize\n\t# end of prepaid cards\n\tsql\n" in site.read_text()


@pytest.mark.parametrize(
    "before, after, words",
    [
        ("\t# end of prepaid cards\n", "", "has no counterpart"),
        ("\t# end of prepaid cards\n", "\tsql\n\t# end of prepaid cards\n", "is not of prepaid cards"),
    ],
)
def test_damaged_marks_are_refused_and_nothing_is_changed(provider, before, after, words):
    provider.install("--into", "default")
    site = provider.directory / "sites-available" / "default"
    site.write_text(site.read_text().replace(before, after, 1))
    state = provider.state()
    for verb in ("install", "remove"):
        result = provider.run(verb)
        assert result.exit_status == 1 and words in result.stderr
        assert provider.state() == state


@pytest.mark.parametrize(
    "before, after, words",
    [
        ("authorize {\n", "authorize { filter_username\n", "has other words on the line of a brace"),
        ("authorize {\n", "authorize {\n}\nauthorize {\n", "2 times"),
        ("post-auth {\n", 'post-auth {\n\tif ("x) {\n\t}\n', "is not understood"),
        ("server default {\n", "server default {\n}\n", "is not understood"),
        ("preacct {\n", "$INCLUDE ${confdir}/my-sections\nsession-x {\n", "includes another file"),
        ("server default {\n", "server a {\n}\nserver b {\n", "one virtual server"),
    ],
)
def test_a_site_that_is_not_understood_is_refused_and_nothing_is_changed(provider, before, after, words):
    site = provider.directory / "sites-available" / "default"
    assert f"\n{before}" in site.read_text()
    site.write_text(site.read_text().replace(f"\n{before}", f"\n{after}", 1))
    state = provider.state()
    result = provider.run("install", "--into", "default")
    assert result.exit_status == 1 and words in result.stderr, result.stderr
    assert provider.state() == state


def test_a_site_without_some_sections_gets_them_and_loses_them_again(provider):
    site = provider.directory / "sites-available" / "default"
    site.write_text("server default {\nauthorize {\n\tfiles\n\tpap\n}\npost-auth {\n\texec\n}\n}\n")
    before = site.read_text()
    provider.install("--into", "default")
    text = site.read_text()
    for section in ("authenticate {", "preacct {", "accounting {", "Post-Auth-Type REJECT {"):
        assert text.count(section) == 1
    # It has no EAP of its own, so it gets ours.
    assert "prepaid_eap" in provider.text("prepaid.d/authorize")
    assert (provider.directory / "sites-enabled" / "prepaid-inner-tunnel").is_symlink()
    assert provider.problems() == {}
    remove(provider)
    assert site.read_text() == before


@pytest.mark.parametrize(
    "path, before, after, words",
    [
        ("mods-available/eap", "enable = no", "enable = yes", "resumes TLS sessions"),
        ("mods-available/eap", '"inner-tunnel"', '"default"', "itself"),
        ("mods-available/eap", '"inner-tunnel"', '"elsewhere"', "elsewhere"),
    ],
)
def test_an_eap_that_would_lose_the_decision_is_refused(provider, path, before, after, words):
    file = provider.directory / path
    file.write_text(file.read_text().replace(before, after))
    state = provider.state()
    result = provider.run("install", "--into", "default")
    assert result.exit_status == 1 and words in result.stderr
    assert provider.state() == state


def test_a_site_that_does_not_exist_and_options_without_meaning(provider):
    result = provider.run("install", "--into", "default-site")
    assert result.exit_status == 1 and "default" in result.stderr
    assert provider.run("install", "--into", "default", "--auth-port", "11812").exit_status == 2
    provider.install("--auth-port", "11812", "--acct-port", "11813")
    result = provider.run("install", "--into", "default")
    assert result.exit_status == 1 and "prepaid raddb remove" in result.stderr


def test_a_client_for_all_addresses_keeps_its_place(provider):
    conf = provider.directory / "clients.conf"
    conf.write_text(conf.read_text() + "client all {\n\tipaddr = 0.0.0.0/0\n\tsecret = x\n}\n")
    provider.install("--into", "default")
    # FreeRADIUS does not start with two clients for the same addresses.
    assert not (provider.directory / "sites-enabled" / raddb_files.BESIDE_CLIENTS).exists()
    assert provider.problems() == {}


def test_the_forms_of_serials_come_from_the_option_file_if_the_database_is_away(provider):
    provider.options(key_file=str(provider.folder / "key"), card_forms="LIVRE########C, ##########C")
    provider.install("--into", "default")
    assert 'card_forms = "##########C LIVRE########C"' in provider.text("mods-available/prepaid")
    provider.options(key_file=str(provider.folder / "key"), card_forms="LIVRE")
    result = provider.run("install")
    assert result.exit_status == 2 and "LIVRE########C" in result.stderr


def test_an_edited_file_is_removed_only_with_force(provider):
    provider.install("--into", "default")
    path = provider.directory / "prepaid.d" / "authorize"
    path.write_text(path.read_text() + "# mine\n")
    state = provider.state()
    result = provider.run("remove")
    assert result.exit_status == 1 and "prepaid.d/authorize" in result.stderr
    assert provider.state() == state
    remove(provider, "--force")
    assert path.with_name("authorize.before").read_text().endswith("# mine\n") and not path.exists()


def test_a_site_that_was_disabled_loses_our_lines_too(provider):
    before = provider.text("sites-available/default")
    provider.install("--into", "default")
    (provider.directory / "sites-enabled" / "default").unlink()
    remove(provider)
    # Otherwise FreeRADIUS would not start when the site is enabled again.
    assert provider.text("sites-available/default") == before
