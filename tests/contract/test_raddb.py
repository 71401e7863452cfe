"""prepaid raddb install and check, on a copy of Debian's own FreeRADIUS directory; no server is started."""

import re
import shutil
from pathlib import Path

import pytest

from admin.freeradius import files as raddb_files
from tests.authority import Authority
from tests.contract.raddb_directory import TEMPLATES, Raddb

# --- install --------------------------------------------------------------------------------------------------


def test_install_writes_and_enables_everything(raddb):
    raddb.install()
    for kind in ("sites", "mods"):
        for path in (TEMPLATES / f"{kind}-available").iterdir():
            if path.name in (raddb_files.BESIDE, raddb_files.BESIDE_CLIENTS, raddb_files.RADSEC_SITE):
                continue  # for cards in another site, and for TLS
            link = raddb.directory / f"{kind}-enabled" / path.name
            assert link.readlink() == Path(f"../{kind}-available/{path.name}")
            assert link.exists()
    assert raddb.problems() == {}


def test_a_second_install_changes_nothing(raddb):
    raddb.install("--auth-port", "11812", "--listen", "127.0.0.1", "--instances", "3")
    before = raddb.state()
    assert "Nothing to do" in raddb.install().stdout
    assert raddb.state() == before


def test_debians_own_files_stay_unchanged(raddb):
    before = raddb.state()
    raddb.install()
    after = raddb.state()
    changed = {path for path in before if after[path] != before[path]}
    assert changed == {Path("dictionary")}
    assert after[Path("dictionary")].startswith(before[Path("dictionary")])


# --- The local dictionary ---------------------------------------------------------------------------------------


def test_the_local_dictionary_includes_ours_once(raddb):
    raddb.install()
    raddb.install("--auth-port", "11812")
    assert raddb.text("dictionary").count("\n$INCLUDE\tdictionary.prepaid\n") == 1
    assert raddb.text("dictionary.prepaid") == (TEMPLATES / "dictionary.prepaid").read_text()


@pytest.mark.parametrize("there", [b"", b"ATTRIBUTE My-Own 3000 string", b"# S\xe3o Paulo\r\n"])
def test_the_administrators_dictionary_keeps_its_content_its_mode_and_its_link(raddb, there):
    elsewhere = raddb.folder / "shared-dictionary"
    elsewhere.write_bytes(there)
    elsewhere.chmod(0o644)
    local = raddb.directory / "dictionary"
    local.unlink()
    local.symlink_to(elsewhere)
    raddb.install()
    assert local.readlink() == elsewhere and elsewhere.stat().st_mode & 0o777 == 0o644
    text = elsewhere.read_bytes()
    assert text.startswith(there) and b"\n$INCLUDE\tdictionary.prepaid\n" in text


def test_an_include_line_by_the_administrator_is_accepted(raddb):
    local = raddb.directory / "dictionary"
    local.write_text(f"$INCLUDE {raddb.directory}/dictionary.prepaid  # gigawords\n")
    raddb.install()
    assert local.read_text().count("dictionary.prepaid") == 1
    assert raddb.problems() == {}


def test_a_dictionary_that_was_replaced_is_found_and_repaired(raddb):
    raddb.install()
    (raddb.directory / "dictionary").unlink()
    assert raddb.problems() == {"dictionary": "does not include dictionary.prepaid"}
    raddb.install()
    assert raddb.problems() == {}


def test_a_choice_is_remembered_until_another_one_is_made(raddb):
    raddb.install("--auth-port", "11812", "--acct-port", "11813")
    raddb.install("--auth-port", "21812")
    assert "\tport = 21812\n" in raddb.text("sites-available/prepaid")
    assert "\tport = 11813\n" in raddb.text("sites-available/prepaid-accounting")


def test_every_address_is_listened_on(raddb):
    raddb.install("--listen", "192.0.2.1", "--listen", "::")
    for site in ("prepaid", "prepaid-accounting"):
        assert re.findall(r"(?m)^\tipaddr = (.*)$", raddb.text(f"sites-available/{site}")) == ["192.0.2.1", "::"]


def test_paths_are_filled_in(raddb):
    raddb.install()
    text = raddb.text("mods-available/prepaid")
    assert set(re.findall(r'option_file = "(.*)"', text)) == {str(raddb.folder / "prepaid.cnf")}
    for path in set(re.findall(r'python_path = "(.*)"', text)):
        assert any((Path(folder) / "freeradius_module" / "hooks.py").exists() for folder in path.split(":"))
        assert any((Path(folder) / "pymysql").is_dir() for folder in path.split(":"))


