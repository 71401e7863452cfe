"""The option file and the files that it includes: one secret for each reader."""

import os

import pytest

from admin.shell import errors
from admin.shell.office import Office
from freeradius_module import option_file, settings
from tests.stack.accounts import as_account


@pytest.fixture
def files(open_folder):
    def write(**texts: str) -> str:
        for name, text in texts.items():
            (open_folder / f"{name}.cnf").write_text(text)
        return str(open_folder / "prepaid.cnf")

    return write


def test_a_group_is_read_from_the_file_that_is_included(files, open_folder):
    path = files(
        prepaid="[prepaid]\nlang = en\n!include radius.cnf\n!include admin.cnf\n",
        radius="[prepaid-radius]\nuser = r\nunix_socket = /run/db.sock\n",
        admin="[prepaid-admin]\nuser = a\n",
    )
    loaded = settings.load(path)
    assert (loaded.group, loaded.connection_file) == ("prepaid-radius", str(open_folder / "radius.cnf"))
    assert (loaded.lang, loaded.unix_socket, loaded.closed) == ("en", "/run/db.sock", ())
    assert Office(path).settings("prepaid-admin") == {"user": "a"}


def test_an_operators_own_file_includes_the_common_one_and_wins(files):
    path = files(
        prepaid="!include common.cnf\n[prepaid-admin]\nuser = ana\n",
        common="[prepaid]\ncurrency = US$\n[prepaid-admin]\nuser = office\npassword = p\n",
    )
    office = Office(path)
    assert office.settings("prepaid-admin") == {"user": "ana", "password": "p"} and office.currency == "US$"


@pytest.mark.skipif(os.geteuid() != 0, reason="another account is taken on by root")
def test_a_file_that_may_not_be_read_is_passed_over_and_named(files, open_folder):
    path = files(
        prepaid="[prepaid]\nlang = en\n!include radius.cnf\n!include admin.cnf\n",
        radius="[prepaid-radius]\nuser = r\n",
        admin="[prepaid-admin]\nuser = a\n",
    )
    (open_folder / "radius.cnf").chmod(0o600)
    (open_folder / "admin.cnf").chmod(0o600)
    with as_account("nobody"):
        loaded = settings.load(path)
        assert loaded.lang == "en" and loaded.closed == (
            str(open_folder / "radius.cnf"),
            str(open_folder / "admin.cnf"),
        )
        with pytest.raises(errors.WrongUsage, match=r"admin\.cnf, which cannot be read"):
            Office(path).connect()


def test_a_file_that_is_not_on_this_machine_is_passed_over_and_named(files, open_folder):
    path = files(prepaid="[prepaid]\nlang = en\n!include admin.cnf\n")
    assert settings.load(path).lang == "en"
    with pytest.raises(errors.WrongUsage, match=r"admin\.cnf, which cannot be read"):
        Office(path).connect()


def test_a_file_that_includes_itself_is_refused(files):
    path = files(prepaid="[prepaid]\n!include prepaid.cnf\n")
    with pytest.raises(settings.SettingsError, match="includes itself"):
        settings.load(path)
    with pytest.raises(errors.WrongUsage, match="includes itself"):
        Office(path).settings("prepaid")


def test_a_wrong_line_is_named_with_the_file_that_it_is_in_and_not_repeated(files, open_folder):
    path = files(prepaid="[prepaid]\n!include radius.cnf\n", radius="# a comment\nS3cret\n")
    with pytest.raises(
        settings.SettingsError, match=f"{open_folder / 'radius.cnf'} is not an option file: line 2 "
    ) as raised:
        settings.load(path)
    assert "S3cret" not in str(raised.value)


def test_what_the_driver_could_not_read_is_refused_with_what_to_do(files):
    path = files(prepaid="!include admin.cnf\n[prepaid-radius]\nuser = r\n", admin="[prepaid-admin]\nuser = a\n")
    with pytest.raises(settings.SettingsError, match="a file of its own"):
        settings.load(path)


def test_a_daemon_has_its_own_account_where_there_is_one(files):
    path = files(prepaid="[prepaid-radius]\nuser = r\n[prepaid-charge]\nuser = c\n")
    assert settings.load(path, "prepaid-charge").group == "prepaid-charge"
    path = files(prepaid="[prepaid-radius]\nuser = r\n")
    assert settings.load(path, "prepaid-charge").group == "prepaid-radius"


def test_every_file_that_was_read_is_known(files, open_folder):
    path = files(prepaid="[prepaid]\n!include radius.cnf\n!include none.cnf\n", radius="[prepaid-radius]\nuser = r\n")
    found = option_file.read(path)
    assert found.files == [path, str(open_folder / "radius.cnf")] and found.missing == [str(open_folder / "none.cnf")]
    assert found.places == {"prepaid": path, "prepaid-radius": str(open_folder / "radius.cnf")}


@pytest.mark.parametrize("port", ["abc", "", "0", "-1", "65536", "3306.0", "²"])
def test_what_is_not_a_port_is_named_with_its_file(files, open_folder, port):
    path = files(
        prepaid="[prepaid]\n!include radius.cnf\n[prepaid-admin]\nuser = a\nport = " + port + "\n",
        radius=f"[prepaid-radius]\nuser = r\nport = {port}\n",
    )
    what = "is '{}'; it must be a whole number from 1 to 65535."
    with pytest.raises(settings.SettingsError, match=f"port in {open_folder / 'radius.cnf'} {what.format(port)}"):
        settings.load(path)
    with pytest.raises(errors.WrongUsage, match=f"port in {path} {what.format(port)}"):
        Office(path).connect()


def test_a_port_is_read_for_its_own_group_only(files):
    path = files(prepaid="[prepaid-radius]\nuser = r\nport = 3307\n[prepaid-admin]\nuser = a\nport = abc\n")
    assert settings.load(path).group == "prepaid-radius"
    assert option_file.read(path).port("prepaid-radius") == 3307
    assert option_file.read(path).port("prepaid-charge") == 3306
