-- The operators' roles: one for each action, with the least rights for it. `prepaid db init` makes them, and
-- `prepaid operator add` grants them. {see}, {block} … stand for the roles' names on the server, which are the database's
-- name, a colon and the role, because roles belong to the whole server. A MariaDB account can use one role at a time, so
-- each operator has a role of the same name that holds the operator's roles.
--
-- All changes of a card's status write the same column, so these grants cannot keep the role `return` from delivering. The
-- trigger card_rules does that: it compares the operator's roles with card_transition.role.

CREATE ROLE IF NOT EXISTS {see}, {see_pin}, {generate}, {import}, {export}, {deliver}, {return}, {block}, {delete},
    {credit}, {products}, {partners}, {payments}, {nas}, {disconnect}, {redeem}, {voice}, {report}, {audit}, {address}, {nat}, {admin};

-- see: cards, their history and their sessions. No PINs, no NAS secrets, and no IP addresses: the role `address` asks for
-- those, and leaves a record.
GRANT SELECT ON {database}.schema_version TO {see};
GRANT SELECT ON {database}.site TO {see};
GRANT SELECT ON {database}.product TO {see};
GRANT SELECT ON {database}.product_reply TO {see};
GRANT SELECT ON {database}.partner TO {see};
GRANT SELECT ON {database}.partner_account TO {see};
GRANT EXECUTE ON FUNCTION {database}.net_cents TO {see};
GRANT SELECT ON {database}.payment TO {see};
GRANT SELECT (id, name, address, vendor, disconnect_port, require_message_authenticator, counter_rule, key_number)
   ON {database}.nas TO {see};
GRANT SELECT ON {database}.batch TO {see};
GRANT SELECT ON {database}.batch_event TO {see};
GRANT SELECT ON {database}.note TO {see};
GRANT SELECT ON {database}.note_price TO {see};
GRANT SELECT (id, serial, key_number, status, status_before_block, batch_id, product_id, partner_id, delivery_note_id,
              first_login_at, expires_at, device, version, note, added_seconds, added_octets, added_down_octets, added_up_octets,
              added_cents, posted_seconds, posted_down_octets, posted_up_octets, posted_login_number)
   ON {database}.card TO {see};
GRANT SELECT ON {database}.card_transition TO {see};
GRANT SELECT ON {database}.card_event TO {see};
GRANT SELECT ON {database}.card_block TO {see};
GRANT SELECT ON {database}.card_entry TO {see};
GRANT SELECT (card_id, login_number, nas_id, nas_address, acct_session_id, device, login_at, started_at, heard_at,
              stopped_at, stop_cause, closed_at, close_cause, reopens_after_at, end_recorded_at, due_at, due_cause,
              granted_seconds, granted_octets,
              granted_down_octets, granted_up_octets, granted_millicents, tariff_minute_millicents,
              tariff_mb_millicents, fup_octets, interim_seconds, used_seconds, used_down_octets, used_up_octets,
              posted_seconds, posted_down_octets, posted_up_octets)
   ON {database}.session TO {see};
GRANT SELECT (card_id, login_number, nas_id, acct_session_id, device, login_at, started_at, ended_at, end_cause,
              used_seconds, used_down_octets, used_up_octets)
   ON {database}.session_archive TO {see};
GRANT SELECT (card_id, login_number, nas_id, acct_session_id, device, login_at, started_at, heard_at, ended_at,
              end_cause, due_at, due_cause, used_seconds, used_down_octets, used_up_octets, overrun_seconds,
              overrun_octets, is_open)
   ON {database}.session_overview TO {see};
GRANT SELECT ON {database}.session_anomaly TO {see};
GRANT SELECT ON {database}.disconnect_attempt TO {see};
GRANT SELECT ON {database}.accounting_queue TO {see};
GRANT SELECT ON {database}.work_run TO {see};
GRANT SELECT ON {database}.accounting_state TO {see};
GRANT SELECT ON {database}.login_refusal TO {see};
GRANT SELECT ON {database}.unknown_login TO {see};
GRANT SELECT ON {database}.voice_credit TO {see};
GRANT SELECT ON {database}.card_balance TO {see};
GRANT SELECT ON {database}.card_overview TO {see};

-- All roles that act include `see`.
GRANT {see} TO {see_pin}, {generate}, {import}, {export}, {deliver}, {return}, {block}, {delete}, {credit},
    {products}, {partners}, {payments}, {nas}, {disconnect}, {redeem}, {voice};

-- see_pin: sealed PINs, through procedures that record who reads them. The program opens them with the key file.
GRANT EXECUTE ON PROCEDURE {database}.read_pin TO {see_pin};
GRANT EXECUTE ON PROCEDURE {database}.open_pins TO {see_pin};
GRANT EXECUTE ON PROCEDURE {database}.read_pins TO {see_pin};

