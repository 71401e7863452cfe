-- The rights of the two programs' accounts. `prepaid db init` replaces {radius} and {admin} with the accounts in the
-- groups [prepaid-radius] and [prepaid-admin] of the option file, and {database} with the database's name.

-- The engine reads what a login needs. It writes sessions, refusals and the few columns of a card that a login or usage
-- changes. It cannot make cards, add credit, or read which partner has a card. It cannot write the history: triggers do
-- that with the rights of the schema's owner.
GRANT SELECT ON {database}.schema_version TO {radius};
GRANT SELECT ON {database}.site TO {radius};
GRANT SELECT ON {database}.product TO {radius};
GRANT SELECT ON {database}.product_reply TO {radius};
GRANT SELECT ON {database}.nas TO {radius};
GRANT SELECT (id, serial, pin_sealed, key_number, status, version, product_id, first_login_at, expires_at, device,
              added_seconds, added_octets, added_down_octets, added_up_octets, added_cents,
              posted_seconds, posted_down_octets, posted_up_octets, posted_login_number),
      UPDATE (status, version, first_login_at, expires_at, device,
              posted_seconds, posted_down_octets, posted_up_octets, posted_login_number)
   ON {database}.card TO {radius};
GRANT SELECT, INSERT, UPDATE ON {database}.session TO {radius};
GRANT SELECT ON {database}.session_archive TO {radius};
-- UPDATE on the whole table: INSERT … ON DUPLICATE KEY UPDATE needs it on the inserted columns too.
GRANT SELECT, INSERT, UPDATE ON {database}.session_anomaly TO {radius};
GRANT SELECT, INSERT ON {database}.session_slow_down TO {radius};
GRANT SELECT, INSERT, UPDATE ON {database}.accounting_queue TO {radius};
GRANT SELECT ON {database}.accounting_state TO {radius};
GRANT SELECT, INSERT, UPDATE ON {database}.nas_restart TO {radius};
GRANT SELECT, INSERT, UPDATE ON {database}.login_refusal TO {radius};
GRANT SELECT, INSERT, UPDATE ON {database}.unknown_login TO {radius};

-- The office may do everything that `prepaid` does. It cannot change the past: no UPDATE or DELETE on history and entries,
-- no DELETE of cards, no UPDATE of usage. Grants name columns where the database itself writes the others (numbers, times,
-- amounts). What must leave a record is a procedure.
GRANT SELECT, SHOW VIEW ON {database}.* TO {admin};
GRANT INSERT, UPDATE ON {database}.site TO {admin};
GRANT INSERT (name, kind, credit_seconds, credit_octets, credit_down_octets, credit_up_octets, credit_cents,
              tariff_minute_millicents, tariff_mb_millicents, valid_days, sell_by, valid_until_at, allowed_hours, timezone,
              speed_down_kbit, speed_up_kbit, fup_share_percent, fup_down_kbit, fup_up_kbit, max_sessions, replace_oldest,
              bind_device, interim_seconds, idle_seconds, price_cents, commission_basis_points, retired_at),
      UPDATE (name, kind, credit_seconds, credit_octets, credit_down_octets, credit_up_octets, credit_cents,
              tariff_minute_millicents, tariff_mb_millicents, valid_days, sell_by, valid_until_at, allowed_hours, timezone,
              speed_down_kbit, speed_up_kbit, fup_share_percent, fup_down_kbit, fup_up_kbit, max_sessions, replace_oldest,
              bind_device, interim_seconds, idle_seconds, price_cents, commission_basis_points, retired_at)
   ON {database}.product TO {admin};
GRANT INSERT, DELETE ON {database}.product_reply TO {admin};
GRANT INSERT (name, document, contact, commission_basis_points, retired_at),
      UPDATE (name, document, contact, commission_basis_points, retired_at)
   ON {database}.partner TO {admin};
GRANT UPDATE (credit_limit_cents) ON {database}.partner_account TO {admin};
GRANT INSERT (partner_id, amount_cents, paid_on, idempotency_key, note, reverses_id, reason)
   ON {database}.payment TO {admin};
GRANT INSERT (name, address, secret_sealed, key_number, vendor, disconnect_port, require_message_authenticator, counter_rule),
      UPDATE (name, address, secret_sealed, key_number, vendor, disconnect_port, require_message_authenticator, counter_rule),
      DELETE
   ON {database}.nas TO {admin};
GRANT INSERT, UPDATE ON {database}.serial_counter TO {admin};
GRANT INSERT (product_id, single_code, origin) ON {database}.batch TO {admin};
GRANT INSERT (kind, partner_id, reason) ON {database}.note TO {admin};
GRANT INSERT (serial, pin_sealed, key_number, status, status_before_block, batch_id, product_id, first_login_at, expires_at,
              note, posted_seconds, posted_down_octets, posted_up_octets),
      UPDATE (status, partner_id, delivery_note_id, pin_sealed, key_number, note)
   ON {database}.card TO {admin};
GRANT INSERT (card_id, what, reason, idempotency_key, other_card_id, added_seconds, added_octets, added_down_octets,
              added_up_octets, added_cents, expires_at)
   ON {database}.card_entry TO {admin};
GRANT INSERT (card_id, what, operator, reason) ON {database}.card_event TO {admin};
GRANT INSERT (card_id, scope, reason), UPDATE (lifted_at, lift_reason) ON {database}.card_block TO {admin};
GRANT UPDATE (due_at, due_cause, closed_at, close_cause) ON {database}.session TO {admin};
GRANT UPDATE (done_at) ON {database}.session_slow_down TO {admin};
GRANT INSERT, UPDATE (next_at, outcome, error_cause) ON {database}.disconnect_attempt TO {admin};
GRANT INSERT (card_id, login_number, what, detail) ON {database}.session_anomaly TO {admin};
GRANT INSERT (card_id, account), UPDATE (export_number, exported_at, reference, confirmed_at)
   ON {database}.voice_credit TO {admin};
GRANT INSERT (work, faults) ON {database}.work_run TO {admin};
GRANT INSERT ON {database}.history_chain TO {admin};
GRANT UPDATE ON {database}.history_floor TO {admin};
GRANT EXECUTE ON FUNCTION {database}.net_cents TO {admin};
GRANT EXECUTE ON PROCEDURE {database}.read_pin TO {admin};
GRANT EXECUTE ON PROCEDURE {database}.read_pin_to_redeem TO {admin};
GRANT EXECUTE ON PROCEDURE {database}.open_pins TO {admin};
GRANT EXECUTE ON PROCEDURE {database}.read_pins TO {admin};
GRANT EXECUTE ON PROCEDURE {database}.record_batch_event TO {admin};
GRANT EXECUTE ON PROCEDURE {database}.who_had TO {admin};
GRANT EXECUTE ON PROCEDURE {database}.begin_nat_import TO {admin};
GRANT EXECUTE ON PROCEDURE {database}.add_nat_records TO {admin};
GRANT EXECUTE ON PROCEDURE {database}.purge_nat TO {admin};
GRANT EXECUTE ON PROCEDURE {database}.count_office_refusal TO {admin};

-- The triggers look up here which account belongs to which program.
INSERT IGNORE INTO {database}.operator_role (operator, role) VALUES ({radius_name}, 'module'), ({admin_name}, 'office');
