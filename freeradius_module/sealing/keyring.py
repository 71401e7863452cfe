"""The key file: the keys that seal PINs and NAS secrets, kept outside the database.

A text file, one key a line: its number, 64 hexadecimal digits, and perhaps its state.  Blank
lines and what follows a ``#`` are ignored.

    # prepaid-cards: whoever reads this file can read every PIN.  Keep a copy in a safe.
    1 7d0f...  retired
    2 52c1...
    3 e08a...  waiting

==========  =====  =====  ==================================================================
state       opens  seals  when
==========  =====  =====  ==================================================================
(none)      yes    yes    in use; of several, the highest number seals
waiting     yes    no     new: on its way to every machine that opens, before the first seals
retired     no     no     over: nothing in the database is sealed with it any more
==========  =====  =====  ==================================================================

To change keys: add one as waiting, copy the file to every machine, activate it, seal anew
what the old key sealed, retire the old one.  No login fails on the way.

The file must belong to root or to the account that reads it, and must not be open to others;
its group may read, because radiusd and the office run under different accounts.
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
from typing import NamedTuple

from ..sentence import Sentence
from ..whole_file import WholeFile

KEY_OCTETS = 32
MAX_NUMBER = 65535
STATES = ("active", "waiting", "retired")


class KeyFileError(Exception):
    """The key file cannot be used."""


class KeyFileClosed(KeyFileError):
    """This account may not read the key file."""


class Keyring:
    """The keys of one file.  It never shows a key, only numbers and fingerprints.

    >>> ring = Keyring({1: Key(bytes(32), "retired"), 2: Key(bytes(range(32)), "active")})
    >>> ring
    <Keyring 1 retired, 2 active 4d7c2f30>
    >>> ring.sealing_number
    2
    """

    def __init__(self, keys: dict[int, "Key"], path: str = "the key file"):
        self.path = path
        self.version: tuple[int, ...] | None = None  # Of the file it was read from.
        self._keys = dict(keys)
        self._derived: dict[tuple[int, str], object] = {}
        active = [number for number, key in keys.items() if key.state == "active"]
        if not active:
            raise KeyFileError(
                Sentence(
                    "There is no active key in {path}, so nothing can be sealed. Add one, or remove the word "
                    "behind a waiting key.",
                    path=path,
                )
            )
        self.sealing_number = max(active)

    @property
    def numbers(self) -> list[int]:
        """The numbers of the keys that open, lowest first."""
        return sorted(number for number, key in self._keys.items() if key.state != "retired")

    @property
    def states(self) -> dict[int, str]:
        """The state of every key of the file, by number: see STATES."""
        return {number: key.state for number, key in sorted(self._keys.items())}

    def key(self, number: int) -> bytes:
        """The key with this number, if it opens."""
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
                    "'retired' behind it, seal anew what it sealed, then retire it again.",
                    number=number,
                    path=self.path,
                )
            )
        return key.secret

    def lasting(self, purpose: str) -> bytes:
        """A key for one purpose that stays the same while keys change: made of the first key in the file, retired or
        not.  For what is proved for some days, like a session's Class; never for what is sealed."""
        return derive(self._keys[min(self._keys)].secret, purpose)

    def fingerprint(self, number: int) -> str:
        """The fingerprint of one key, for the database to remember which key is meant."""
        return fingerprint(self.key(number))

    def confirm(self, number: int, expected_fingerprint: str) -> None:
        """Refuse a key file that belongs to another installation."""
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

    def derived(self, number: int, purpose: str, make: Callable[[bytes], object] = bytes) -> object:
        """What `make` makes of the key for one purpose; made once, because it is asked for at every login."""
        try:
            return self._derived[number, purpose]
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

    def __reduce__(self):
        raise TypeError("A keyring is not written anywhere but to its own file.")


class Key(NamedTuple):
    secret: bytes
    state: str

    def __repr__(self) -> str:
        return f"<Key {self.state}>"


def load(path: str | os.PathLike) -> Keyring:
    """Read the key file, or say why it cannot be trusted."""
    text, status = _read(path)
    keyring = Keyring(_parse(text, path), os.fspath(path))
    keyring.version = _version(status)
    return keyring