-- generate: new cards, in stock only.
GRANT INSERT, UPDATE ON {database}.serial_counter TO {generate};
GRANT SELECT ON {database}.serial_counter TO {generate};
GRANT INSERT (product_id, single_code, origin) ON {database}.batch TO {generate};
GRANT INSERT (serial, pin_sealed, key_number, batch_id, product_id) ON {database}.card TO {generate};
GRANT EXECUTE ON PROCEDURE {database}.record_batch_event TO {generate};

-- import: cards that were made elsewhere, with their status and usage.
GRANT INSERT (product_id, single_code, origin) ON {database}.batch TO {import};
GRANT INSERT (serial, pin_sealed, key_number, status, status_before_block, batch_id, product_id, first_login_at, expires_at,
              note, posted_seconds, posted_down_octets, posted_up_octets)
   ON {database}.card TO {import};
GRANT EXECUTE ON PROCEDURE {database}.record_batch_event TO {import};

-- export: records that a batch was exported. An export with PINs also needs see_pin.
GRANT EXECUTE ON PROCEDURE {database}.record_batch_event TO {export};

-- deliver, return: cards go to a partner or come back, with a note. The database writes its counts and prices.
GRANT INSERT (kind, partner_id, reason) ON {database}.note TO {deliver}, {return};
GRANT UPDATE (status, partner_id, delivery_note_id) ON {database}.card TO {deliver};
GRANT UPDATE (status) ON {database}.card TO {return};
GRANT UPDATE (due_at, due_cause) ON {database}.session TO {return};

-- block: adds and lifts blocks; triggers change the cards' status. delete: deletes cards and voids those that the print
-- shop spoiled.
GRANT INSERT (card_id, scope, reason), UPDATE (lifted_at, lift_reason) ON {database}.card_block TO {block};
GRANT UPDATE (due_at, due_cause) ON {database}.session TO {block};
GRANT UPDATE (status) ON {database}.card TO {delete};
GRANT INSERT (kind, partner_id, reason) ON {database}.note TO {delete};
GRANT EXECUTE ON PROCEDURE {database}.record_batch_event TO {delete};

-- credit: compensating entries, and the changes of status that they cause.
GRANT INSERT (card_id, what, reason, idempotency_key, other_card_id, added_seconds, added_octets, added_down_octets,
              added_up_octets, added_cents, expires_at)
   ON {database}.card_entry TO {credit};
GRANT UPDATE (status, note) ON {database}.card TO {credit};
GRANT UPDATE (due_at, due_cause) ON {database}.session TO {credit};

-- products, partners, nas: these tables.
GRANT INSERT (name, kind, credit_seconds, credit_octets, credit_down_octets, credit_up_octets, credit_cents,
              tariff_minute_millicents, tariff_mb_millicents, valid_days, sell_by, valid_until_at, allowed_hours, timezone,
              speed_down_kbit, speed_up_kbit, fup_share_percent, fup_down_kbit, fup_up_kbit, max_sessions, replace_oldest,
              bind_device, interim_seconds, idle_seconds, price_cents, commission_basis_points, retired_at),
      UPDATE (name, kind, credit_seconds, credit_octets, credit_down_octets, credit_up_octets, credit_cents,
              tariff_minute_millicents, tariff_mb_millicents, valid_days, sell_by, valid_until_at, allowed_hours, timezone,
              speed_down_kbit, speed_up_kbit, fup_share_percent, fup_down_kbit, fup_up_kbit, max_sessions, replace_oldest,
              bind_device, interim_seconds, idle_seconds, price_cents, commission_basis_points, retired_at)
   ON {database}.product TO {products};
GRANT INSERT, DELETE ON {database}.product_reply TO {products};
GRANT INSERT (name, document, contact, commission_basis_points, retired_at),
      UPDATE (name, document, contact, commission_basis_points, retired_at)
   ON {database}.partner TO {partners};
GRANT UPDATE (credit_limit_cents) ON {database}.partner_account TO {partners};
GRANT INSERT (name, address, secret_sealed, key_number, vendor, disconnect_port, require_message_authenticator, counter_rule),
      UPDATE (name, address, secret_sealed, key_number, vendor, disconnect_port, require_message_authenticator, counter_rule),
      DELETE
   ON {database}.nas TO {nas};

-- payments: what partners paid. It is a role of its own, so that whoever sets a partner's limit need not record its payments.
GRANT INSERT (partner_id, amount_cents, paid_on, idempotency_key, note, reverses_id, reason)
   ON {database}.payment TO {payments};

