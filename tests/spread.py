"""Forty NAS in a network of their own, and this machine's end of it with the rules of prepaid-spread.nft.

    unshare --net python -m tests.spread RULES

prints as JSON which server each NAS reached, by its address: [login, login from another port, accounting].
"""

import json
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

SERVERS = {1812: range(18200, 18232), 1813: range(18300, 18332)}
ADDRESSES = [f"192.0.2.{number}" for number in range(101, 121)] + [f"2001:db8::{number}" for number in range(101, 121)]
PLACES = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
WAIT_SECONDS = 10


def main(rules: str) -> None:
    """This machine: it answers on every port with that port's number, until the NAS have asked."""
    with subprocess.Popen(
        ["unshare", "--net", sys.executable, "-m", "tests.spread", "--nas"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as nas:
        wait_for_another_network(nas.pid)
        run("ip", "link", "add", "here", "type", "veth", "peer", "name", "there")
        run("ip", "link", "set", "there", "netns", str(nas.pid))
        run("ip", "addr", "add", "192.0.2.1/24", "dev", "here")
        run("ip", "addr", "add", "2001:db8::1/64", "dev", "here", "nodad")
        run("ip", "link", "set", "here", "up")
        run("nft", "-f", rules)
        sockets = [bound("::", port) for ports in SERVERS.values() for port in ports]
        nas.stdin.write("go\n")
        nas.stdin.flush()
        while nas.poll() is None:
            for ready in select.select(sockets, (), (), 0.1)[0]:
                _, where = ready.recvfrom(100)
                ready.sendto(str(ready.getsockname()[1]).encode(), where)
        print(nas.stdout.read())
        sys.exit(nas.returncode)


def ask_all() -> None:
    """The NAS: a socket takes an answer from nowhere but where it has asked."""
    sys.stdin.readline()
    run("ip", "link", "set", "there", "up")
    for address in ADDRESSES:
        if ":" in address:
            run("ip", "addr", "add", f"{address}/64", "dev", "there", "nodad")
        else:
            run("ip", "addr", "add", f"{address}/24", "dev", "there")
    print(json.dumps({address: [asked(address, port) for port in (1812, 1812, 1813)] for address in ADDRESSES}))


def asked(address: str, port: int) -> int:
    with bound(address, 0) as line:
        line.connect((PLACES[line.family], port))
        line.settimeout(0.5)
        ends_at = time.monotonic() + WAIT_SECONDS
        while True:
            line.send(b"?")
            try:
                return int(line.recv(100))
            except TimeoutError:
                if time.monotonic() > ends_at:
                    raise


def bound(address: str, port: int) -> socket.socket:
    line = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    line.bind((address, port))
    return line


def wait_for_another_network(pid: int) -> None:
    ends_at = time.monotonic() + WAIT_SECONDS
    while os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net"):
        if time.monotonic() > ends_at:
            raise TimeoutError("no network of its own")
        time.sleep(0.01)


def run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    if sys.argv[1] == "--nas":
        ask_all()
    else:
        main(str(Path(sys.argv[1])))
