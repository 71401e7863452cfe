"""A network for three nodes that can be partitioned: a network namespace for each, and a virtual switch.

Each node has two links: `front`, over which FreeRADIUS and this program reach it, and `inner`, over which the nodes
reach each other.  A partition detaches a node from the switch: its link stays up, its packets are lost, and no connection
is reset.  This needs root.
"""

import os
import subprocess

from tests.stack.galera import Place

PORT, GROUP_PORT, IST_PORT, SST_PORT = 3306, 4567, 4568, 4444


class Network:
    def __init__(self, count: int = 3):
        self._word = f"pc{os.getpid() % 100_000}"
        # Random, so that several networks on one machine nearly always have different addresses.
        self._subnet = os.getpid() % 60 * 4
        self.names = [f"{self._word}-{index}" for index in range(count)]
        self._hub = f"{self._word}-hub"
        self.places = [
            Place(
                f"10.213.{self._subnet + index}.2",
                PORT,
                f"10.214.0.{index + 1}",
                GROUP_PORT,
                IST_PORT,
                SST_PORT,
                ("ip", "netns", "exec", name),
            )
            for index, name in enumerate(self.names)
        ]

    def __enter__(self) -> "Network":
        try:
            self._make()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_fault) -> None:
        self.remove()

    def cut(self, *indexes: int) -> None:
        """Detach each of these nodes."""
        for index in indexes:
            self._in_hub("link", "set", f"n{index}", "nomaster")

    def mend(self) -> None:
        for index in range(len(self.places)):
            self._in_hub("link", "set", f"n{index}", "master", "switch")

    def remove(self) -> None:
        # Removing a namespace removes its ends of the links, and thereby the other ends.
        for name in [*self.names, self._hub]:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)

    def _make(self) -> None:
        _ip("netns", "add", self._hub)
        self._in_hub("link", "add", "switch", "type", "bridge")
        self._in_hub("link", "set", "switch", "up")
        for index, (name, place) in enumerate(zip(self.names, self.places, strict=True)):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
            front = f"{self._word}f{index}"
            _ip("link", "add", front, "type", "veth", "peer", "name", "front", "netns", name)
            _ip("addr", "add", f"{place.address[:-1]}1/30", "dev", front)
            _ip("link", "set", front, "up")
            _ip("-n", name, "addr", "add", f"{place.address}/30", "dev", "front")
            _ip("-n", name, "link", "set", "front", "up")
            _ip("-n", self._hub, "link", "add", f"n{index}", "type", "veth", "peer", "name", "inner", "netns", name)
            _ip("-n", name, "addr", "add", f"{place.group_address}/24", "dev", "inner")
            _ip("-n", name, "link", "set", "inner", "up")
            self._in_hub("link", "set", f"n{index}", "up")
        self.mend()

    def _in_hub(self, *arguments: str) -> None:
        _ip("-n", self._hub, *arguments)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