-- disconnect: `prepaid enforce` and `prepaid disconnect`. They also turn cards to `expired` when their validity is over.
GRANT SELECT (secret_sealed) ON {database}.nas TO {disconnect};
GRANT SELECT (framed_ipv4, framed_ipv6, delegated_prefix) ON {database}.session TO {disconnect};
GRANT SELECT ON {database}.session_slow_down TO {disconnect};
GRANT UPDATE (done_at) ON {database}.session_slow_down TO {disconnect};
GRANT INSERT, UPDATE (next_at, outcome, error_cause) ON {database}.disconnect_attempt TO {disconnect};
GRANT UPDATE (due_at, due_cause, closed_at, close_cause) ON {database}.session TO {disconnect};
GRANT INSERT (card_id, login_number, what, detail) ON {database}.session_anomaly TO {disconnect};
GRANT UPDATE (status) ON {database}.card TO {disconnect};
GRANT INSERT (card_id, what, operator, reason) ON {database}.card_event TO {disconnect};

-- redeem: redeems telephony cards. The trigger of voice_credit writes the credit and changes the card's status.
-- voice: exports these credits to the voice platform and confirms them.
GRANT EXECUTE ON PROCEDURE {database}.read_pin_to_redeem TO {redeem};
GRANT INSERT (card_id, account) ON {database}.voice_credit TO {redeem};
-- Wrong PINs at the subscriber centre count like those of a login.
GRANT EXECUTE ON PROCEDURE {database}.count_office_refusal TO {redeem};
GRANT UPDATE (export_number, exported_at, reference, confirmed_at) ON {database}.voice_credit TO {voice};

-- report: sums. No serials, PINs, devices or addresses.
GRANT SELECT ON {database}.schema_version TO {report};
GRANT SELECT ON {database}.product TO {report};
GRANT SELECT ON {database}.partner TO {report};
GRANT SELECT ON {database}.partner_account TO {report};
GRANT SELECT ON {database}.payment TO {report};
GRANT SELECT ON {database}.note TO {report};
GRANT SELECT ON {database}.note_price TO {report};
GRANT SELECT ON {database}.voice_credit TO {report};
GRANT SELECT ON {database}.usage_hour TO {report};
GRANT SELECT (id, status, status_before_block, batch_id, product_id, partner_id, delivery_note_id, first_login_at)
   ON {database}.card TO {report};
GRANT SELECT (card_id, login_number, heard_at, login_at, stopped_at, closed_at, acct_session_id, used_seconds,
              used_down_octets, used_up_octets) ON {database}.session TO {report};
GRANT SELECT (card_id, login_number, ended_at, used_seconds, used_down_octets, used_up_octets)
   ON {database}.session_archive TO {report};

-- audit: reads the history and adds it to the hash chain.
GRANT {see} TO {audit};
GRANT SELECT ON {database}.address_query TO {audit};
GRANT SELECT ON {database}.operator_role TO {audit};
GRANT SELECT ON {database}.operator_role_event TO {audit};
GRANT SELECT, INSERT ON {database}.history_chain TO {audit};
GRANT SELECT, UPDATE ON {database}.history_floor TO {audit};
GRANT INSERT (work, faults) ON {database}.work_run TO {audit};

-- address: who had an IP address at a given time. The question is recorded before it is answered.
GRANT SELECT ON {database}.schema_version TO {address};
GRANT SELECT ON {database}.address_query TO {address};
GRANT SELECT ON {database}.nat_import TO {address};
GRANT EXECUTE ON PROCEDURE {database}.who_had TO {address};

-- nat: imports the log of a NAT and removes old records. It cannot read the records.
GRANT SELECT ON {database}.schema_version TO {nat};
GRANT SELECT ON {database}.nat_import TO {nat};
GRANT SELECT (id, name, address, vendor, disconnect_port, require_message_authenticator, counter_rule, key_number)
   ON {database}.nas TO {nat};
GRANT EXECUTE ON PROCEDURE {database}.begin_nat_import TO {nat};
GRANT EXECUTE ON PROCEDURE {database}.add_nat_records TO {nat};
GRANT EXECUTE ON PROCEDURE {database}.purge_nat TO {nat};

-- admin: all roles, and the right to seal PINs and NAS secrets again with another key.
GRANT INSERT, UPDATE ON {database}.site TO {admin};
GRANT SELECT (pin_sealed), UPDATE (pin_sealed, key_number) ON {database}.card TO {admin};
GRANT SELECT (secret_sealed) ON {database}.nas TO {admin};
GRANT {see_pin} TO {admin};
GRANT {generate} TO {admin};
GRANT {import} TO {admin};
GRANT {export} TO {admin};
GRANT {deliver} TO {admin};
GRANT {return} TO {admin};
GRANT {block} TO {admin};
GRANT {delete} TO {admin};
GRANT {credit} TO {admin};
GRANT {products} TO {admin};
GRANT {partners} TO {admin};
GRANT {payments} TO {admin};
GRANT {nas} TO {admin};
GRANT {disconnect} TO {admin};
GRANT {redeem} TO {admin};
GRANT {voice} TO {admin};
GRANT {report} TO {admin};
GRANT {audit} TO {admin};
GRANT {address} TO {admin};
GRANT {nat} TO {admin};
