"""What the office refuses, and how it says so.

Exit statuses: 0 done, 1 refused or not found (nothing changed), 2 wrong usage, 3 database or server not
reachable.  An error's docstring is its default message; {names} in it are filled in from the error's arguments.
The database's own refusals are recognised by the constraint's *name*, which is the rule that was broken.
"""

import difflib
import re

import pymysql

from .. import store
from .text import _


class OfficeError(Exception):
    """Something was refused."""

    exit_status = 1

    def __init__(self, message: str | None = None, **names):
        sentence = message or _(" ".join(self.__doc__.split()))
        super().__init__(sentence.format(**names) if names else sentence)


class Refused(OfficeError):
    """Refused; nothing was changed."""


class NotFound(OfficeError):
    """It does not exist."""


class WrongUsage(OfficeError):
    """The command was not used as it is meant."""

    exit_status = 2


class NotReachable(OfficeError):
    """The database cannot be reached ({cause}). Start it, or correct the group [{group}] of {config}."""

    exit_status = 3

    def __init__(self, message: str | None = None, **names):
        super().__init__(message, **names)
        self.cause = names["cause"]


# --- What is not there ----------------------------------------------------------------------------------


class UnknownProduct(NotFound):
    """There is no product {name!r}.{hint} See them with 'prepaid product list'."""


class UnknownPartner(NotFound):
    """There is no partner {name!r}.{hint} See them with 'prepaid partner list'."""


class UnknownNas(NotFound):
    """There is no NAS {name!r}.{hint} See them with 'prepaid nas list'."""


class UnknownBatch(NotFound):
    """There is no batch {batch}. See the batches with 'prepaid batch list'."""


class UnknownCard(NotFound):
    """There is no card {serial}.{hint}"""


class UnknownOperator(NotFound):
    """There is no operator {name!r}.{hint} See them with 'prepaid operator list'."""


class UnknownNote(NotFound):
    """There is no note {note}. See them with 'prepaid note list'."""


def did_you_mean(word: str, words: list[str]) -> str:
    """The nearest of what there is, as a sentence to put after 'There is no …', or nothing.

    >>> did_you_mean("Banca do Nort", ["Banca do Norte", "Quiosque"])
    " Did you mean 'Banca do Norte'?"
    """
    near = difflib.get_close_matches(word, words, n=3, cutoff=0.6)
    return " " + _("Did you mean {names}?").format(names=", ".join(map(repr, near))) if near else ""


# --- The database's refusals ----------------------------------------------------------------------------


class NoSchema(Refused):
    """The database has no tables of prepaid cards yet. Make them with 'prepaid db init'."""


class OtherSchema(Refused):
    """The database has schema version {found}, and this program works with version {expected}. {remedy}"""


class Busy(Refused):
    """Another command works on the same cards just now. Nothing was changed; please try again."""


class Forbidden(Refused):
    """Nothing was changed: the account {user} lacks the role {role!r} ({cause}). Whoever made the account can give it:
    'prepaid operator add {user} --role {role}'."""


# By the name of the constraint: the sentence behind the rule.
RULES = {
    "product_name_is_unique": "There is a product of this name already. See it with 'prepaid product list'.",
    "partner_name_is_unique": "There is a partner of this name already. See it with 'prepaid partner list'.",
    "nas_name_is_unique": "There is a NAS of this name already. See it with 'prepaid nas list'.",
    "nas_address_is_unique": "Another NAS has this address already. See it with 'prepaid nas list'.",
    "serial_is_unique": "A serial of this batch exists already, and a serial is never used twice. "
    "Choose another prefix or other serial digits.",
    "status_change_is_allowed": "The card's status does not allow this. See its history with 'prepaid track'.",
    "unblock_restores_the_status_before": "A blocked card goes back to the status it had before, and to no other.",
    "card_identity_is_fixed": "A card's serial, batch and product never change.",
    "card_usage_only_grows": "Usage only grows. A correction is a new entry: 'prepaid credit'.",
    "session_usage_only_grows": "Usage only grows. A correction is a new entry: 'prepaid credit'.",
    "only_deleted_cards_lack_a_pin": "A card has a PIN until it is deleted.",
    "card_rows_stay": "A card is never removed, because its serial is used for ever. Use 'prepaid delete'.",
    "history_is_never_edited": "History is never edited. Write a new entry instead.",
    "history_is_never_removed": "History is never removed. Write a new entry instead.",
    "product_has_credit": "A product for internet needs a credit: --time, --traffic, --traffic-down, --traffic-up "
    "or --money.",
    "credit_is_not_zero": "A credit of zero could never be used. Leave that credit out instead.",
    "money_has_a_tariff": "Money and a tariff belong together: give --money with --tariff-minute or --tariff-mb.",
    "interim_is_a_minute_or_more": "An interim interval is 60 seconds or more (RFC 2869).",
    "sessions_are_one_or_more": "A card needs at least one session: --sessions 1.",
    "fup_is_a_share_of_traffic": "The reduced speed begins at 1 to 99 per cent of the traffic, so the product needs "
    "--traffic or --traffic-down.",
    "commission_is_a_share": "A commission is a share of the price: 0 to 100 per cent.",
    "partner_commission_is_a_share": "A commission is a share of the price: 0 to 100 per cent.",
    "product_terms_are_fixed_once_cards_exist": "The credit and tariffs of a product are fixed once it has cards, "
    "because people bought them. Make a new product instead.",
    "reply_operator_is_known": "A reply attribute is written 'Attribute := value' or 'Attribute += value'.",
    "entry_has_a_reason": "An entry needs a reason: --reason TEXT.",
    "entry_is_made_once": "This entry was made already, with the same key.",
    "reference_is_unique": "Another credit was confirmed with this reference already. Nothing was changed.",
    "redeemable_cards_have_credit": "Only a card of telephony that is delivered, valid and not empty is redeemed.",
    "nas_with_sessions_stays": "Sessions name this NAS, and they are kept for a year. It stays.",
    "cards_change_hands_with_a_note": "Cards change hands with a note of their own: 'prepaid deliver', 'prepaid return'.",
    "questions_are_about_the_past": "Nobody had an address in the future.",
    "sessions_end_sooner": "No command lets a session go on for longer than it was granted.",
    "batch_is_fixed": "A batch stays what it was when it was made.",
    "card_is_redeemed_once": "This card was redeemed already. See when with 'prepaid track'.",
}

