"""The key file: whom it trusts, how keys change, and that it survives being changed."""

import concurrent.futures
import contextlib
import os
import pickle
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from freeradius_module.sealing import keyring, pin

NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "keys"
    keyring.create(path)
    return path


def test_a_new_file_is_for_its_owner_only_and_seals(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ring = keyring.load(path)
    assert ring.numbers == [1]
    assert ring.sealing_number == 1
    assert len(ring.key(1)) == 32
    assert os.listdir(path.parent) == ["keys"]


def test_an_existing_file_is_never_overwritten(path):
    before = path.read_bytes()

    with pytest.raises(keyring.KeyFileError, match="exists already and is kept"):
        keyring.create(path)

    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["keys"]


def test_two_new_files_have_different_keys(tmp_path):
    first, second = keyring.create(tmp_path / "a"), keyring.create(tmp_path / "b")

    assert first.key(1) != second.key(1)
    assert first.fingerprint(1) != second.fingerprint(1)


# A file that cannot be trusted.


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o644, 0o620, 0o660])
def test_a_file_open_to_others_is_refused(path, mode):
    path.chmod(mode)

    with pytest.raises(keyring.KeyFileError, match=f"mode {mode:04o}.*chmod 640 {path}"):
        keyring.load(path)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640])
def test_a_file_for_its_owner_and_readers_of_its_group_is_accepted(path, mode):
    path.chmod(mode)

    assert keyring.load(path).numbers == [1]


def test_a_file_of_a_third_account_is_refused(path, monkeypatch):
    if os.geteuid() == 0:
        os.chown(path, NOBODY, -1)
    else:
        reader = path.stat().st_uid + 1
        monkeypatch.setattr(keyring.os, "geteuid", lambda: reader)

    with pytest.raises(keyring.KeyFileError, match=f"chown root {path}"):
        keyring.load(path)


@as_root
def test_radiusd_reads_the_office_s_file_by_its_group():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, "keys")
        keyring.create(path)
        os.chown(path, 0, NOBODY)
        with acting_as(NOBODY), pytest.raises(keyring.KeyFileError, match="may not use"):
            keyring.load(path)
        path.chmod(0o640)
        with acting_as(NOBODY):
            assert keyring.load(path).numbers == [1]


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(keyring.KeyFileError, match="does not exist.*key_file"):
        keyring.load(tmp_path / "keys")
    with pytest.raises(keyring.KeyFileError, match="does not exist"):
        keyring.create(tmp_path / "no" / "keys")


def test_what_is_not_a_file_is_refused_and_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(keyring.KeyFileError, match="not a regular file"):
            keyring.load(path)


HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "contains no key"),
        ("# nothing but a comment\n", "contains no key"),
        (f"1 {HEX}0\n", "line 1"),
        (f"1 {HEX[:-1]}\n", "line 1"),
        (f"# keys\n\n{HEX}\n", "line 3"),
        (f"0 {HEX}\n", "from 1 to 65535"),
        (f"65536 {HEX}\n", "from 1 to 65535"),
        (f"1 {HEX} old\n", "line 1"),
        (f"1 {HEX}\n2 {HEX}\n1 {HEX}\n", "line 3: key 1 appears twice"),
        (f"1 {HEX} retired\n2 {HEX} waiting\n", "no active key"),
    ],
)
def test_a_damaged_file_is_refused_by_line_without_telling_a_key(path, text, says):
    path.write_text(text)

    with pytest.raises(keyring.KeyFileError, match=says) as refusal:
        keyring.load(path)

    assert HEX[:16] not in str(refusal.value)


def test_a_file_that_is_not_text_is_refused(path):
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(keyring.KeyFileError, match="not a text file"):
        keyring.load(path)


def test_comments_blank_lines_and_capitals_are_understood(path):
    path.write_text(f"# ours\r\n\n  3\t{HEX.upper()}   # since May\n1 {HEX} retired#gone\n")

    ring = keyring.load(path)
    assert ring.numbers == [3]
    assert ring.key(3) == bytes.fromhex(HEX)


# Changing keys.


def test_the_highest_active_key_seals_and_all_but_the_retired_open(path):
    assert keyring.add_key(path) == 2
    assert keyring.add_key(path, waiting=True) == 3

    ring = keyring.load(path)
    assert ring.sealing_number == 2
    assert ring.numbers == [1, 2, 3]

    keyring.retire_key(path, 1)
    ring = keyring.load(path)
    assert ring.numbers == [2, 3]
    with pytest.raises(keyring.KeyFileError, match="Key 1 of .* is retired"):
        ring.key(1)
    with pytest.raises(keyring.KeyFileError, match="no key 4"):
        ring.key(4)


def test_no_login_fails_while_keys_change(path):
    """The office seals and radiusd opens, each with its own reading of the file."""
    radiusd = office = keyring.load(path)
    sealed = [pin.seal("1234567890", "A008", office)]

    keyring.add_key(path, waiting=True)
    office = keyring.load(path)
    sealed.append(pin.seal("1234567890", "A008", office))
    assert sealed[-1][0] == 1  # radiusd may not have the new key yet.

    radiusd = keyring.refreshed(radiusd)
    keyring.activate_key(path, 2)
    office = keyring.load(path)
    sealed.append(pin.seal("1234567890", "A008", office))
    assert sealed[-1][0] == 2
    for number, octets in sealed:
        assert pin.open_sealed(octets, number, "A008", radiusd) == "1234567890"

    keyring.retire_key(path, 1)
    radiusd = keyring.refreshed(radiusd)
    assert pin.open_sealed(sealed[-1][1], 2, "A008", radiusd) == "1234567890"
    with pytest.raises(keyring.KeyFileError, match="retired"):
        pin.open_sealed(sealed[0][1], 1, "A008", radiusd)


