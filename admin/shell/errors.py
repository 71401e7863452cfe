"""The errors of the office's commands: what each one says, and with which exit status the command ends.

Exit statuses: 0 done, 1 refused or not found (nothing changed), 2 wrong usage, 3 database or server not reachable.

An error is a template and its values.  The template is the class' docstring, or the first argument:

    raise errors.UnknownBatch(batch=31)
    raise errors.Refused(_("The file {path} is empty."), path=path)

When the database refuses a statement, the name of the constraint tells which rule was broken.
"""

import difflib
import re
from typing import Any

import pymysql
from pymysql.constants import CR, ER

from .. import store
from .text import _


class OfficeError(Exception):
    """Something was refused."""

    exit_status = 1

    def __init__(self, template: str | None = None, **values: Any):
        template = template or _(type(self).english_template())
        super().__init__(template.format(**values) if values else template)

    @classmethod
    def english_template(cls) -> str:
        """The docstring on one line: the default message."""
        return " ".join((cls.__doc__ or "").split())


class Refused(OfficeError):
    """Refused; nothing was changed."""


class NotFound(OfficeError):
    """It does not exist."""


class WrongUsage(OfficeError):
    """The arguments of the command are wrong."""

    exit_status = 2


class NotReachable(OfficeError):
    """The database cannot be reached ({cause}). Start it, or correct the group [{group}] of {config}."""

    exit_status = 3

    def __init__(self, template: str | None = None, *, cause: object, **values: Any):
        super().__init__(template, cause=cause, **values)
        self.cause = cause


# --- What does not exist --------------------------------------------------------------------------------


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


class UnknownPayment(NotFound):
    """There is no payment {payment}. See them with 'prepaid payment list'."""


def did_you_mean(word: str, words: list[str]) -> str:
    """A sentence that names the most similar words, to put after 'There is no …'; empty if none is similar.

    >>> did_you_mean("Banca do Nort", ["Banca do Norte", "Quiosque"])
    " Did you mean 'Banca do Norte'?"
    """
    near = difflib.get_close_matches(word, words, n=3, cutoff=0.6)
    return " " + _("Did you mean {names}?").format(names=", ".join(map(repr, near))) if near else ""


# --- The database's refusals ----------------------------------------------------------------------------


class NoSchema(Refused):
    """The database has no tables for prepaid cards yet. Create them with 'prepaid db init'."""


class OtherSchema(Refused):
    """The database has schema version {found}, but this program needs version {expected}. {remedy}"""


class Busy(Refused):
    """Another command is working on the same cards. Nothing was changed; please try again."""


class Changed(Busy):
    """The cards have changed since this command first read them, and may no longer be what was confirmed. Nothing was
    changed; run the command again."""


class LostRaces(Busy):
    """The database refused this {tries} times, because others changed the same rows at the same moments. Nothing was
    changed; please try again."""


class Forbidden(Refused):
    """Nothing was changed: the account {user} lacks the role {role!r}. An administrator can add it:
    'prepaid operator add {user} --role {role}'."""


