"""A file is complete under its name, or not there at all."""

import errno
import os
import stat

import pytest

from freeradius_module.whole_file import UNFINISHED, WholeFile


@pytest.fixture(params=["files without a name", "hidden names only"])
def folder(request, tmp_path, monkeypatch):
    if request.param == "hidden names only":
        open_file = os.open

        def without_unnamed_files(path, flags, *mode, **more):
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "as on a memory stick")
            return open_file(path, flags, *mode, **more)

        monkeypatch.setattr(os, "open", without_unnamed_files)
    return tmp_path


def write(path, content: bytes, **options) -> None:
    with WholeFile(path, **options) as new:
        new.file.write(content)
        new.publish()


def test_nothing_has_the_name_before_it_is_published_and_nothing_is_left_without(folder):
    with WholeFile(folder / "key") as new:
        new.file.write(b"half")
        assert not (folder / "key").exists()
    assert os.listdir(folder) == []


def test_an_existing_file_is_kept_or_replaced_as_asked(folder):
    path = folder / "key"
    write(path, b"old")
    with pytest.raises(FileExistsError):
        write(path, b"new")
    assert path.read_bytes() == b"old"
    write(path, b"new", replace=True)
    assert path.read_bytes() == b"new" and os.listdir(folder) == ["key"]


def test_it_is_its_owners_alone_unless_another_mode_is_given(folder):
    write(folder / "key", b"")
    write(folder / "site", b"", mode=0o640)
    assert [stat.S_IMODE((folder / name).stat().st_mode) for name in ("key", "site")] == [0o600, 0o640]


def test_what_a_killed_program_left_goes_and_what_is_being_written_stays(folder):
    (folder / f".key.0123{UNFINISHED}").write_bytes(b"1 7d0f")
    (folder / f".link.0123{UNFINISHED}").symlink_to(folder / "key")
    write(folder / "key", b"")
    assert sorted(os.listdir(folder)) == [f".link.0123{UNFINISHED}", "key"]
    with WholeFile(folder / "slow") as slow:
        write(folder / "quick", b"")
        slow.file.write(b"slow")
        slow.publish()
    assert (folder / "slow").read_bytes() == b"slow"


def test_an_error_leaves_the_old_file(folder):
    write(folder / "key", b"old")
    with pytest.raises(ZeroDivisionError), WholeFile(folder / "key", replace=True) as new:
        new.file.write(b"new" * 1_000_000)
        raise ZeroDivisionError
    assert (folder / "key").read_bytes() == b"old" and os.listdir(folder) == ["key"]
