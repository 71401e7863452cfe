"""A provider's database after some years, for the bench of the office: N cards, N sessions, their history and notes.

There are a hundred batches, in the order of generation: forty in use with two or three sessions a card, twenty delivered
and not used yet, forty in stock.  Ten products and fifty partners have the batches in turn; another partner has only the
last delivered batch, so that its cards are at the end of every index.  One in a thousand cards in use is blocked.

SQL writes the tables directly, because the office's commands would take hours; it writes all that they write, so that
`prepaid reconcile` and `prepaid audit verify` find no fault.
"""

import time
from collections.abc import Callable

BATCHES = 100
USED_BATCHES = 40
DELIVERED_BATCHES = 60
PRODUCTS = 10
PARTNERS = 50
BLOCKED_EACH = 1000
DAYS = 365
# Archived sessions of each card in use; every second one also has a session of the last three days.
ARCHIVED = 2
# One in so many sessions of the last days is still open.
OPEN_EACH = 20
ADDRESSES = 65_536

PRODUCT = """
    INSERT INTO product (id, name, kind, credit_seconds, valid_days, price_cents, commission_basis_points)
    SELECT seq, CONCAT('Product ', seq), 'internet', 360000, 3000, 1000, 1250 FROM seq_1_to_{products}
"""
PARTNER = "INSERT INTO partner (id, name) SELECT seq, CONCAT('Partner ', seq) FROM seq_1_to_{partners}"
BATCH = """
    INSERT INTO batch (id, product_id, card_count, first_serial, last_serial, made_at)
    SELECT %(batch)s, %(product)s, %(size)s, CONCAT('B', LPAD(%(first)s, 9, '0')), CONCAT('B', LPAD(%(last)s, 9, '0')),
           UTC_TIMESTAMP(3) - INTERVAL 12 * (101 - %(batch)s) DAY
"""
BATCH_EVENT = """
    INSERT INTO batch_event (batch_id, at, what, card_count)
    SELECT id, made_at, 'generated', card_count FROM batch WHERE id = %(batch)s
"""
NOTE = """
    INSERT INTO note (id, kind, partner_id, card_count, first_serial, last_serial, made_at)
    SELECT id, 'delivery', %(partner)s, card_count, first_serial, last_serial, made_at + INTERVAL 1 DAY
      FROM batch WHERE id = %(batch)s
"""
NOTE_PRICE = """
    INSERT INTO note_price (note_id, product_id, card_count, price_cents, commission_basis_points)
    VALUES (%(batch)s, %(product)s, %(size)s, 1000, 1250)
"""
# Every card is delivered once, at 8.75 less commission, and none is returned.
ACCOUNT = """
    UPDATE partner_account
       SET cards_cents = cards_cents + 875 * %(size)s
     WHERE partner_id = %(partner)s
"""
# When a card was first used: on any day of the last year, by the card's number.
FIRST_LOGIN = "UTC_TIMESTAMP(3) - INTERVAL 4 * 1440 + seq * 7919 % ({days} * 1440) MINUTE"
CARD = """
    INSERT INTO card (id, serial, pin_sealed, key_number, status, status_before_block, batch_id, product_id, partner_id,
                      delivery_note_id, first_login_at, expires_at, posted_seconds, posted_down_octets,
                      posted_up_octets, posted_login_number)
    SELECT seq, CONCAT('B', LPAD(seq, 9, '0')), RPAD(UNHEX(SHA1(seq)), 39, 'x'), 1, {status},
           NULL, %(batch)s, %(product)s, %(partner)s, %(note)s, {first_login},
           {first_login} + INTERVAL 3000 DAY, 600 * {archived}, 100000000 * {archived}, 10000000 * {archived}, {archived}
      FROM seq_{first}_to_{last}
"""
CARD_EVENT = """
    INSERT INTO card_event (card_id, at, from_status, to_status, operator, note_id)
    SELECT card.id, note.made_at, 'created', 'delivered', 'prepaid_admin', note.id
      FROM card JOIN note ON note.id = card.delivery_note_id
     WHERE card.batch_id = %(batch)s
     ORDER BY card.id
"""
USE_EVENT = """
    INSERT INTO card_event (card_id, at, from_status, to_status, operator)
    SELECT id, first_login_at, 'delivered', 'in_use', 'prepaid_radius'
      FROM card
     WHERE first_login_at >= UTC_DATE() - INTERVAL %(days_ago)s DAY
       AND first_login_at < UTC_DATE() - INTERVAL %(days_ago)s - 1 DAY
     ORDER BY first_login_at, id
"""
SESSION_COLUMNS = """card_id, login_number, nas_id, acct_session_id, device, login_at, started_at, used_seconds,
                     used_down_octets, used_up_octets, framed_ipv4"""
