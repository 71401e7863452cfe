"""The key file: the keys that seal PINs and NAS secrets.  It is kept outside the database.

It is a text file with one key on each line: its number, 64 hexadecimal digits, and perhaps its state.  Empty lines and
text after a ``#`` are ignored.

    # prepaid-cards: whoever reads this file can read every PIN.  Keep a copy in a safe.
    1 7d0f...  retired
    2 52c1...
    3 e08a...  waiting

==========  =====  =====  ==================================================================
state       opens  seals  when
==========  =====  =====  ==================================================================
(none)      yes    yes    in use; of several, the highest number seals
waiting     yes    no     new: it is copied to every machine that opens before one seals
retired     no     no     old: nothing in the database is sealed with it any more
==========  =====  =====  ==================================================================

To change keys: add one as waiting, copy the file to every machine, activate the key, seal again what the old key sealed,
retire the old key.  Logins succeed all the time.

The file must belong to root or to the account that reads it, and others must not have access.  Its group may read it,
because radiusd and the office run under different accounts.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from ..sentence import Sentence
from ..whole_file import WholeFile

StrPath = str | os.PathLike[str]

KEY_OCTETS = 32
MAX_NUMBER = 65535
STATES = ("active", "waiting", "retired")

_Made = TypeVar("_Made")


class KeyFileError(Exception):
    """The key file cannot be used.  Its only argument is a Sentence."""


class KeyFileClosed(KeyFileError):
    """This account may not read the key file."""


class Keyring:
    """The keys of one file, by number.  Its representation shows numbers and fingerprints, never a key.

    >>> ring = Keyring({1: Key(bytes(32), "retired"), 2: Key(bytes(range(32)), "active")})
    >>> ring
    <Keyring 1 retired, 2 active 4d7c2f30>
    >>> ring.sealing_number
    2
    """

    def __init__(self, keys: dict[int, "Key"], path: str = "the key file"):
        self.path = path
        self.version: tuple[int, ...] | None = None  # of the file that it was read from
        self._keys = dict(keys)
        self._derived: dict[tuple[int, str], Any] = {}
        active = [number for number, key in keys.items() if key.state == "active"]
        if not active:
            raise KeyFileError(
                Sentence(
                    "There is no active key in {path}, so nothing can be sealed. Add one, or remove the word "
                    "after a waiting key.",
                    path=path,
                )
            )
        self.sealing_number = max(active)

    @property
    def numbers(self) -> list[int]:
        """The numbers of the keys that open, the lowest first."""
        return sorted(number for number, key in self._keys.items() if key.state != "retired")

    @property
    def states(self) -> dict[int, str]:
        """The state of every key of the file, by number; one of STATES."""
        return {number: key.state for number, key in sorted(self._keys.items())}

    def key(self, number: int) -> bytes:
        """The key with this number; KeyFileError if there is none, or if it is retired."""
        key = self._keys.get(number)
        if key is None:
            raise KeyFileError(
                Sentence(
                    "There is no key {number} in {path}, yet something in the database is sealed with it. Copy "
                    "the current key file to this machine.",
                    number=number,
                    path=self.path,
                )
            )
        if key.state == "retired":
            raise KeyFileError(
                Sentence(
                    "Key {number} of {path} is retired, yet something is still sealed with it. Remove the word "
                    "'retired' after it, seal again what it sealed, then retire it again.",
                    number=number,
                    path=self.path,
                )
            )
        return key.secret

    def lasting(self, purpose: str) -> bytes:
        """A key for one purpose that stays the same when keys change: it is derived from the first key, retired or not.

        It is for values that are checked for some days, like a session's Class, and never for sealing.
        """
        return derive(self._keys[min(self._keys)].secret, purpose)

    def fingerprint(self, number: int) -> str:
        """The fingerprint of one key, by which the database remembers the key that was used."""
        return fingerprint(self.key(number))

    def confirm(self, number: int, expected_fingerprint: str) -> None:
        """Raise KeyFileError if the key has another fingerprint: the file belongs to another installation."""
        found = self.fingerprint(number)
        if found != expected_fingerprint:
            raise KeyFileError(
                Sentence(
                    "Key {number} of {path} has the fingerprint {found}, but this database was sealed with "
                    "{expected}: it is the key file of another installation. Put back the right one from your "
                    "safe copy.",
                    number=number,
                    path=self.path,
                    found=found,
                    expected=expected_fingerprint,
                )
            )

    def derived(self, number: int, purpose: str, make: Callable[[bytes], _Made]) -> _Made:
        """What `make` makes of a key for one purpose.  It is made once and kept, because every login needs it."""
        made: _Made
        try:
            made = self._derived[number, purpose]
        except KeyError:
            made = make(derive(self.key(number), purpose))
            self._derived[number, purpose] = made
        return made

    def __repr__(self) -> str:
        keys = ", ".join(
            f"{number} {key.state}" + (f" {fingerprint(key.secret)}" if key.state != "retired" else "")
            for number, key in sorted(self._keys.items())
        )
        return f"<Keyring {keys}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A keyring is written to its own file only.")


class Key(NamedTuple):
    secret: bytes
    state: str

    def __repr__(self) -> str:
        return f"<Key {self.state}>"


def load(path: StrPath) -> Keyring:
    """Read the key file; KeyFileError if it cannot be read or trusted."""
    text, status = _read(path)
    keyring = Keyring(_parse(text, path), os.fspath(path))
    keyring.version = _version(status)
    return keyring


def refreshed(keyring: Keyring) -> Keyring:
    """The keyring of the file as it is now; the same object if the file has not changed.

    A server runs for months.  When it misses a key, it tries again with the keyring that this returns.
    """
    with _sentences_for(keyring.path):
        unchanged = _version(os.stat(keyring.path)) == keyring.version
    return keyring if unchanged else load(keyring.path)


def create(path: StrPath) -> Keyring:
    """Make a new key file with one key, readable by its owner only.  An existing file is never changed."""
    path = Path(path)
    text = (
        "# prepaid-cards: whoever reads this file can read every PIN.  Keep a copy in a safe;\n"
        "# without it no card can log in.  Number, key, and perhaps 'waiting' or 'retired'.\n"
        f"1 {secrets.token_hex(KEY_OCTETS)}\n"
    )
    with _sentences_for(path), _locked(path.parent):
        try:
            with WholeFile(path) as new:
                new.file.write(text.encode())
                new.publish()
        except FileExistsError:
            raise KeyFileError(
                Sentence(
                    "{path} exists already and is kept: without its keys no card could log in. Add a key to it, "
                    "or choose another path.",
                    path=path,
                )
            ) from None
    return load(path)


def add_key(path: StrPath, waiting: bool = False) -> int:
    """Add a key with the next number and return the number.  It seals from now on, unless it is added as waiting."""
    number = 0

    def added(text: str, keys: dict[int, Key]) -> str:
        nonlocal number
        number = max(keys) + 1
        if number > MAX_NUMBER:
            raise KeyFileError(Sentence("{path} has used up all key numbers to {most}.", path=path, most=MAX_NUMBER))
        end_of_line = "" if text.endswith("\n") else "\n"
        state = " waiting" if waiting else ""
        return f"{text}{end_of_line}{number} {secrets.token_hex(KEY_OCTETS)}{state}\n"

    _rewrite(path, added)
    return number


def activate_key(path: StrPath, number: int) -> None:
    """Let a waiting key seal.  Every machine that opens must have the key before."""
    _set_state(path, number, "active")


def retire_key(path: StrPath, number: int) -> None:
    """Stop using a key.  Nothing in the database may be sealed with it."""
    _set_state(path, number, "retired")


def fingerprint(key: bytes) -> str:
    """Eight hexadecimal digits that differ from key to key and reveal nothing about the key.

    >>> fingerprint(bytes(32))
    '4aafeb71'
    """
    return hashlib.blake2b(key, digest_size=4, person=b"fingerprint").hexdigest()


def derive(key: bytes, purpose: str) -> bytes:
    """A separate key for each purpose, so that no key is used in two ways.

    >>> derive(bytes(32), "class") != derive(bytes(32), "seal")
    True
    >>> len(derive(bytes(32), "class"))
    32
    """
    person = purpose.encode()
    if not 1 <= len(person) <= hashlib.blake2b.PERSON_SIZE:
        raise ValueError(Sentence("A purpose has 1 to 16 octets, not {purpose!a}.", purpose=purpose))
    return hashlib.blake2b(b"derived key", key=key, person=person, digest_size=32).digest()


def _read(path: StrPath) -> tuple[str, os.stat_result]:
    with _sentences_for(path):
        # Without O_NONBLOCK, a pipe with this name would block the caller for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            # The open file is checked, not its name, so that the file that was checked is the one that is read.
            status = os.fstat(descriptor)
            _check_trusted(path, status)
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read()
        finally:
            os.close(descriptor)
    try:
        return content.decode("utf-8"), status
    except UnicodeDecodeError:
        raise KeyFileError(Sentence("{path} is not a text file. Give the path of the key file.", path=path)) from None


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _check_trusted(path: StrPath, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(Sentence("{path} is not a regular file. Give the path of the key file.", path=path))
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o027:
        what = Sentence("be used by others") if mode & 0o007 else Sentence("be written by its group")
        raise KeyFileError(
            Sentence(
                "{path} may {what} (mode {mode:04o}): whoever reads it can read every PIN. Run 'chmod "
                "640 {path}', or 600 if only one account reads it.",
                path=path,
                what=what,
                mode=mode,
            )
        )
    if status.st_uid not in (0, os.geteuid()):
        raise KeyFileError(
            Sentence(
                "{path} belongs to the account with uid {uid}, which could replace the keys. Run 'chown root {path}'.",
                path=path,
                uid=status.st_uid,
            )
        )


def _parse(text: str, path: StrPath) -> dict[int, Key]:
    """The keys by number.  No message repeats a line, because it may hold most of a key."""
    keys: dict[int, Key] = {}
    for line_number, line in enumerate(text.splitlines(), start=1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None or not 1 <= int(match["number"]) <= MAX_NUMBER:
            raise KeyFileError(
                Sentence(
                    "{path}, line {line_number}: expected a number from 1 to {most}, {digits} hexadecimal "
                    "digits, and perhaps 'waiting' or 'retired'. Put the line back from your safe copy.",
                    path=path,
                    line_number=line_number,
                    most=MAX_NUMBER,
                    digits=2 * KEY_OCTETS,
                )
            )
        number = int(match["number"])
        if number in keys:
            raise KeyFileError(
                Sentence(
                    "{path}, line {line_number}: key {number} appears twice. Remove the wrong one.",
                    path=path,
                    line_number=line_number,
                    number=number,
                )
            )
        keys[number] = Key(bytes.fromhex(match["hex"]), match["state"] or "active")
    if not keys:
        raise KeyFileError(Sentence("{path} contains no key. Put it back from your safe copy.", path=path))
    return keys


def _set_state(path: StrPath, number: int, state: str) -> None:
    def changed(text: str, keys: dict[int, Key]) -> str:
        if number not in keys:
            raise KeyFileError(
                Sentence(
                    "{path} has no key {number}. It has {numbers}.",
                    path=path,
                    number=number,
                    numbers=", ".join(map(str, sorted(keys))),
                )
            )
        if state == "active" and keys[number].state == "retired":
            raise KeyFileError(
                Sentence(
                    "Key {number} of {path} is retired and cannot be activated again. Add a new key.",
                    number=number,
                    path=path,
                )
            )
        others = [n for n, key in keys.items() if key.state == "active" and n != number]
        if state == "retired" and not others:
            raise KeyFileError(
                Sentence(
                    "Key {number} is the only active key of {path}: nothing could be sealed without it. Add a "
                    "key first.",
                    number=number,
                    path=path,
                )
            )
        return "".join(_with_state(line, number, state) for line in text.splitlines(keepends=True))

    _rewrite(path, changed)


def _with_state(line: str, number: int, state: str) -> str:
    """The line with the new state if it is this key's; its comment and all other lines stay as they were."""
    content, hash_sign, comment = line.partition("#")
    match = _LINE.fullmatch(content.strip())
    if match is None or int(match["number"]) != number:
        return line
    word = "" if state == "active" else f" {state}"
    return f"{match['number']} {match['hex']}{word}" + (f"  {hash_sign}{comment}" if hash_sign else "\n")


