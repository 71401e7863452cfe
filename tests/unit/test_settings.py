"""The option file, as the module reads it."""

import re
from pathlib import Path

import pytest

from freeradius_module.settings import Settings, SettingsError, load

POLICY = Path(__file__).parents[2] / "raddb-config" / "policy.d" / "prepaid"


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "prepaid.cnf"
        path.write_text(text)
        return str(path)

    return write


def test_what_is_not_said_has_its_default(write, tmp_path):
    path = write("[prepaid-radius]\nuser = u\n")
    assert load(path) == Settings(path=path, connection_file=path, key_file=str(tmp_path / "key"))


def test_what_is_said_holds(write):
    loaded = load(
        write(
            "[prepaid]\nlang = en\nkey_file = /etc/k\nlongest_session_seconds = 7200\ncurrency = 100%\n"
            "[prepaid-radius]\nunix_socket = /run/db.sock\n"
        )
    )
    assert (loaded.lang, loaded.key_file, loaded.longest_session_seconds) == ("en", "/etc/k", 7200)
    assert (loaded.currency, loaded.unix_socket) == ("100%", "/run/db.sock")


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "", "²", "9" * 5000])
def test_what_is_not_a_number_is_named_with_its_file(write, value):
    path = write(f"[prepaid]\nwrong_pin_tries = {value}\n")
    with pytest.raises(SettingsError, match=f"wrong_pin_tries in {path} is '{value}'"):
        load(path)


def test_a_session_that_the_sites_guard_would_refuse_is_refused_in_the_option_file(write):
    """The guard turns an Accept with a longer Session-Timeout into a Reject: the customer has paid and gets no session."""
    (guard,) = re.findall(r"&reply:Session-Timeout > (\d+)", POLICY.read_text())
    assert load(write(f"[prepaid]\nlongest_session_seconds = {guard}\n")).longest_session_seconds == int(guard)
    path = write(f"[prepaid]\nlongest_session_seconds = {40 * 86_400}\n")
    with pytest.raises(SettingsError, match=f"longest_session_seconds in {path} is 3456000; .*at most {guard}"):
        load(path)


@pytest.mark.parametrize("text", ["password = S3cret\n", "[prepaid]\nlang = en\n= S3cret\n"])
def test_a_line_that_is_none_is_named_and_not_repeated(write, text):
    path = write(text)
    with pytest.raises(SettingsError, match=f"{path} is not an option file: line {text.count(chr(10))} ") as raised:
        load(path)
    assert "S3cret" not in str(raised.value) and raised.value.__cause__ is None


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(SettingsError, match=r"no option file .*none\.cnf.*PREPAID_CONFIG"):
        load(str(tmp_path / "none.cnf"))


def test_the_file_can_be_named_by_the_environment(write, monkeypatch):
    path = write("[prepaid]\nlang = en\n")
    monkeypatch.setenv("PREPAID_CONFIG", path)
    assert load().path == path


def test_the_nodes_of_a_cluster_are_tried_as_they_are_written(write):
    loaded = load(write("[prepaid-radius]\nhosts = 192.0.2.2, 192.0.2.1:3307\n"))
    assert loaded.hosts == (("192.0.2.2", 3306), ("192.0.2.1", 3307))


@pytest.mark.parametrize("hosts", ["a:b", "a b", "a:999999", "[::1"])
def test_what_is_not_a_node_is_named(write, hosts):
    with pytest.raises(SettingsError, match="is not a node"):
        load(write(f"[prepaid-radius]\nhosts = {hosts}\n"))


def test_nodes_and_a_socket_exclude_each_other(write):
    with pytest.raises(SettingsError, match="both hosts and a socket"):
        load(write("[prepaid-radius]\nhosts = a,b\nunix_socket = /run/db.sock\n"))