SESSION_VALUES = """
    card.id, login.seq, 1, CONCAT('s', login.seq, '-', card.id), CONCAT('020000', LPAD(HEX(card.id), 6, '0')),
    {at}, {at}, 600, 100000000, 10000000,
    CONCAT('10.1.', (card.id * 3 + login.seq) % {addresses} DIV 256, '.', (card.id * 3 + login.seq) % 256)
"""
ARCHIVE = """
    INSERT INTO session_archive ({columns}, ended_at, end_cause)
    SELECT {values}, {at} + INTERVAL 600 SECOND, 'User-Request'
      FROM card JOIN seq_1_to_{archived} AS login
     WHERE card.id BETWEEN %(first)s AND %(last)s
     ORDER BY card.id, login.seq
"""
ARCHIVED_AT = "(card.first_login_at + INTERVAL login.seq - 1 DAY)"
SESSION = """
    INSERT INTO session ({columns}, heard_at, stopped_at, stop_cause, due_at, due_cause, granted_seconds)
    SELECT {values}, IF({is_open}, UTC_TIMESTAMP(3), {at} + INTERVAL 600 SECOND),
           IF({is_open}, NULL, {at} + INTERVAL 600 SECOND), IF({is_open}, NULL, 'User-Request'),
           IF({is_open}, UTC_TIMESTAMP(3) + INTERVAL 1 DAY, NULL), IF({is_open}, 'time', NULL), 3600
      FROM card JOIN seq_{login}_to_{login} AS login
     WHERE card.id BETWEEN %(first)s AND %(last)s AND card.id %% 2 = 0
     ORDER BY card.id
"""
SESSION_AT = "(UTC_TIMESTAMP(3) - INTERVAL card.id * 7919 % 4320 MINUTE)"
USAGE_HOUR = """
    INSERT INTO usage_hour (hour_at, product_id, partner_id, session_count, used_seconds, used_down_octets, used_up_octets)
    SELECT ended_hour, product_id, partner_id, SUM(sessions), SUM(sessions) * 600, SUM(sessions) * 100000000,
           SUM(sessions) * 10000000
      FROM (SELECT FROM_UNIXTIME(UNIX_TIMESTAMP(archived.ended_at) DIV 3600 * 3600) AS ended_hour, card.product_id,
                   card.partner_id, 1 AS sessions
              FROM session_archive AS archived
              JOIN card ON card.id = archived.card_id
             WHERE archived.card_id BETWEEN %(first)s AND %(last)s) AS ended
     GROUP BY 1, 2, 3
        ON DUPLICATE KEY UPDATE session_count = session_count + VALUES(session_count),
           used_seconds = used_seconds + VALUES(used_seconds),
           used_down_octets = used_down_octets + VALUES(used_down_octets),
           used_up_octets = used_up_octets + VALUES(used_up_octets)
"""
BLOCK = "UPDATE card SET status = 'blocked' WHERE id BETWEEN %(first)s AND %(last)s AND id %% {each} = 0"
TABLES = ("card", "session", "session_archive", "card_event", "usage_hour")


def fill(connection, cards: int, tell: Callable[[str], None] = lambda sentence: None) -> None:
    """Make it all, in an empty schema; `cards` is a multiple of a hundred."""
    size = cards // BATCHES
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SET unique_checks = 0, foreign_key_checks = 0")
        cursor.execute(PRODUCT.format(products=PRODUCTS))
        cursor.execute(PARTNER.format(partners=PARTNERS + 1))
        for batch in range(1, BATCHES + 1):
            connection.begin()
            _batch(cursor, batch, size)
            connection.commit()
            if batch % 10 == 0:
                tell(f"{batch * size:,} cards, {time.monotonic() - began:.0f} s")
        # The history is written in the order of its times; another order would look like a forgery.
        for days_ago in range(DAYS + 6, 0, -1):
            cursor.execute(USE_EVENT, {"days_ago": days_ago})
        cursor.execute(BLOCK.format(each=BLOCKED_EACH), {"first": 1, "last": USED_BATCHES * size})
        tell(f"their history, {time.monotonic() - began:.0f} s")
        for table in TABLES:
            cursor.execute(f"ANALYZE TABLE {table}")
            cursor.fetchall()


def _batch(cursor, batch: int, size: int) -> None:
    first, last = (batch - 1) * size + 1, batch * size
    is_delivered, is_used = batch <= DELIVERED_BATCHES, batch <= USED_BATCHES
    partner = PARTNERS + 1 if batch == DELIVERED_BATCHES else batch % PARTNERS + 1
    values = {
        "batch": batch,
        "product": batch % PRODUCTS + 1,
        "size": size,
        "first": first,
        "last": last,
        "partner": partner if is_delivered else None,
        "note": batch if is_delivered else None,
    }
    cursor.execute(BATCH, values)
    cursor.execute(BATCH_EVENT, values)
    if is_delivered:
        cursor.execute(NOTE, values)
        cursor.execute(NOTE_PRICE, values)
        cursor.execute(ACCOUNT, values)
    status = "'in_use'" if is_used else "'delivered'" if is_delivered else "'created'"
    first_login = FIRST_LOGIN.format(days=DAYS).replace("%", "%%") if is_used else "NULL"
    cursor.execute(
        CARD.format(
            first=first, last=last, status=status, first_login=first_login, archived=ARCHIVED if is_used else 0
        ),
        values,
    )
    if is_delivered:
        cursor.execute(CARD_EVENT, values)
    if is_used:
        _sessions(cursor, values)


def _sessions(cursor, values: dict) -> None:
    for statement, at in ((ARCHIVE, ARCHIVED_AT), (SESSION, SESSION_AT)):
        at = at.replace("%", "%%")
        cursor.execute(
            statement.format(
                columns=SESSION_COLUMNS,
                values=SESSION_VALUES.replace("%", "%%").format(at=at, addresses=ADDRESSES),
                at=at,
                archived=ARCHIVED,
                login=ARCHIVED + 1,
                is_open=f"card.id %% {2 * OPEN_EACH} = 0",
            ),
            values,
        )
    cursor.execute(USAGE_HOUR, values)
