-- Two accounts, least rights each. `prepaid db init` replaces {radius} and {admin} by the accounts of the option
-- file's groups [prepaid-radius] and [prepaid-admin], and {database} by the database's name.

-- The module: reads what a login needs, writes sessions, refusals and the two or three columns of a card that a
-- login or usage changes. It can neither make a card nor add credit nor read who bought it nor touch the history
-- (the triggers write it, with the rights of the schema's owner).
GRANT SELECT ON {database}.schema_version TO {radius};
GRANT SELECT ON {database}.site TO {radius};
GRANT SELECT ON {database}.product TO {radius};
GRANT SELECT ON {database}.product_reply TO {radius};
GRANT SELECT ON {database}.nas TO {radius};
GRANT SELECT (id, serial, pin_sealed, key_number, status, version, product_id, first_login_at, expires_at, device,
              added_seconds, added_octets, added_down_octets, added_up_octets, added_cents,
              settled_seconds, settled_down_octets, settled_up_octets, settled_login_number),
      UPDATE (status, version, first_login_at, expires_at, device,
              settled_seconds, settled_down_octets, settled_up_octets, settled_login_number)
   ON {database}.card TO {radius};
GRANT SELECT, INSERT, UPDATE ON {database}.session TO {radius};
GRANT SELECT ON {database}.session_archive TO {radius};
-- UPDATE of the whole table: INSERT … ON DUPLICATE KEY UPDATE asks for it on the columns that are inserted, too.
GRANT SELECT, INSERT, UPDATE ON {database}.session_anomaly TO {radius};
GRANT SELECT, INSERT ON {database}.session_slow_down TO {radius};
GRANT SELECT, INSERT, UPDATE ON {database}.accounting_queue TO {radius};
GRANT SELECT ON {database}.accounting_state TO {radius};
GRANT SELECT, INSERT, UPDATE ON {database}.nas_restart TO {radius};
GRANT SELECT, INSERT, UPDATE ON {database}.login_refusal TO {radius};
GRANT SELECT, INSERT, UPDATE ON {database}.unknown_login TO {radius};

-- The office: everything that `prepaid` does and nothing that would rewrite the past: no UPDATE or DELETE on
-- history and entries, no DELETE of cards, no UPDATE of usage.
GRANT SELECT, SHOW VIEW ON {database}.* TO {admin};
GRANT INSERT, UPDATE ON {database}.site TO {admin};
GRANT INSERT, UPDATE ON {database}.product TO {admin};
GRANT INSERT, DELETE ON {database}.product_reply TO {admin};
GRANT INSERT, UPDATE ON {database}.partner TO {admin};
GRANT INSERT, UPDATE, DELETE ON {database}.nas TO {admin};
GRANT INSERT, UPDATE ON {database}.serial_counter TO {admin};
GRANT INSERT, UPDATE ON {database}.batch TO {admin};
GRANT INSERT ON {database}.batch_event TO {admin};
GRANT INSERT ON {database}.note TO {admin};
GRANT INSERT ON {database}.note_price TO {admin};
GRANT INSERT,
      UPDATE (status, partner_id, delivery_note_id, pin_sealed, key_number, note)
   ON {database}.card TO {admin};
GRANT INSERT ON {database}.card_entry TO {admin};
-- What an import says was used elsewhere.
GRANT INSERT ON {database}.session_archive TO {admin};
-- A wrong PIN at the subscriber centre counts like one at a hotspot.
GRANT INSERT, UPDATE ON {database}.login_refusal TO {admin};
GRANT INSERT, UPDATE ON {database}.unknown_login TO {admin};
GRANT INSERT (card_id, what, operator, reason, note_id) ON {database}.card_event TO {admin};
GRANT UPDATE (due_at, due_cause, closed_at, close_cause) ON {database}.session TO {admin};
GRANT UPDATE (done_at) ON {database}.session_slow_down TO {admin};
GRANT INSERT, UPDATE (next_at, outcome, error_cause) ON {database}.session_cut TO {admin};
GRANT INSERT ON {database}.session_anomaly TO {admin};
GRANT INSERT ON {database}.address_query TO {admin};
GRANT INSERT ON {database}.address_query_form TO {admin};
GRANT INSERT, UPDATE ON {database}.voice_credit TO {admin};
GRANT INSERT ON {database}.history_chain TO {admin};
GRANT UPDATE ON {database}.history_floor TO {admin};
