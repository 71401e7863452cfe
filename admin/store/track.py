"""The statements of `prepaid track`: the history of one card, each kind of event by itself."""

from freeradius_module.rules.usage import CREDIT_COLUMNS

from .rows import Cursor, Row


def batch_events(cursor: Cursor, batch_id: int, serial: str) -> list[Row]:
    """The events of a batch that concern this card."""
    cursor.execute(
        """
        SELECT at, what, operator, reason, detail
          FROM batch_event
         WHERE batch_id = %(batch_id)s
           AND what <> 'pins_read'
           AND (first_serial IS NULL OR %(serial)s BETWEEN first_serial AND last_serial)
         ORDER BY id
        """,
        {"batch_id": batch_id, "serial": serial},
    )
    return list(cursor.fetchall())


def card_events(cursor: Cursor, card_id: int) -> list[Row]:
    """Changes of status and compensating entries; `what` names each."""
    cursor.execute(
        f"""
        SELECT card_event.at, COALESCE(card_event.what, card_transition.what) AS what, card_event.operator,
               card_event.reason, card_event.note_id AS note, card_event.from_status, card_event.to_status,
               {", ".join(f"NULLIF(card_entry.added_{kind}, 0) AS added_{kind}" for kind in CREDIT_COLUMNS)},
               card_entry.expires_at, other.serial AS other_card, card_block.scope,
               card_block.reason AS block, card_block.lifted_at IS NULL AS is_open
          FROM card_event
          LEFT JOIN card_transition ON card_transition.from_status = card_event.from_status
                                   AND card_transition.to_status = card_event.to_status
          LEFT JOIN card_entry ON card_entry.id = card_event.entry_id
          LEFT JOIN card AS other ON other.id = card_entry.other_card_id
          LEFT JOIN card_block ON card_block.id = card_event.block_id
         WHERE card_event.card_id = %(card_id)s
         ORDER BY card_event.id
        """,
        {"card_id": card_id},
    )
    return list(cursor.fetchall())


def sessions(cursor: Cursor, card_id: int) -> list[Row]:
    """Logins and their sessions, live and archived, without addresses: those need `store.session.who_had`."""
    cursor.execute(
        """
        SELECT session_overview.login_number, session_overview.login_at, session_overview.started_at,
               session_overview.heard_at, session_overview.ended_at, session_overview.end_cause,
               session_overview.due_cause, session_overview.acct_session_id, session_overview.device,
               nas.name AS nas, session_overview.used_seconds AS seconds,
               session_overview.used_down_octets + session_overview.used_up_octets AS octets,
               session_overview.used_down_octets AS down_octets, session_overview.used_up_octets AS up_octets,
               NULLIF(session_overview.overrun_seconds, 0) AS overrun_seconds,
               NULLIF(session_overview.overrun_octets, 0) AS overrun_octets,
               session_overview.is_open
          FROM session_overview
          LEFT JOIN nas ON nas.id = session_overview.nas_id
         WHERE session_overview.card_id = %(card_id)s
         ORDER BY session_overview.login_number
        """,
        {"card_id": card_id},
    )
    return list(cursor.fetchall())


def refusals(cursor: Cursor, card_id: int) -> list[Row]:
    """Refused logins, counted by source and window of 15 minutes."""
    cursor.execute(
        """
        SELECT login_refusal.first_at, login_refusal.last_at, login_refusal.reason, login_refusal.tries,
               login_refusal.source, nas.name AS nas
          FROM login_refusal
          LEFT JOIN nas ON nas.id = login_refusal.nas_id
         WHERE login_refusal.card_id = %(card_id)s
         ORDER BY login_refusal.first_at
        """,
        {"card_id": card_id},
    )
    return list(cursor.fetchall())


def disconnect_attempts(cursor: Cursor, card_id: int) -> list[Row]:
    """Disconnect-Requests and changes of speed, with the answers of the NAS."""
    cursor.execute(
        """
        SELECT at, login_number, cause AS reason, action, attempt, outcome, error_cause
          FROM disconnect_attempt
         WHERE card_id = %(card_id)s
         ORDER BY at, login_number, action, attempt
        """,
        {"card_id": card_id},
    )
    return list(cursor.fetchall())