@pytest.mark.parametrize(
    ("version", "arguments", "count"),
    [("3.2.1", [], 1), ("3.2.3", [], 1), ("3.2.4", [], 192), ("3.2.7", ["--instances", "8"], 8)],
)
def test_as_many_python_instances_as_this_freeradius_supports(raddb, version, arguments, count):
    raddb.set_version(version)
    raddb.install(*arguments)
    names = [f"prepaid_{number:02}" for number in range(1, count + 1)]
    assert re.findall(r"(?m)^python3 (\w+)", raddb.text("mods-available/prepaid")) == names
    # Each of the five lists of the policy names each instance once.
    policy = raddb.text("policy.d/prepaid")
    assert [len(re.findall(rf"(?m)^\t\t{name}(?:\.\w+)?$", policy)) for name in names] == [5] * count


def test_an_upgrade_of_freeradius_is_used_by_the_next_install(raddb):
    raddb.set_version("3.2.1")
    raddb.install()
    raddb.set_version("3.2.7")
    assert raddb.problems()["mods-available/prepaid"] == "is older than this program or its settings"
    raddb.install()
    assert raddb.text("mods-available/prepaid").count("\npython3 ") == 192


@pytest.mark.parametrize(
    ("version", "reason"),
    [("3.2.9", "only"), ("3.2.10", "only"), ("3.0.26", "not supported"), ("4.0.0", "not supported")],
)
def test_a_freeradius_that_cannot_serve_is_refused_with_the_reason(raddb, version, reason):
    before = raddb.state()
    raddb.set_version(version)
    for verb in ("install", "check"):
        result = raddb.run(verb)
        assert result.exit_status == 1
        assert f"FreeRADIUS {version}" in result.stderr and reason in result.stderr
    assert raddb.state() == before


def test_one_server_for_logins_and_one_for_accounting(raddb):
    raddb.install("--serve", "acct")
    assert not (raddb.directory / "sites-enabled" / "prepaid").exists()
    assert not (raddb.directory / "mods-enabled" / "prepaid_eap").exists()
    raddb.install("--serve", "auth")
    assert (raddb.directory / "sites-enabled" / "prepaid").exists()
    assert not (raddb.directory / "sites-enabled" / "prepaid-accounting").exists()
    assert raddb.problems() == {}


def test_accounting_is_as_the_option_file_says(raddb):
    raddb.install()
    site = raddb.text("sites-available/prepaid-accounting")
    assert "\naccounting = direct\n" in site and "\ndatabase_away = no_answer\n" in site

    queue = raddb.folder / "queue"
    raddb.options(accounting="queued", queue=queue)
    assert set(raddb.problems()) == {"sites-available/prepaid-accounting", "mods-available/prepaid_queue"}
    raddb.install()
    site = raddb.text("sites-available/prepaid-accounting")
    assert "\naccounting = queued\n" in site and "\ndatabase_away = queue\n" in site
    assert f'filename = "{queue}/queue"' in raddb.text("mods-available/prepaid_queue")
    assert queue.is_dir()


def test_an_edited_file_is_overwritten_only_with_force(raddb):
    raddb.install()
    path = raddb.directory / "sites-available" / "prepaid-clients"
    edited = path.read_text().replace("0.0.0.0/0", "192.0.2.0/24")
    path.write_text(edited)
    before = raddb.state()

    result = raddb.run("install", "--auth-port", "11812")
    assert result.exit_status == 1
    assert "sites-available/prepaid-clients" in result.stderr and "--force" in result.stderr
    assert raddb.state() == before
    line = edited.splitlines().index("\t\tipaddr = 192.0.2.0/24") + 1
    assert raddb.problems() == {"sites-available/prepaid-clients": f"was edited, first in line {line}"}

    raddb.install("--force")
    assert "0.0.0.0/0" in path.read_text()
    assert path.with_name("prepaid-clients.before").read_text() == edited


def test_a_file_from_before_the_first_install_counts_as_edited(raddb):
    (raddb.directory / "mods-available" / "prepaid").write_text("# of the administrator\n")
    assert raddb.run("install").exit_status == 1
    assert raddb.text("mods-available/prepaid") == "# of the administrator\n"


def test_a_certificate_is_made_once(raddb):
    raddb.install()
    key = raddb.directory / "certs/prepaid/server.key"
    assert key.stat().st_mode & 0o077 in (0o040, 0)
    made = key.read_bytes()
    raddb.install("--auth-port", "11812")
    assert key.read_bytes() == made


# --- What is in the way -------------------------------------------------------------------------------------------


def test_the_default_site_on_the_same_ports_is_named_with_what_to_do(raddb):
    (raddb.directory / "sites-enabled" / "default").symlink_to("../sites-available/default")
    result = raddb.install()
    assert "sites-enabled/default" in result.stderr and "1812, 1813" in result.stderr
    assert "1812, 1813" in raddb.problems()["sites-enabled/default"]
    raddb.install("--auth-port", "11812", "--acct-port", "11813")
    assert raddb.problems() == {}