def refreshed(keyring: Keyring) -> Keyring:
    """The keyring as its file is now; the same object while the file is unchanged.

    For a server that runs for months: when a key is missing, ask once more with what this returns.
    """
    with _sentences_for(keyring.path):
        unchanged = _version(os.stat(keyring.path)) == keyring.version
    return keyring if unchanged else load(keyring.path)


def create(path: str | os.PathLike) -> Keyring:
    """Make a new key file with one key, readable by its owner only.  An existing file is never touched."""
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


def add_key(path: str | os.PathLike, waiting: bool = False) -> int:
    """Add a key with the next number and return the number.  It seals from now on, unless it is to wait."""
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


def activate_key(path: str | os.PathLike, number: int) -> None:
    """Let a waiting key seal.  Every machine that opens must have it by now."""
    _set_state(path, number, "active")


def retire_key(path: str | os.PathLike, number: int) -> None:
    """Let a key open no more.  Call this when nothing in the database is sealed with it."""
    _set_state(path, number, "retired")


def fingerprint(key: bytes) -> str:
    """Eight hexadecimal digits that tell keys apart and tell nothing about the key.

    >>> fingerprint(bytes(32))
    '4aafeb71'
    """
    return hashlib.blake2b(key, digest_size=4, person=b"fingerprint").hexdigest()


def derive(key: bytes, purpose: str) -> bytes:
    """A key of its own for each purpose, so that no two uses of one key can meet.

    >>> derive(bytes(32), "class") != derive(bytes(32), "seal")
    True
    >>> len(derive(bytes(32), "class"))
    32
    """
    person = purpose.encode()
    if not 1 <= len(person) <= hashlib.blake2b.PERSON_SIZE:
        raise ValueError(f"A purpose has 1 to 16 octets, unlike {purpose!a}.")
    return hashlib.blake2b(b"derived key", key=key, person=person, digest_size=32).digest()


def _read(path: str | os.PathLike) -> tuple[str, os.stat_result]:
    with _sentences_for(path):
        # Without O_NONBLOCK a pipe under this name would hold the caller for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            # The open file is asked, not its name, so that what was checked is what is read.
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


def _check_trusted(path: str | os.PathLike, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(Sentence("{path} is not a regular file. Give the path of the key file.", path=path))
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o027:
        what = Sentence("be used by others") if mode & 0o007 else Sentence("be written by its group")
        raise KeyFileError(
            Sentence(
                "{path} may {what} (mode {mode:04o}): whoever reads it can read every PIN. Say 'chmod "
                "640 {path}', or 600 where one account alone reads it.",
                path=path,
                what=what,
                mode=mode,
            )
        )
    if status.st_uid not in (0, os.geteuid()):
        raise KeyFileError(
            Sentence(
                "{path} belongs to the account with uid {uid}, who could exchange the keys. Say 'chown root {path}'.",
                path=path,
                uid=status.st_uid,
            )
        )


def _parse(text: str, path: str | os.PathLike) -> dict[int, Key]:
    """The keys by number.  No message repeats a line: it may hold most of a key."""
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
                    "{path}, line {line_number}: key {number} is there twice. Remove the wrong one.",
                    path=path,
                    line_number=line_number,
                    number=number,
                )
            )
        keys[number] = Key(bytes.fromhex(match["hex"]), match["state"] or "active")
    if not keys:
        raise KeyFileError(Sentence("{path} has no key in it. Put it back from your safe copy.", path=path))
    return keys


def _set_state(path: str | os.PathLike, number: int, state: str) -> None:
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
                    "Key {number} of {path} is retired and does not come back. Add a new key.", number=number, path=path
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
    """A line with the key's new state; any other line, and every comment, as it was."""
    content, hash_sign, comment = line.partition("#")
    match = _LINE.fullmatch(content.strip())
    if match is None or int(match["number"]) != number:
        return line
    word = "" if state == "active" else f" {state}"
    return f"{match['number']} {match['hex']}{word}" + (f"  {hash_sign}{comment}" if hash_sign else "\n")


def _rewrite(path: str | os.PathLike, change: Callable[[str, dict[int, Key]], str]) -> None:
    """Replace the file in one step, so that a reader finds the old or the new one, whole."""
    path = Path(os.path.realpath(path))  # A link to the file stays a link.
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
    """One change at a time.  The folder is locked because the file itself is replaced."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _sentences_for(path: str | os.PathLike) -> Iterator[None]:
    """Say what the system's refusal means for the key file."""
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
