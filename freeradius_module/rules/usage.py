"""What was used, what is left, and what it costs, in integer arithmetic.

Usage is counted in seconds and octets, down (to the customer) and up (from the customer).  Money is not counted but
derived: a card's cost is its usage times its product's tariff, rounded down once, for the sum.  So rounding favours the
customer by less than one cent in a card's whole life, and the same usage costs the same however many packets or sessions
reported it.

Units: seconds; octets; millicents (1/1000 cent).  Tariffs are millicents a minute and millicents a megabyte (10^6 octets,
both directions together).
"""

from typing import NamedTuple

from .units import Millicents, Octets, Seconds

SECONDS_A_MINUTE = 60
OCTETS_A_MB = 10**6
MILLICENTS_A_CENT = 1000
# One more than the largest number of 32 bits, of which RADIUS' counters are made.
WORD = 2**32
WORD_MAX = WORD - 1


class Usage(NamedTuple):
    """Counters of a session, or their sum over a card's sessions."""

    seconds: Seconds = Seconds(0)
    down_octets: Octets = Octets(0)
    up_octets: Octets = Octets(0)

    @property
    def octets(self) -> Octets:
        return Octets(self.down_octets + self.up_octets)


class Tariff(NamedTuple):
    minute_millicents: Millicents = Millicents(0)
    mb_millicents: Millicents = Millicents(0)


FREE = Tariff()


class Credit(NamedTuple):
    """An amount of each kind of credit: what was bought, granted, or is left.  None: the product has no such credit.

    Each field is a kind of credit; `left` says what uses it up.
    """

    seconds: Seconds | None = None
    octets: Octets | None = None
    down_octets: Octets | None = None
    up_octets: Octets | None = None
    millicents: Millicents | None = None


# How the database's columns for each kind end, in the order of Credit: credit_seconds, added_up_octets, credit_cents.
# The office enters money in cents.
CREDIT_COLUMNS = tuple("cents" if kind == "millicents" else kind for kind in Credit._fields)


def by_column(credit: Credit) -> dict[str, int | None]:
    """The amounts by the endings of CREDIT_COLUMNS; money in whole cents, rounded down.

    >>> by_column(Credit(seconds=60, millicents=1999))
    {'seconds': 60, 'octets': None, 'down_octets': None, 'up_octets': None, 'cents': 1}
    """
    return {
        column: amount // MILLICENTS_A_CENT if column == "cents" and amount is not None else amount
        for column, amount in zip(CREDIT_COLUMNS, credit, strict=True)
    }


def counted_octets(octets: int, gigawords: int) -> Octets:
    """One counter out of the two attributes that carry it (RFC 2869, 5.1 and 5.2).

    >>> counted_octets(705032704, 1)
    5000000000
    """
    return Octets(gigawords * WORD + octets)


def followed(total: int, raw: int, last_raw: int | None, rule: str) -> Octets:
    """The octets of a session after a report, where the NAS' counter may fall within the session.

    *total* was counted so far, *raw* is what the NAS reports now, *last_raw* what it reported before.  A counter that falls
    is read by the NAS' rule.  ``wraps``: it passed 2^32, and the NAS sends no Gigawords.  ``resets``: it started again from
    zero.

    >>> followed(4_000_000_000, 5_032_704, 4_000_000_000, "wraps")
    4300000000
    >>> followed(1000, 300, 1000, "resets")
    1300
    >>> followed(1000, 1500, 1000, "resets")
    1500
    """
    if last_raw is None:
        return Octets(max(total, raw))
    if raw >= last_raw:
        return Octets(total + raw - last_raw)
    return Octets(total + raw + (WORD - last_raw if rule == "wraps" else 0))


def cost_millicents(used: Usage, tariff: Tariff) -> Millicents:
    """What usage costs, rounded down.

    Ten minutes at 5 cents a minute and 3 MB at 1 cent a MB:

    >>> cost_millicents(Usage(600, 2_000_000, 1_000_000), Tariff(5000, 1000))
    53000
    >>> cost_millicents(Usage(1, 0, 0), Tariff(5000, 0))
    83
    """
    return Millicents(
        (used.seconds * tariff.minute_millicents * OCTETS_A_MB + used.octets * tariff.mb_millicents * SECONDS_A_MINUTE)
        // (SECONDS_A_MINUTE * OCTETS_A_MB)
    )


def left(credit: Credit, used: Usage, tariff: Tariff = FREE) -> Credit:
    """What remains of a credit.  Usage beyond the credit (overrun) leaves zero.

    >>> left(Credit(seconds=600, octets=1000), Usage(400, 700, 500))
    Credit(seconds=200, octets=0, down_octets=None, up_octets=None, millicents=None)
    >>> left(Credit(millicents=100_000), Usage(600, 0, 0), Tariff(5000, 0)).millicents
    50000
    """
    cost = cost_millicents(used, tariff) if credit.millicents is not None else 0
    return Credit(
        None if credit.seconds is None else Seconds(max(credit.seconds - used.seconds, 0)),
        None if credit.octets is None else Octets(max(credit.octets - used.octets, 0)),
        None if credit.down_octets is None else Octets(max(credit.down_octets - used.down_octets, 0)),
        None if credit.up_octets is None else Octets(max(credit.up_octets - used.up_octets, 0)),
        None if credit.millicents is None else Millicents(max(credit.millicents - cost, 0)),
    )


def is_used_up(balance: Credit) -> bool:
    """Whether the card can be used no longer: the first credit that ends, ends the card.

    >>> is_used_up(Credit(seconds=0, octets=500))
    True
    >>> is_used_up(Credit(seconds=1))
    False
    """
    return 0 in balance


def seconds_for(millicents: Millicents, tariff: Tariff) -> Seconds | None:
    """How long money lasts if nothing is transferred; None if minutes cost nothing.

    Rounded up, so that the last cent buys its last second.  The customer gains less than the price of one second.

    >>> seconds_for(50_000, Tariff(minute_millicents=5000))
    600
    """
    if not tariff.minute_millicents:
        return None
    return Seconds(-(-millicents * SECONDS_A_MINUTE // tariff.minute_millicents))


def octets_for(millicents: Millicents, tariff: Tariff) -> Octets | None:
    """How much can be transferred for money if time costs nothing; None if traffic costs nothing.

    >>> octets_for(50_000, Tariff(mb_millicents=1000))
    50000000
    """
    if not tariff.mb_millicents:
        return None
    return Octets(-(-millicents * OCTETS_A_MB // tariff.mb_millicents))