def _rewrite(path: StrPath, change: Callable[[str, dict[int, Key]], str]) -> None:
    """Replace the file in one step, so that a reader finds the complete old or the complete new file."""
    path = Path(os.path.realpath(path))  # a link to the file stays a link
    with _sentences_for(path), _locked(path.parent):
        text, status = _read(path)
        text = change(text, _parse(text, path))
        Keyring(_parse(text, path), os.fspath(path))
        with WholeFile(path, replace=True) as new:
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(new.file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(new.file.fileno(), stat.S_IMODE(status.st_mode))
            new.file.write(text.encode())
            new.publish()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Allow one change at a time.  The folder is locked, because the file itself is replaced."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _sentences_for(path: StrPath) -> Iterator[None]:
    """Turn an OSError into a KeyFileError that says what it means for the key file."""
    try:
        yield
    except FileNotFoundError:
        raise KeyFileError(
            Sentence(
                "{path} does not exist. Give the path of the key file in the setting key_file, or create a key "
                "file there.",
                path=path,
            )
        ) from None
    except PermissionError:
        raise KeyFileClosed(
            Sentence(
                "The account with uid {uid} may not use {path}. Give the file a group that radiusd and the "
                "office share and mode 640; only root or its owner may change it.",
                uid=os.geteuid(),
                path=path,
            )
        ) from None
    except OSError as error:
        raise KeyFileError(Sentence("{path} cannot be used: {cause}.", path=path, cause=error.strerror)) from None


_LINE = re.compile(
    rf"(?P<number>[0-9]{{1,5}})\s+(?P<hex>[0-9A-Fa-f]{{{2 * KEY_OCTETS}}})(?:\s+(?P<state>waiting|retired))?"
)
