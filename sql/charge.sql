-- The charger's own account, where the option file has a group [prepaid-charge]: what the module does for accounting, and
-- nothing of what it does for logins. It reads no PIN and no secret of a NAS.
GRANT SELECT ON {database}.schema_version TO {charge};
GRANT SELECT ON {database}.site TO {charge};
GRANT SELECT ON {database}.product TO {charge};
GRANT SELECT ON {database}.product_reply TO {charge};
GRANT SELECT (id, name, address, vendor, disconnect_port, require_message_authenticator, counter_rule, key_number)
   ON {database}.nas TO {charge};
GRANT SELECT (id, serial, key_number, status, version, product_id, first_login_at, expires_at, device,
              added_seconds, added_octets, added_down_octets, added_up_octets, added_cents,
              posted_seconds, posted_down_octets, posted_up_octets, posted_login_number),
      UPDATE (status, version, first_login_at, expires_at,
              posted_seconds, posted_down_octets, posted_up_octets, posted_login_number)
   ON {database}.card TO {charge};
GRANT SELECT, INSERT, UPDATE ON {database}.session TO {charge};
GRANT SELECT ON {database}.session_archive TO {charge};
GRANT SELECT, INSERT, UPDATE ON {database}.session_anomaly TO {charge};
GRANT SELECT, INSERT ON {database}.session_slow_down TO {charge};
GRANT SELECT, INSERT, UPDATE ON {database}.accounting_queue TO {charge};
GRANT SELECT ON {database}.accounting_state TO {charge};
GRANT SELECT, INSERT, UPDATE ON {database}.nas_restart TO {charge};
-- What a card is, is read in one statement, wrong PINs that were counted included.
GRANT SELECT ON {database}.login_refusal TO {charge};

-- What a card becomes by being used is the module's to say.
INSERT IGNORE INTO {database}.operator_role (operator, role) VALUES ({charge_name}, 'module');