def test_refreshing_reads_the_file_only_when_it_changed(path):
    ring = keyring.load(path)
    assert keyring.refreshed(ring) is ring

    keyring.add_key(path)
    assert keyring.refreshed(ring).numbers == [1, 2]


def test_the_only_active_key_cannot_be_retired(path):
    keyring.add_key(path, waiting=True)

    with pytest.raises(keyring.KeyFileError, match="only active key"):
        keyring.retire_key(path, 1)
    with pytest.raises(keyring.KeyFileError, match="no key 9"):
        keyring.retire_key(path, 9)
    assert keyring.load(path).sealing_number == 1


def test_a_retired_key_does_not_come_back(path):
    keyring.add_key(path)
    keyring.retire_key(path, 1)

    with pytest.raises(keyring.KeyFileError, match="cannot be activated again"):
        keyring.activate_key(path, 1)


def test_a_change_keeps_comments_mode_owner_links_and_the_other_keys(path):
    path.chmod(0o640)
    path.write_text(f"# ours\n1 {HEX}  # the first\n2 {HEX[::-1]} waiting # the next")
    link = path.parent / "link"
    link.symlink_to(path)
    owner = path.stat().st_uid, path.stat().st_gid

    keyring.activate_key(link, 2)
    keyring.retire_key(link, 1)
    keyring.add_key(link, waiting=True)

    lines = path.read_text().splitlines()
    assert lines[:3] == ["# ours", f"1 {HEX} retired  # the first", f"2 {HEX[::-1]}  # the next"]
    assert lines[3].startswith("3 ") and lines[3].endswith(" waiting")
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (path.stat().st_uid, path.stat().st_gid) == owner
    assert sorted(os.listdir(path.parent)) == ["keys", "link"]


def test_keys_added_at_the_same_time_are_all_there(path):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda _: keyring.add_key(path), range(24)))

    assert sorted(numbers) == list(range(2, 26))
    assert keyring.load(path).numbers == list(range(1, 26))


def test_a_change_that_fails_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    before = path.read_bytes()

    def disk_full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keyring.os, "fsync", disk_full)
    with pytest.raises(keyring.KeyFileError, match="No space left"):
        keyring.add_key(path)

    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["keys"]


def test_keys_that_a_killed_program_left_go_with_the_next_change(path):
    killed = """
import os, signal, sys
from freeradius_module.sealing import keyring
os.replace = lambda *_names: os.kill(os.getpid(), signal.SIGKILL)
keyring.add_key(sys.argv[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", killed, path], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = set(path.parent.iterdir()) - {path}
    assert "\n2 " in left.read_text() and stat.S_IMODE(left.stat().st_mode) == stat.S_IMODE(path.stat().st_mode)
    keyring.add_key(path)
    assert os.listdir(path.parent) == ["keys"]


# Telling keys apart.


def test_the_key_file_of_another_installation_is_recognised(path, tmp_path):
    ring = keyring.load(path)
    ring.confirm(1, ring.fingerprint(1))

    other = keyring.create(tmp_path / "other")
    with pytest.raises(keyring.KeyFileError, match="key file of another installation.*safe copy"):
        other.confirm(1, ring.fingerprint(1))


def test_each_purpose_has_its_own_key(path):
    ring = keyring.load(path)

    assert len({ring.key(1), ring.derived(1, "class", bytes), ring.derived(1, "seal-test", bytes)}) == 3
    assert ring.derived(1, "class", bytes) is ring.derived(1, "class", bytes)
    with pytest.raises(ValueError, match="1 to 16 octets"):
        keyring.derive(ring.key(1), "a purpose that is too long")


def test_a_keyring_does_not_slip_into_a_log_or_a_file(path):
    ring = keyring.load(path)
    ring.derived(1, "class", bytes)

    assert ring.key(1).hex() not in repr(ring) + str(ring) + format(ring)
    with pytest.raises(TypeError):
        pickle.dumps(ring)


@contextlib.contextmanager
def acting_as(account):
    os.setegid(account)
    os.seteuid(account)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_what_lasts_comes_from_the_first_key_even_when_it_is_retired(path):
    first = keyring.load(path)
    keyring.add_key(path)
    keyring.retire_key(path, 1)
    assert keyring.load(path).lasting("class") == first.lasting("class") == keyring.derive(first.key(1), "class")


def test_keys_are_numbered_to_the_last_number(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"{keyring.MAX_NUMBER - 1} {'ab' * 32}\n")
    path.chmod(0o600)
    assert keyring.add_key(path) == keyring.MAX_NUMBER
    assert keyring.load(path).numbers == [keyring.MAX_NUMBER - 1, keyring.MAX_NUMBER]
    with pytest.raises(keyring.KeyFileError, match="used up"):
        keyring.add_key(path)


def test_a_broken_line_is_described(path):
    path.write_text(path.read_text() + "2 abc\n")
    with pytest.raises(keyring.KeyFileError, match="64 hexadecimal digits"):
        keyring.load(path)


def test_a_purpose_has_one_to_sixteen_octets():
    assert keyring.derive(bytes(32), "p") != keyring.derive(bytes(32), "p" * 16)
    for purpose in ("", "p" * 17):
        with pytest.raises(ValueError):
            keyring.derive(bytes(32), purpose)


@as_root
def test_a_changed_file_keeps_its_group(path):
    os.chown(path, os.geteuid(), NOBODY)
    keyring.add_key(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (os.geteuid(), NOBODY)
