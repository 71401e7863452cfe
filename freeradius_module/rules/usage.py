"""What was used, what is left, and what it costs: integer arithmetic, nothing else.

Usage is counted in seconds and octets, down (to the customer) and up (from the customer).  Money is
not counted but derived: a card's money is its usage times the tariff of its product, rounded down
once, for the sum.  So rounding favours the customer by less than one cent in a card's whole life,
and the same usage costs the same however many packets or sessions reported it.

Units: seconds; octets; millicents (1/1000 cent); tariffs in millicents a minute and millicents a
megabyte (10^6 octets, both directions together).
"""

from typing import NamedTuple

SECONDS_A_MINUTE = 60
OCTETS_A_MB = 10**6
WORD = 2**32


class Usage(NamedTuple):
    """Counters of a session, or their sum over a card's sessions."""

    seconds: int = 0
    down_octets: int = 0
    up_octets: int = 0

    @property
    def octets(self) -> int:
        return self.down_octets + self.up_octets


class Tariff(NamedTuple):
    minute_millicents: int = 0
    mb_millicents: int = 0


FREE = Tariff()


class Credit(NamedTuple):
    """What was bought, or what is left of it; None where the product has no such credit."""

    seconds: int | None = None
    octets: int | None = None
    down_octets: int | None = None
    up_octets: int | None = None
    millicents: int | None = None


def counted_octets(octets: int, gigawords: int) -> int:
    """One counter out of the two attributes that carry it (RFC 2869, 5.1).

    >>> counted_octets(705032704, 1)
    5000000000
    """
    return gigawords * WORD + octets


def added(reported: int, seen: int) -> int:
    """How much of a cumulative counter is new.  A repeated or late report adds nothing.

    >>> added(600, 300)
    300
    >>> added(300, 600)
    0
    """
    return max(reported - seen, 0)


def followed(total: int, raw: int, last_raw: int | None, rule: str) -> int:
    """A counter that falls within a session, read by the NAS' counter rule.

    *total* is what was counted so far, *raw* what the NAS says now, *last_raw* what it said before.
    ``wraps``: it has passed 2^32 and its NAS sends no Gigawords.  ``resets``: it has begun again from zero.

    >>> followed(4_000_000_000, 5_032_704, 4_000_000_000, "wraps")
    4300000000
    >>> followed(1000, 300, 1000, "resets")
    1300
    >>> followed(1000, 1500, 1000, "resets")
    1500
    """
    if last_raw is None:
        return max(total, raw)
    if raw >= last_raw:
        return total + raw - last_raw
    return total + raw + (WORD - last_raw if rule == "wraps" else 0)


def cost_millicents(used: Usage, tariff: Tariff) -> int:
    """What usage costs, rounded down.

    Ten minutes at 5 cents a minute and 3 MB at 1 cent a MB:

    >>> cost_millicents(Usage(600, 2_000_000, 1_000_000), Tariff(5000, 1000))
    53000
    >>> cost_millicents(Usage(1, 0, 0), Tariff(5000, 0))
    83
    """
    return (
        used.seconds * tariff.minute_millicents * OCTETS_A_MB + used.octets * tariff.mb_millicents * SECONDS_A_MINUTE
    ) // (SECONDS_A_MINUTE * OCTETS_A_MB)


def left(credit: Credit, used: Usage, tariff: Tariff = FREE) -> Credit:
    """What remains of a credit.  Beyond its end the balance stands at zero (the rest is overrun).

    >>> left(Credit(seconds=600, octets=1000), Usage(400, 700, 500))
    Credit(seconds=200, octets=0, down_octets=None, up_octets=None, millicents=None)
    >>> left(Credit(millicents=100_000), Usage(600, 0, 0), Tariff(5000, 0)).millicents
    50000
    """
    cost = cost_millicents(used, tariff) if credit.millicents is not None else 0
    return Credit(
        None if credit.seconds is None else max(credit.seconds - used.seconds, 0),
        None if credit.octets is None else max(credit.octets - used.octets, 0),
        None if credit.down_octets is None else max(credit.down_octets - used.down_octets, 0),
        None if credit.up_octets is None else max(credit.up_octets - used.up_octets, 0),
        None if credit.millicents is None else max(credit.millicents - cost, 0),
    )


def is_used_up(balance: Credit) -> bool:
    """Whether nothing can be had any more: the first credit that ends, ends the card.

    >>> is_used_up(Credit(seconds=0, octets=500))
    True
    >>> is_used_up(Credit(seconds=1))
    False
    """
    return 0 in balance


def seconds_for(millicents: int, tariff: Tariff) -> int | None:
    """How long money lasts if nothing is transferred; None if minutes cost nothing.

    Rounded up, so that the last cent buys its last second: what is over is less than one second's price.

    >>> seconds_for(50_000, Tariff(minute_millicents=5000))
    600
    """
    if not tariff.minute_millicents:
        return None
    return -(-millicents * SECONDS_A_MINUTE // tariff.minute_millicents)


def octets_for(millicents: int, tariff: Tariff) -> int | None:
    """How much can be transferred for money if time costs nothing; None if traffic costs nothing.

    >>> octets_for(50_000, Tariff(mb_millicents=1000))
    50000000
    """
    if not tariff.mb_millicents:
        return None
    return -(-millicents * OCTETS_A_MB // tariff.mb_millicents)
