-- The account of the archive, where the option file has a group [prepaid-archive]. Triggers say which rows it may move and
-- remove: see session_is_archived_first and the rules after it in schema.sql.
GRANT SELECT ON {database}.schema_version TO {archive};
GRANT SELECT ON {database}.product TO {archive};
GRANT SELECT (id, serial, status, version, product_id, partner_id, first_login_at, expires_at,
              added_seconds, added_octets, added_down_octets, added_up_octets, added_cents,
              posted_seconds, posted_down_octets, posted_up_octets, posted_login_number),
      UPDATE (status, version, first_login_at, expires_at,
              posted_seconds, posted_down_octets, posted_up_octets, posted_login_number)
   ON {database}.card TO {archive};
GRANT SELECT, DELETE, UPDATE (due_at, due_cause, posted_seconds, posted_down_octets, posted_up_octets)
   ON {database}.session TO {archive};
GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.session_archive TO {archive};
GRANT SELECT, INSERT, UPDATE ON {database}.usage_hour TO {archive};
GRANT SELECT (window_at), DELETE ON {database}.login_refusal TO {archive};
GRANT SELECT (window_at), DELETE ON {database}.unknown_login TO {archive};
GRANT INSERT (work, faults) ON {database}.work_run TO {archive};

-- To post what a session has used before it goes is the module's work.
INSERT IGNORE INTO {database}.operator_role (operator, role) VALUES ({archive_name}, 'module');