@pytest.fixture
def tls_options(raddb):
    authority = Authority(raddb.folder / "radsec", "Provider CA")
    certificate, key = authority.issue("radius.example.net")
    return ["--tls", "--tls-certificate", certificate, "--tls-key", key, "--tls-ca", authority.path]


def test_tls_is_taken_out_again(raddb, tls_options):
    before = raddb.state()
    raddb.install(*tls_options)
    assert (raddb.directory / "sites-enabled" / "prepaid-radsec").is_symlink() and raddb.problems() == {}
    # The next install keeps it, and has nothing to do.
    assert "Nothing to do" in raddb.install().stdout
    assert raddb.run("remove").exit_status == 0
    assert raddb.state() == before


@pytest.mark.parametrize("change", [["--no-tls"], ["--serve", "acct"]])
def test_a_site_that_a_later_install_has_disabled_is_removed_too(raddb, tls_options, change):
    before = raddb.state()
    raddb.install(*tls_options)
    raddb.install(*change)
    assert raddb.problems() == {}
    assert raddb.run("remove").exit_status == 0
    assert raddb.state() == before


def test_tls_is_refused_by_a_freeradius_that_is_too_old(raddb, tls_options):
    raddb.set_version("3.2.6")
    before = raddb.state()
    result = raddb.run("install", *tls_options)
    assert result.exit_status == 1 and "--tls needs FreeRADIUS 3.2.7; this is 3.2.6" in result.stderr
    assert raddb.state() == before


def test_another_site_on_the_port_of_tls_is_named_with_what_to_do(raddb, tls_options):
    (raddb.directory / "sites-enabled" / "tls").symlink_to("../sites-available/tls")
    raddb.install(*tls_options)
    what = raddb.problems()["sites-enabled/tls"]
    assert "also listens on 2083, so" in what and "--tls-port" in what and "--auth-port" not in what
    raddb.install("--tls-port", "12083")
    assert raddb.problems() == {}


def test_an_option_file_that_freeradius_may_not_read_is_named(open_folder):
    raddb = Raddb(open_folder)
    (raddb.directory / "sites-enabled" / "default").unlink()
    conf = raddb.directory / "radiusd.conf"
    conf.write_text(re.sub(r"(?m)^\s*(user|group) = .*$", "", conf.read_text()) + "\nuser = nobody\n")
    option_file = raddb.folder / "prepaid.cnf"
    option_file.chmod(0o600)
    raddb.install()
    assert "nobody" in raddb.problems()[str(option_file)]
    option_file.chmod(0o644)
    assert raddb.problems() == {}


@pytest.mark.parametrize("break_it", ["remove a link", "remove a file"])
def test_what_is_missing_is_reported_and_repaired(raddb, break_it):
    raddb.install()
    path = "sites-enabled/prepaid" if break_it == "remove a link" else "policy.d/prepaid"
    (raddb.directory / path).unlink()
    assert path in raddb.problems()
    raddb.install()
    assert raddb.problems() == {}


def test_a_stock_module_that_is_disabled_is_enabled(raddb):
    (raddb.directory / "mods-enabled" / "utf8").unlink()
    raddb.install()
    assert (raddb.directory / "mods-enabled" / "utf8").exists()


# --- Bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--instances", "0"], 2, "--instances"),
        (["--auth-port", "70000"], 2, "--auth-port"),
        (["--listen", "hotspot.example"], 2, "hotspot.example"),
        (["--serve", "nothing"], 2, "--serve"),
    ],
)
def test_wrong_usage_changes_nothing(raddb, arguments, status, words):
    before = raddb.state()
    result = raddb.run("install", *arguments)
    assert result.exit_status == status and words in result.stderr
    assert raddb.state() == before


def test_several_instances_where_they_would_abort_the_server_are_refused(raddb):
    raddb.set_version("3.2.1")
    result = raddb.run("install", "--instances", "2")
    assert result.exit_status == 2 and "3.2.1 aborts" in result.stderr


def test_a_directory_that_is_not_freeradius_is_named(raddb):
    shutil.rmtree(raddb.directory)
    raddb.directory.mkdir()
    for verb in ("install", "check"):
        result = raddb.run(verb)
        assert result.exit_status == 1 and str(raddb.directory) in result.stderr
    assert not any(raddb.directory.iterdir())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"accounting": "sometimes"}, "sometimes"),
        ({"accounting": "queued"}, "queue = "),
        ({"queue": '/tmp/a"b'}, '/tmp/a"b'),
    ],
)
def test_an_option_file_that_asks_for_the_impossible_is_named(raddb, settings, words):
    raddb.options(**settings)
    before = raddb.state()
    result = raddb.run("install")
    assert result.exit_status == 2 and words in result.stderr
    assert raddb.state() == before
