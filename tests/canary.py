"""PINs that no other test has, and a search for them in every form in which they may have been written."""

import base64
import contextlib
import os
import secrets
import subprocess
import sys
from functools import cache
from pathlib import Path

from freeradius_module.sealing.pin import DIGITS
from tests import mschap
from tests.office import Office

# All PINs of a run begin with this mark, so that one search finds them all.
MARK = "".join(secrets.choice(DIGITS) for _ in range(12))


def new_pin() -> str:
    return MARK + f"{secrets.randbelow(10_000):04}"


def forms(text: str) -> dict[str, bytes]:
    """The forms in which a text may be written in a file, by name.

    >>> sorted(forms("47114711"))
    ['base64 0', 'base64 1', 'base64 2', 'hex', 'octets', 'utf-16-be', 'utf-16-le', 'utf-16-le base64 0', ...]
    >>> all(forms("47114711")[f"base64 {begin}"] in base64.b64encode(b"x" * begin + b"47114711 and so on") for begin in range(3))
    True
    """
    octets = text.encode()
    found = {"octets": octets, "hex": octets.hex().encode()}
    for encoding in ("utf-16-le", "utf-16-be"):
        found[encoding] = text.encode(encoding)
    for name, whole in (("base64", octets), ("utf-16-le base64", found["utf-16-le"])):
        for begin in range(3):
            found[f"{name} {begin}"] = _inner_base64(whole, begin)
    return found


def _inner_base64(octets: bytes, begin: int) -> bytes:
    """The characters of the base64 form that depend only on `octets`, if these begin `begin` octets after a group of three."""
    whole = base64.b64encode(bytes(begin) + octets)
    # A character that also holds bits of the octets before or behind would depend on these.
    first = (begin * 8 + 5) // 6
    return whole[first : (begin + len(octets)) * 8 // 6]


def needles(pins: list[str]) -> dict[str, bytes]:
    """The forms of the mark, of PINs that the product drew, and of the hash that MS-CHAP makes of a PIN."""
    found = {f"a canary as {name}": form for name, form in forms(MARK).items()}
    for pin in pins:
        nt_hash = mschap._nt_hash(pin)
        found |= {
            f"{pin}, hashed": nt_hash,
            f"{pin}, hashed, as hex": nt_hash.hex().encode(),
            f"{pin}, hashed, as HEX": nt_hash.hex().upper().encode(),
        }
        if not pin.startswith(MARK):
            found |= {f"{pin} as {name}": form for name, form in forms(pin).items()}
    return found


def which(content: bytes, wanted: dict[str, bytes]) -> list[str]:
    return [name for name, needle in wanted.items() if needle in content]


def search(folder: Path, wanted: dict[str, bytes]) -> dict[str, list[str]]:
    """Every file below a folder whose content or name contains one of them, and which."""
    found = {}
    for path in folder.rglob("*"):
        here = which(os.fsencode(path), wanted)
        if path.is_file() and not path.is_symlink():
            here += which(path.read_bytes(), wanted)
        if here:
            found[str(path)] = here
    return found


class Processes:
    """Every process that this one starts: its command line and its environment, as `ps` shows them."""

    def __init__(self, patch):
        self.seen: list[bytes] = []
        seen = self.seen

        class Watched(subprocess.Popen):
            def __init__(self, arguments, *rest, **options):
                super().__init__(arguments, *rest, **options)
                # The kernel shows nothing of a process that has ended, so its arguments are kept too.
                seen.append(repr((arguments, options.get("env"))).encode() + shown(self.pid))

        patch.setattr(subprocess, "Popen", Watched)


def shown(pid: int) -> bytes:
    content = b""
    for name in ("cmdline", "environ", "comm"):
        with contextlib.suppress(OSError):
            content += Path(f"/proc/{pid}/{name}").read_bytes()
    return content


class WatchedOffice(Office):
    """`prepaid` in this process; keeps its output and the files that it opens for writing."""

    def __init__(self, option_file: Path):
        super().__init__(option_file)
        self.said: list[tuple[tuple, str]] = []
        self.opened: set[str] = set()

    def run(self, *arguments, stdin=None, env=None):
        with _noting_files(self.opened):
            result = super().run(*arguments, stdin=stdin, env=env)
        self.said.append((arguments, result.stdout + result.stderr))
        return result


_noted: list[set[str]] = []


@contextlib.contextmanager
def _noting_files(paths: set[str]):
    _add_hook()
    _noted.append(paths)
    try:
        yield
    finally:
        _noted.pop()


@cache
def _add_hook() -> None:
    # An audit hook cannot be removed, so it is added once, when it is first needed.
    sys.addaudithook(_note_file)


def _note_file(event: str, arguments: tuple) -> None:
    if _noted and event == "open":
        path, _mode, flags = arguments
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not isinstance(path, int):
            _noted[-1].add(os.fsdecode(path))