# What to say when a constraint or trigger of the database refuses, by its name.
RULES = {
    "product_name_is_unique": "A product with this name already exists. See it with 'prepaid product list'.",
    "partner_name_is_unique": "A partner with this name already exists. See it with 'prepaid partner list'.",
    "nas_name_is_unique": "A NAS with this name already exists. See it with 'prepaid nas list'.",
    "nas_address_is_unique": "Another NAS already has this address. See it with 'prepaid nas list'.",
    "serial_is_unique": "A serial of this batch already exists, and a serial is never used twice. "
    "Choose another prefix or more serial digits.",
    "status_change_is_allowed": "The card's status does not allow this. See its history with 'prepaid track'.",
    "unblock_restores_the_status_before": "A blocked card can only return to the status it had before.",
    "blocked_cards_have_an_open_block": "A card is blocked while one of its blocks is open: 'prepaid block', 'prepaid unblock'.",
    "block_has_a_reason": "A block needs a reason: --reason TEXT.",
    "card_identity_is_fixed": "A card's serial, batch and product never change.",
    "card_usage_only_grows": "Usage only grows. A correction is a new entry: 'prepaid credit'.",
    "session_usage_only_grows": "Usage only grows. A correction is a new entry: 'prepaid credit'.",
    "only_deleted_cards_lack_a_pin": "A card has a PIN until it is deleted.",
    "card_rows_stay": "A card is never removed, because its serial is never used again. Use 'prepaid delete'.",
    "history_is_never_edited": "History is never edited. Write a new entry instead.",
    "history_is_never_removed": "History is never removed. Write a new entry instead.",
    "product_has_credit": "An internet product needs a credit: --time, --traffic, --traffic-down, --traffic-up "
    "or --money.",
    "credit_is_not_zero": "A credit of zero could never be used. Leave that credit out instead.",
    "money_has_a_tariff": "Money and a tariff belong together: give --money with --tariff-minute or --tariff-mb.",
    "interim_is_a_minute_or_more": "An interim interval is 60 seconds or more (RFC 2869).",
    "sessions_are_one_or_more": "A card needs at least one session: --sessions 1.",
    "fup_is_a_share_of_traffic": "The reduced speed begins at 1 to 99 per cent of the traffic, so the product needs "
    "--traffic or --traffic-down.",
    "commission_is_a_share": "A commission is a share of the price: 0 to 100 per cent.",
    "partner_commission_is_a_share": "A commission is a share of the price: 0 to 100 per cent.",
    "product_terms_are_fixed_once_cards_exist": "The credit and tariffs of a product cannot change once it has cards, "
    "because people have bought them. Add a new product instead.",
    "reply_operator_is_known": "A reply attribute is written 'Attribute := value' or 'Attribute += value'.",
    "entry_has_a_reason": "An entry needs a reason: --reason TEXT.",
    "entry_is_made_once": "An entry with the same key already exists.",
    "reference_is_unique": "Another credit was already confirmed with this reference. Nothing was changed.",
    "redeemable_cards_have_credit": "Only a telephony card that is delivered, valid and not empty can be redeemed.",
    "nas_certificate_has_its_name": "A NAS over TLS has the name of its certificate. Add it with 'prepaid nas add NAME --tls'.",
    "nat_records_stay": "The file contradicts a record that was imported before: the same connection with another end or NAS. "
    "Nothing more of it was imported.",
    "nat_records_are_possible": "A record of the NAT log has its ports or times out of order, or is in the future.",
    "nat_records_stay_a_year": "Connection records are kept for a year.",
    "nas_with_sessions_stays": "This NAS cannot be removed: it has sessions, which are kept for a year.",
    "cards_change_hands_with_a_note": "Cards change hands only with a note: 'prepaid deliver', 'prepaid return'.",
    "questions_are_about_the_past": "The time is in the future; give one in the past.",
    "sessions_end_sooner": "No command may make a session longer than it was granted.",
    "batch_is_fixed": "A batch never changes after it was made.",
    "credit_limit_is_kept": "With this delivery the partner's unsold cards and debt would exceed its credit limit.",
    "payment_is_made_once": "A payment with the same key was recorded at the same moment. Nothing was changed; run the "
    "command again.",
    "payment_is_reversed_once": "This payment is already reversed. See it with 'prepaid payment list'.",
    "payment_has_amount_and_key": "A payment is more than zero and has a key: --key KEY.",
    "payments_are_not_in_the_future": "The day of the payment is in the future. Record the payment on its day.",
    "reversal_is_of_a_payment": "A reversal is of a payment that is not a reversal itself, and has a reason.",
    "card_is_redeemed_once": "This card was already redeemed. See when with 'prepaid track'.",
}