_CANNOT_REACH = {
    1040,
    1042,
    1043,
    1044,
    1045,
    1047,
    1049,
    1053,
    1129,
    1130,
    1152,
    1153,
    1158,
    1159,
    1160,
    1161,
    1203,
    1226,
    1698,
    2002,
    2003,
    2005,
    2006,
    2013,
    2055,
    4151,
}
_BUSY = {1020, 1205, 1213}
_FORBIDDEN = {1142, 1143, 1227, 1370}
_NO_TABLE = {1146}
_TOO_LONG = {1406}


def of_database(
    error: pymysql.MySQLError, config: str = "", group: str = "prepaid-admin", command: str = "", user: str = ""
) -> OfficeError:
    """The office's error for the database's.  What we do not know is shown as it came.

    The command and its account are there to name the role that a refused account lacks.

    >>> str(of_database(pymysql.err.OperationalError(4025, "CONSTRAINT `credit_is_not_zero` failed for `p`.`product`")))
    'A credit of zero could never be used. Leave that credit out instead.'
    >>> of_database(pymysql.err.OperationalError(1213, "Deadlock found")).exit_status
    1
    >>> of_database(pymysql.err.OperationalError(2003, "Can't connect")).exit_status
    3
    """
    number = error.args[0] if error.args else 0
    words = str(error.args[1]) if len(error.args) > 1 else str(error)
    if number in _CANNOT_REACH or isinstance(error, pymysql.err.InterfaceError):
        return NotReachable(cause=words or _("the connection was lost"), group=group, config=config)
    if number in _BUSY:
        return Busy()
    if number in _NO_TABLE:
        return NoSchema()
    rule = broken_rule(error)
    if rule == "status_change_needs_its_role":
        return Forbidden(user=_user(words) or user, role=store.roles.missing(command, words), cause=rule)
    if rule in RULES:
        return Refused(_(RULES[rule]))
    if number in _TOO_LONG:
        return Refused(_("A text is too long ({cause}). Nothing was changed.").format(cause=words))
    if number in _FORBIDDEN:
        return Forbidden(user=_user(words) or user, role=store.roles.missing(command, words), cause=words)
    return Refused(_("The database refused this: {cause}").format(cause=words))


def _user(words: str) -> str:
    """The account that a right was denied to.

    >>> _user("INSERT command denied to user 'ana'@'localhost' for table `prepaid`.`note`")
    'ana'
    """
    match = re.search(r"denied to user '([^']*)'@", words)
    return match[1] if match else ""


def broken_rule(error: pymysql.MySQLError) -> str:
    """The name of the constraint or trigger that refused, or nothing.

    >>> broken_rule(pymysql.err.IntegrityError(1062, "Duplicate entry 'A17' for key 'serial_is_unique'"))
    'serial_is_unique'
    >>> broken_rule(pymysql.err.OperationalError(1644, "card_rows_stay: a card is never removed"))
    'card_rows_stay'
    """
    words = str(error.args[1]) if len(error.args) > 1 else ""
    match = _NAMED.search(words)
    return next((name for name in match.groups() if name), "") if match else ""


# A duplicate's value may contain anything, quotes included: its key is the last thing said.
_NAMED = re.compile(r"for key '(?:\w+\.)?(\w+)'$|CONSTRAINT `(\w+)`|^(\w+): ")
