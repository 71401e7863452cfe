"""QR codes for many cards.

A QR code of a given version and mask is its data and error correction, placed on fixed modules under a fixed mask.
The error correction is linear in the data.  So two codes of texts of the same length differ only by the effects of the
bits that differ, whatever the other bits are.  segno draws one code in full, and one more for each new bit; every other
code is a few exclusive ors, a thousand times faster than drawing it.
"""

from typing import Any

import segno

# The level that survives a scratched card: 15 % of the modules may be lost.
ERROR_LEVEL = "m"


class QrCodes:
    """The codes of any number of texts.

    >>> codes = QrCodes()
    >>> code = codes.draw("LIVRE000000424 0123456789")
    >>> code.modules, len(code.rows), len(code.rows[0])
    (25, 25, 4)
    """

    def __init__(self) -> None:
        # Texts of the same length share a base, because they have the same version and mask.
        self._bases: dict[int, _Base] = {}

    def draw(self, text: str) -> "Code":
        octets = text.encode()
        base = self._bases.get(len(octets))
        if base is None:
            base = self._bases[len(octets)] = _Base(octets)
        return base.code(octets)


class Code:
    """A drawn code: the number of modules a side, and the rows as bits, one a module; 1 is dark."""

    __slots__ = ("modules", "bits")

    def __init__(self, modules: int, bits: int):
        self.modules = modules
        self.bits = bits

    @property
    def octets(self) -> bytes:
        """The rows from the top, each padded to whole octets, as an image in a PDF has them."""
        return self.bits.to_bytes(self.modules * _row_octets(self.modules), "big")

    @property
    def rows(self) -> list[bytes]:
        width = _row_octets(self.modules)
        return [self.octets[at : at + width] for at in range(0, self.modules * width, width)]


class _Base:
    def __init__(self, octets: bytes):
        drawn = segno.make(octets, mode="byte", error=ERROR_LEVEL, micro=False, boost_error=False)
        self.octets = octets
        self.version = drawn.version
        self.mask = drawn.mask
        self.modules = len(drawn.matrix)
        self.bits = _bits(drawn)
        self._effects: dict[tuple[int, int], int] = {}

    def code(self, octets: bytes) -> Code:
        bits = self.bits
        for position, (octet, base_octet) in enumerate(zip(octets, self.octets, strict=True)):
            if octet != base_octet:
                bits ^= self._effect(position, octet ^ base_octet)
        return Code(self.modules, bits)

    def _effect(self, position: int, difference: int) -> int:
        """The modules that change when these bits of one octet change."""
        found = self._effects.get((position, difference))
        if found is None:
            lowest = difference & -difference
            if difference != lowest:
                found = self._effect(position, lowest) ^ self._effect(position, difference ^ lowest)
            else:
                changed = bytearray(self.octets)
                changed[position] ^= difference
                drawn = segno.make(
                    bytes(changed),
                    mode="byte",
                    error=ERROR_LEVEL,
                    version=self.version,
                    mask=self.mask,
                    boost_error=False,
                )
                found = _bits(drawn) ^ self.bits
            self._effects[position, difference] = found
        return found


def _bits(drawn: Any) -> int:
    width = 8 * _row_octets(len(drawn.matrix))
    text = "".join("".join("1" if module & 1 else "0" for module in row).ljust(width, "0") for row in drawn.matrix)
    return int(text, 2)


def _row_octets(modules: int) -> int:
    return (modules + 7) // 8