# Error numbers of MariaDB and of the driver.
_CANNOT_REACH = {
    ER.CON_COUNT_ERROR,
    ER.BAD_HOST_ERROR,
    ER.HANDSHAKE_ERROR,
    ER.DBACCESS_DENIED_ERROR,
    ER.ACCESS_DENIED_ERROR,
    1047,  # WSREP_NOT_READY: this node is not in the cluster
    ER.BAD_DB_ERROR,
    ER.SERVER_SHUTDOWN,
    ER.HOST_IS_BLOCKED,
    ER.HOST_NOT_PRIVILEGED,
    ER.ABORTING_CONNECTION,
    ER.NET_PACKET_TOO_LARGE,
    ER.NET_READ_ERROR,
    ER.NET_READ_INTERRUPTED,
    ER.NET_ERROR_ON_WRITE,
    ER.NET_WRITE_INTERRUPTED,
    ER.TOO_MANY_USER_CONNECTIONS,
    ER.USER_LIMIT_REACHED,
    1698,  # ACCESS_DENIED_NO_PASSWORD_ERROR: the socket's account has another name
    CR.CR_CONNECTION_ERROR,
    CR.CR_CONN_HOST_ERROR,
    CR.CR_UNKNOWN_HOST,
    CR.CR_SERVER_GONE_ERROR,
    CR.CR_SERVER_LOST,
    CR.CR_SERVER_LOST_EXTENDED,
    4151,  # ACCOUNT_HAS_BEEN_LOCKED
}
_BUSY = {ER.CHECKREAD, ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK}
_FORBIDDEN = {
    ER.TABLEACCESS_DENIED_ERROR,
    ER.COLUMNACCESS_DENIED_ERROR,
    ER.SPECIFIC_ACCESS_DENIED_ERROR,
    ER.PROCACCESS_DENIED_ERROR,
}
_NO_TABLE = {ER.NO_SUCH_TABLE}
_TOO_LONG = {ER.DATA_TOO_LONG}


def has_lost_race(error: pymysql.MySQLError) -> bool:
    """Whether the transaction was rolled back because another one was quicker; to run all of it again is right.

    In a Galera cluster, a transaction learns this at its commit if the other one ran on another node.
    """
    return bool(error.args) and error.args[0] in (ER.CHECKREAD, ER.LOCK_DEADLOCK)


def of_database(
    error: pymysql.MySQLError, config: str = "", group: str = "prepaid-admin", command: str = "", user: str = ""
) -> OfficeError:
    """The office's error for an error of the database; an unknown one is shown with the database's message.

    *config* and *group* say which settings connect to the database.  *command* and *user* are needed to name the role
    that a refused account lacks.

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
        return Forbidden(user=_user(words) or user, role=store.roles.missing(command, words))
    if rule in RULES:
        return Refused(_(RULES[rule]))
    if number in _TOO_LONG:
        return Refused(_("A text is too long ({cause}). Nothing was changed.").format(cause=words))
    if number in _FORBIDDEN:
        return Forbidden(user=_user(words) or user, role=store.roles.missing(command, words))
    return Refused(_("The database refused this: {cause}").format(cause=words))


def _user(words: str) -> str:
    """The account in a message that denies a right.

    >>> _user("INSERT command denied to user 'ana'@'localhost' for table `prepaid`.`note`")
    'ana'
    """
    match = re.search(r"denied to user '([^']*)'@", words)
    return match[1] if match else ""


def broken_rule(error: pymysql.MySQLError) -> str:
    """The name of the constraint or trigger that refused; empty if the message has none.

    >>> broken_rule(pymysql.err.IntegrityError(1062, "Duplicate entry 'A17' for key 'serial_is_unique'"))
    'serial_is_unique'
    >>> broken_rule(pymysql.err.OperationalError(1644, "card_rows_stay: a card is never removed"))
    'card_rows_stay'
    """
    words = str(error.args[1]) if len(error.args) > 1 else ""
    match = _NAMED.search(words)
    return next((name for name in match.groups() if name), "") if match else ""


# The value of a duplicate may contain anything, also quotes; the name of the key is always at the end of the message.
_NAMED = re.compile(r"for key '(?:\w+\.)?(\w+)'$|CONSTRAINT `(\w+)`|^(\w+): ")
