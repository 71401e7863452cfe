-- The contract between the office and FreeRADIUS, in the order of thought:
-- what is sold, to whom it is handed, the card, its history, its sessions, its corrections, the views.
--
-- What must always hold is said here, so that it binds every writer, a person in the mysql shell included:
-- the states and their changes, the history, serials that are unique for ever, usage that only grows.
-- Guard columns (`usage_falls`, `terms_change`, …) are written by triggers and refused by a CHECK whose name
-- is the rule: the error says which rule was broken, and the programs recognise it by that name.
--
-- Times are UTC. Octets are counted from the customer's side: down is what the customer received
-- (Acct-Output-Octets), up is what he sent (Acct-Input-Octets). Tariffs are in millicents (1/1000 cent).
-- Collation: binary without padding, so that two serials that differ by case or by a trailing blank are two,
-- and of the connection's own character set, because an ascii key is not used for a utf8mb4 IN list.

SET NAMES utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TABLE schema_version (
    version     SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
    name        VARCHAR(64)       NOT NULL,
    applied_at  DATETIME(3)       NOT NULL DEFAULT UTC_TIMESTAMP(3)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Facts about this installation: the fingerprint of the PIN key that belongs to it, for one.
CREATE TABLE site (
    name   VARCHAR(32)  NOT NULL PRIMARY KEY,
    value  VARCHAR(255) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;


-- What is sold -------------------------------------------------------------------------------------------

CREATE TABLE product (
    id                        INT UNSIGNED      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name                      VARCHAR(64)       NOT NULL,
    kind                      ENUM('internet', 'telephony') NOT NULL,
    -- The credit; NULL where the product has no such credit.
    credit_seconds            INT UNSIGNED      NULL,
    credit_octets             BIGINT UNSIGNED   NULL,
    credit_down_octets        BIGINT UNSIGNED   NULL,
    credit_up_octets          BIGINT UNSIGNED   NULL,
    credit_cents              INT UNSIGNED      NULL,
    tariff_minute_millicents  INT UNSIGNED      NOT NULL DEFAULT 0,
    tariff_mb_millicents      INT UNSIGNED      NOT NULL DEFAULT 0,  -- MB = 10^6 octets, both directions
    -- Until when.
    valid_days                SMALLINT UNSIGNED NULL,                -- from the first login
    sell_by                   DATE              NULL,                -- last day on which cards are delivered
    valid_until_at            DATETIME(3)       NULL,                -- end of the last day of use, whenever it was sold
    allowed_hours             VARCHAR(255)      NULL,                -- "Mo-Fr 08:00-18:00"
    timezone                  VARCHAR(64)       NOT NULL DEFAULT 'UTC', -- of allowed_hours and sell_by
    -- How.
    speed_down_kbit           INT UNSIGNED      NULL,
    speed_up_kbit             INT UNSIGNED      NULL,
    fup_share_percent         TINYINT UNSIGNED  NULL,                -- of the traffic; beyond it the speed drops
    fup_down_kbit             INT UNSIGNED      NULL,
    fup_up_kbit               INT UNSIGNED      NULL,
    max_sessions              TINYINT UNSIGNED  NOT NULL DEFAULT 1,
    replace_oldest            BOOLEAN           NOT NULL DEFAULT FALSE,
    bind_device               BOOLEAN           NOT NULL DEFAULT FALSE,
    interim_seconds           SMALLINT UNSIGNED NOT NULL DEFAULT 300,
    idle_seconds              INT UNSIGNED      NULL,
    -- For how much.
    price_cents               INT UNSIGNED      NOT NULL DEFAULT 0,
    commission_basis_points   SMALLINT UNSIGNED NOT NULL DEFAULT 0,
    revision                  INT UNSIGNED      NOT NULL DEFAULT 1,  -- the module reloads a product when this rises
    retired_at                DATETIME(3)       NULL,                -- not on sale any more; sold cards go on
    terms_change              BOOLEAN           NOT NULL DEFAULT FALSE,
    UNIQUE KEY product_name_is_unique (name),
    CONSTRAINT product_has_credit CHECK (
        kind = 'telephony'
        OR COALESCE(credit_seconds, credit_octets, credit_down_octets, credit_up_octets, credit_cents) IS NOT NULL),
    CONSTRAINT credit_is_not_zero CHECK (
        COALESCE(credit_seconds, 1) > 0 AND COALESCE(credit_octets, 1) > 0 AND COALESCE(credit_down_octets, 1) > 0
        AND COALESCE(credit_up_octets, 1) > 0 AND COALESCE(credit_cents, 1) > 0),
    CONSTRAINT money_has_a_tariff CHECK (
        kind = 'telephony' OR (credit_cents IS NOT NULL) = (tariff_minute_millicents + tariff_mb_millicents > 0)),
    CONSTRAINT interim_is_a_minute_or_more CHECK (interim_seconds >= 60),
    CONSTRAINT sessions_are_one_or_more CHECK (max_sessions >= 1),
    CONSTRAINT fup_is_a_share_of_traffic CHECK (
        fup_share_percent IS NULL
        OR (fup_share_percent BETWEEN 1 AND 99 AND COALESCE(credit_octets, credit_down_octets) IS NOT NULL)),
    CONSTRAINT commission_is_a_share CHECK (commission_basis_points <= 10000),
    CONSTRAINT product_terms_are_fixed_once_cards_exist CHECK (NOT terms_change)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TABLE product_reply (
    product_id  INT UNSIGNED     NOT NULL,
    position    TINYINT UNSIGNED NOT NULL,
    attribute   VARCHAR(64)      NOT NULL,
    operator    CHAR(2)          NOT NULL,
    value       VARCHAR(253)     NOT NULL,
    PRIMARY KEY (product_id, position),
    CONSTRAINT reply_operator_is_known CHECK (operator IN (':=', '+=')),
    FOREIGN KEY (product_id) REFERENCES product (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TRIGGER product_reply_added AFTER INSERT ON product_reply FOR EACH ROW
    UPDATE product SET revision = revision + 1 WHERE id = NEW.product_id;
CREATE TRIGGER product_reply_removed AFTER DELETE ON product_reply FOR EACH ROW
    UPDATE product SET revision = revision + 1 WHERE id = OLD.product_id;


-- To whom, and on which equipment ------------------------------------------------------------------------

CREATE TABLE partner (
    id                       INT UNSIGNED      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name                     VARCHAR(128)      NOT NULL,
    document                 VARCHAR(32)       NULL,             -- CNPJ or CPF
    contact                  VARCHAR(255)      NULL,
    commission_basis_points  SMALLINT UNSIGNED NULL,             -- NULL: the product's
    retired_at               DATETIME(3)       NULL,
    UNIQUE KEY partner_name_is_unique (name),
    CONSTRAINT partner_commission_is_a_share CHECK (commission_basis_points <= 10000)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TABLE nas (
    id                             INT UNSIGNED      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name                           VARCHAR(64)       NOT NULL,
    address                        VARCHAR(43)       NOT NULL,   -- canonical CIDR; the longest match serves a packet
    secret_sealed                  VARBINARY(300)    NOT NULL,
    key_number                     SMALLINT UNSIGNED NOT NULL,
    vendor                         ENUM('generic', 'mikrotik', 'chilli', 'cisco', 'huawei', 'juniper', 'ubiquiti',
                                        'pfsense')   NOT NULL DEFAULT 'generic',
    disconnect_port                SMALLINT UNSIGNED NOT NULL DEFAULT 3799,
    require_message_authenticator  BOOLEAN           NOT NULL DEFAULT TRUE,
    -- How a counter that falls within one session is read: an old packet (NAS that send Gigawords),
    -- a wrap at 2^32 (NAS that never send them), or a restart from zero.
    counter_rule                   ENUM('gigawords', 'wraps', 'resets') NOT NULL DEFAULT 'gigawords',
    UNIQUE KEY nas_name_is_unique (name),
    UNIQUE KEY nas_address_is_unique (address)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Sessions of clients that FreeRADIUS knows from its own files and we do not.
INSERT INTO nas (id, name, address, secret_sealed, key_number) VALUES (1, 'unlisted', '', '', 0);


-- Who may do what ----------------------------------------------------------------------------------------

-- The office's people by name, and their roles: what the grants of a role (roles.sql) are too coarse for. All changes
-- of a card's status write the same column; which of them an operator may make is said in card_transition. An account
-- that is not named here is bound by its grants alone: the module's, the whole office's, the schema's owner.
CREATE TABLE operator_role (
    operator  VARCHAR(80) NOT NULL,
    role      VARCHAR(16) NOT NULL,
    PRIMARY KEY (operator, role)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;


-- The card -----------------------------------------------------------------------------------------------

-- Where the next serial number of a prefix and length is kept; taken in a transaction of its own,
-- so that two `generate` at once neither wait for each other nor meet.
CREATE TABLE serial_counter (
    prefix       VARCHAR(16)      NOT NULL,
    digits       TINYINT UNSIGNED NOT NULL,
    next_number  BIGINT UNSIGNED  NOT NULL DEFAULT 1,
    PRIMARY KEY (prefix, digits)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TABLE batch (
    id            INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    product_id    INT UNSIGNED NOT NULL,
    card_count    INT UNSIGNED NOT NULL,
    first_serial  VARCHAR(32)  NOT NULL,
    last_serial   VARCHAR(32)  NOT NULL,
    single_code   BOOLEAN      NOT NULL DEFAULT FALSE,           -- the serial is the only code; its PIN is itself
    origin        ENUM('generated', 'imported') NOT NULL DEFAULT 'generated',
    made_at       DATETIME(3)  NOT NULL DEFAULT UTC_TIMESTAMP(3),
    operator      VARCHAR(128) NOT NULL DEFAULT '',
    FOREIGN KEY (product_id) REFERENCES product (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- The account that the database itself saw, whatever the program says.
CREATE TRIGGER batch_names_its_operator BEFORE INSERT ON batch FOR EACH ROW
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1);

-- Delivery and return notes: the papers that go with the cards.
CREATE TABLE note (
    id                       INT UNSIGNED      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    kind                     ENUM('delivery', 'return', 'void') NOT NULL,
    partner_id               INT UNSIGNED      NULL,             -- NULL on a void protocol
    card_count               INT UNSIGNED      NOT NULL,
    first_serial             VARCHAR(32)       NOT NULL,
    last_serial              VARCHAR(32)       NOT NULL,
    reason                   VARCHAR(255)      NULL,
    made_at                  DATETIME(3)       NOT NULL DEFAULT UTC_TIMESTAMP(3),
    operator                 VARCHAR(128)      NOT NULL DEFAULT '',
    KEY (partner_id, id),
    FOREIGN KEY (partner_id) REFERENCES partner (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TRIGGER note_names_its_operator BEFORE INSERT ON note FOR EACH ROW
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1);

-- Price and commission of each product on a delivery note, frozen on that day. A return note repeats those of
-- the deliveries that its cards came from, so that what comes back is worth what it was when it went out.
CREATE TABLE note_price (
    note_id                  INT UNSIGNED      NOT NULL,
    product_id               INT UNSIGNED      NOT NULL,
    card_count               INT UNSIGNED      NOT NULL,
    price_cents              INT UNSIGNED      NOT NULL,
    commission_basis_points  SMALLINT UNSIGNED NOT NULL,
    PRIMARY KEY (note_id, product_id, price_cents, commission_basis_points),
    FOREIGN KEY (note_id) REFERENCES note (id),
    FOREIGN KEY (product_id) REFERENCES product (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TABLE card (
    id                    INT UNSIGNED      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    serial                VARCHAR(32)       NOT NULL,
    pin_sealed            VARBINARY(96)     NOT NULL,            -- AES-GCM; empty once the card is deleted
    key_number            SMALLINT UNSIGNED NOT NULL,
    status                ENUM('created', 'delivered', 'in_use', 'exhausted', 'expired', 'blocked', 'redeemed',
                               'deleted') NOT NULL DEFAULT 'created',
    status_before_block   ENUM('created', 'delivered', 'in_use', 'exhausted', 'expired') NULL,
    batch_id              INT UNSIGNED      NOT NULL,
    product_id            INT UNSIGNED      NOT NULL,
    partner_id            INT UNSIGNED      NULL,                -- who has it, or had it last
    delivery_note_id      INT UNSIGNED      NULL,
    first_login_at        DATETIME(3)       NULL,
    expires_at            DATETIME(3)       NULL,                -- set at the first login, or by a compensating entry
    device                VARCHAR(64)       NULL,                -- the first device, where the product binds to it
    -- Rises with every change that the decision on a login depends on. A login is written only if it is still the one
    -- that was read: so a card that is blocked or returned meanwhile lets nobody in.
    version               INT UNSIGNED      NOT NULL DEFAULT 1,
    note                  VARCHAR(255)      NULL,
    -- Sum of the compensating entries (card_entry); its trigger alone writes them.
    added_seconds         INT               NOT NULL DEFAULT 0,
    added_octets          BIGINT            NOT NULL DEFAULT 0,
    added_down_octets     BIGINT            NOT NULL DEFAULT 0,
    added_up_octets       BIGINT            NOT NULL DEFAULT 0,
    added_cents           INT               NOT NULL DEFAULT 0,
    -- Usage of sessions that were posted here; the rest still stands on the session's row.
    -- A card's usage = settled + what its sessions have used beyond their settled part.
    settled_seconds       BIGINT UNSIGNED   NOT NULL DEFAULT 0,
    settled_down_octets   BIGINT UNSIGNED   NOT NULL DEFAULT 0,
    settled_up_octets     BIGINT UNSIGNED   NOT NULL DEFAULT 0,
    settled_login_number  INT UNSIGNED      NOT NULL DEFAULT 0,  -- the highest number among posted sessions
    usage_falls           BOOLEAN           NOT NULL DEFAULT FALSE,
    identity_changes      BOOLEAN           NOT NULL DEFAULT FALSE,
    unblock_invents       BOOLEAN           NOT NULL DEFAULT FALSE,
    role_is_missing       BOOLEAN           NOT NULL DEFAULT FALSE,
    UNIQUE KEY serial_is_unique (serial),
    KEY card_by_batch (batch_id, status),
    KEY card_by_partner (partner_id, product_id, status),        -- what a partner has: reports read the key alone
    KEY card_by_status (status, id),                             -- stock reports and `list --status`
    KEY card_by_product (product_id, status),
    KEY card_by_expiry (status, expires_at),                     -- whose validity is over and is not said yet
    KEY card_by_first_login (first_login_at),                    -- sales of a day
    CONSTRAINT card_usage_only_grows CHECK (NOT usage_falls),
    CONSTRAINT card_identity_is_fixed CHECK (NOT identity_changes),
    CONSTRAINT unblock_restores_the_status_before CHECK (NOT unblock_invents),
    CONSTRAINT status_change_needs_its_role CHECK (NOT role_is_missing),
    CONSTRAINT only_the_dead_have_no_pin CHECK (pin_sealed <> '' OR status = 'deleted'),
    FOREIGN KEY (batch_id) REFERENCES batch (id),
    FOREIGN KEY (product_id) REFERENCES product (id),
    FOREIGN KEY (partner_id) REFERENCES partner (id),
    FOREIGN KEY (delivery_note_id) REFERENCES note (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TRIGGER product_terms_are_fixed BEFORE UPDATE ON product FOR EACH ROW
    SET NEW.revision = OLD.revision + 1,
        NEW.terms_change =
            NOT (NEW.kind <=> OLD.kind
                 AND NEW.credit_seconds <=> OLD.credit_seconds
                 AND NEW.credit_octets <=> OLD.credit_octets
                 AND NEW.credit_down_octets <=> OLD.credit_down_octets
                 AND NEW.credit_up_octets <=> OLD.credit_up_octets
                 AND NEW.credit_cents <=> OLD.credit_cents
                 AND NEW.tariff_minute_millicents <=> OLD.tariff_minute_millicents
                 AND NEW.tariff_mb_millicents <=> OLD.tariff_mb_millicents)
            AND EXISTS (SELECT 1 FROM card WHERE card.product_id = OLD.id);

CREATE TRIGGER card_rules BEFORE UPDATE ON card FOR EACH ROW
    SET NEW.usage_falls =
            NEW.settled_seconds < OLD.settled_seconds
            OR NEW.settled_down_octets < OLD.settled_down_octets
            OR NEW.settled_up_octets < OLD.settled_up_octets
            OR NEW.settled_login_number < OLD.settled_login_number,
        NEW.identity_changes =
            NEW.serial <> OLD.serial OR NEW.batch_id <> OLD.batch_id OR NEW.product_id <> OLD.product_id,
        NEW.unblock_invents =
            OLD.status = 'blocked' AND NEW.status NOT IN ('blocked', OLD.status_before_block),
        NEW.role_is_missing =
            NEW.status <> OLD.status
            AND EXISTS (SELECT 1 FROM operator_role WHERE operator = SUBSTRING_INDEX(USER(), '@', 1))
            AND NOT EXISTS (SELECT 1
                              FROM card_transition
                              JOIN operator_role ON operator_role.role IN (card_transition.role, 'admin')
                             WHERE card_transition.from_status = OLD.status
                               AND card_transition.to_status = NEW.status
                               AND operator_role.operator = SUBSTRING_INDEX(USER(), '@', 1)),
        NEW.status_before_block =
            CASE WHEN NEW.status <> 'blocked' THEN NULL
                 WHEN OLD.status <> 'blocked' THEN CAST(OLD.status AS CHAR)
                 ELSE CAST(OLD.status_before_block AS CHAR) END,
        NEW.version = GREATEST(NEW.version, OLD.version + IF(
            NEW.status = OLD.status
            AND NEW.expires_at <=> OLD.expires_at
            AND NEW.device <=> OLD.device
            AND NEW.added_seconds = OLD.added_seconds
            AND NEW.added_octets = OLD.added_octets
            AND NEW.added_down_octets = OLD.added_down_octets
            AND NEW.added_up_octets = OLD.added_up_octets
            AND NEW.added_cents = OLD.added_cents,
            0, 1));

-- A serial is never used again, and a card's usage is never forgotten: `prepaid delete` sets a status.
CREATE TRIGGER card_rows_stay BEFORE DELETE ON card FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'card_rows_stay: a card is never removed, its serial is used for ever';


-- Its history --------------------------------------------------------------------------------------------

CREATE TABLE card_transition (
    from_status  ENUM('created', 'delivered', 'in_use', 'exhausted', 'expired', 'blocked', 'redeemed', 'deleted') NOT NULL,
    to_status    ENUM('created', 'delivered', 'in_use', 'exhausted', 'expired', 'blocked', 'redeemed', 'deleted') NOT NULL,
    what         VARCHAR(16) NOT NULL,                           -- the word for it in `prepaid track`
    role         VARCHAR(16) NULL,                               -- which of the office's roles makes it; NULL: the module
    PRIMARY KEY (from_status, to_status)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

INSERT INTO card_transition (from_status, to_status, what, role) VALUES
    ('created',   'delivered', 'delivered', 'deliver'),
    ('created',   'blocked',   'blocked',   'block'),
    ('created',   'deleted',   'deleted',   'delete'),
    ('delivered', 'in_use',    'activated', 'credit'),             -- by the module; by a transfer of all its credit
    ('delivered', 'created',   'returned',  'return'),
    ('delivered', 'blocked',   'blocked',   'block'),
    ('delivered', 'expired',   'expired',   'disconnect'),
    ('delivered', 'redeemed',  'redeemed',  'redeem'),
    ('in_use',    'exhausted', 'exhausted', 'credit'),             -- the same
    ('in_use',    'expired',   'expired',   'disconnect'),
    ('in_use',    'blocked',   'blocked',   'block'),
    ('exhausted', 'in_use',    'reopened',  'credit'),
    ('exhausted', 'blocked',   'blocked',   'block'),
    ('expired',   'delivered', 'reopened',  'credit'),
    ('expired',   'in_use',    'reopened',  'credit'),
    ('expired',   'blocked',   'blocked',   'block'),
    ('blocked',   'created',   'unblocked', 'block'),
    ('blocked',   'delivered', 'unblocked', 'block'),
    ('blocked',   'in_use',    'unblocked', 'block'),
    ('blocked',   'exhausted', 'unblocked', 'block'),
    ('blocked',   'expired',   'unblocked', 'block');

-- One row for each thing that happened to a card outside its sessions. Written by triggers; never changed.
CREATE TABLE card_event (
    id           BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    card_id      INT UNSIGNED    NOT NULL,
    at           DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    what         VARCHAR(16)     NULL,                           -- NULL on a change of status: card_transition has the word
    from_status  ENUM('created', 'delivered', 'in_use', 'exhausted', 'expired', 'blocked', 'redeemed', 'deleted') NULL,
    to_status    ENUM('created', 'delivered', 'in_use', 'exhausted', 'expired', 'blocked', 'redeemed', 'deleted') NULL,
    operator     VARCHAR(128)    NOT NULL,                       -- the account that the database itself saw
    reason       VARCHAR(255)    NULL,
    note_id      INT UNSIGNED    NULL,
    entry_id     BIGINT UNSIGNED NULL,                           -- the compensating entry behind it
    KEY (card_id, id),
    KEY (note_id),
    CONSTRAINT status_change_is_allowed FOREIGN KEY (from_status, to_status)
        REFERENCES card_transition (from_status, to_status),
    FOREIGN KEY (card_id) REFERENCES card (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- The reason and the note come from the connection (SET @prepaid_reason = …, @prepaid_note = …); the operator
-- does not: USER() is what the server authenticated.
CREATE TRIGGER card_status_is_recorded AFTER UPDATE ON card FOR EACH ROW
    INSERT INTO card_event (card_id, from_status, to_status, operator, reason, note_id)
    SELECT NEW.id, OLD.status, NEW.status, '', @prepaid_reason, @prepaid_note
      FROM DUAL
     WHERE NEW.status <> OLD.status;

CREATE TRIGGER event_names_its_operator BEFORE INSERT ON card_event FOR EACH ROW
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1);
CREATE TRIGGER history_is_never_edited BEFORE UPDATE ON card_event FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
CREATE TRIGGER history_is_never_removed BEFORE DELETE ON card_event FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead';

-- What happened to all cards of a batch at once (a million rows would say the same thing).
CREATE TABLE batch_event (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    batch_id    INT UNSIGNED    NOT NULL,
    at          DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    what        VARCHAR(16)     NOT NULL,                        -- generated, imported, exported, received
    operator    VARCHAR(128)    NOT NULL DEFAULT '',
    reason      VARCHAR(255)    NULL,
    card_count  INT UNSIGNED    NOT NULL,
    detail      VARCHAR(1000)   NULL,                            -- of an export: format, fields, SHA-256
    KEY (batch_id, id),
    FOREIGN KEY (batch_id) REFERENCES batch (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TRIGGER batch_event_names_its_operator BEFORE INSERT ON batch_event FOR EACH ROW
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1);
CREATE TRIGGER batch_history_is_never_edited BEFORE UPDATE ON batch_event FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
CREATE TRIGGER batch_history_is_never_removed BEFORE DELETE ON batch_event FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead';

-- Compensating entries: credit added or moved by hand, validity extended. Usage itself is never edited.
CREATE TABLE card_entry (
    id                 BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    card_id            INT UNSIGNED    NOT NULL,
    at                 DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    what               ENUM('credited', 'transferred', 'extended', 'unbound') NOT NULL,
    operator           VARCHAR(128)    NOT NULL DEFAULT '',
    reason             VARCHAR(255)    NOT NULL,
    idempotency_key    VARCHAR(64)     NULL,                     -- a double click credits once
    other_card_id      INT UNSIGNED    NULL,                     -- of a transfer: the other side
    added_seconds      INT             NOT NULL DEFAULT 0,
    added_octets       BIGINT          NOT NULL DEFAULT 0,
    added_down_octets  BIGINT          NOT NULL DEFAULT 0,
    added_up_octets    BIGINT          NOT NULL DEFAULT 0,
    added_cents        INT             NOT NULL DEFAULT 0,
    expires_at         DATETIME(3)     NULL,                     -- the new end of validity, where it changes
    UNIQUE KEY entry_is_made_once (idempotency_key, card_id),
    KEY (card_id, id),
    CONSTRAINT entry_has_a_reason CHECK (reason <> ''),
    FOREIGN KEY (card_id) REFERENCES card (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TRIGGER entry_names_its_operator BEFORE INSERT ON card_entry FOR EACH ROW
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1);

CREATE TRIGGER entry_reaches_the_card AFTER INSERT ON card_entry FOR EACH ROW
    UPDATE card
       SET added_seconds = added_seconds + NEW.added_seconds,
           added_octets = added_octets + NEW.added_octets,
           added_down_octets = added_down_octets + NEW.added_down_octets,
           added_up_octets = added_up_octets + NEW.added_up_octets,
           added_cents = added_cents + NEW.added_cents,
           expires_at = COALESCE(NEW.expires_at, expires_at),
           device = IF(NEW.what = 'unbound', NULL, device)
     WHERE id = NEW.card_id;

CREATE TRIGGER entry_is_in_the_history AFTER INSERT ON card_entry FOR EACH ROW
    INSERT INTO card_event (card_id, what, operator, reason, entry_id)
    VALUES (NEW.card_id, NEW.what, NEW.operator, NEW.reason, NEW.id);

CREATE TRIGGER entries_are_never_edited BEFORE UPDATE ON card_entry FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
CREATE TRIGGER entries_are_never_removed BEFORE DELETE ON card_entry FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead';


-- Its sessions -------------------------------------------------------------------------------------------

-- One row for each login that was accepted: at first a reservation, then, from the first accounting packet
-- on, a session. The key is the card and the number of its login, so that a card's sessions lie together,
-- a packet that brings our Class back finds its row by primary key, and two logins that decide on the same
-- facts collide: the loser reads again and decides again.
CREATE TABLE session (
    card_id              INT UNSIGNED      NOT NULL,
    login_number         INT UNSIGNED      NOT NULL,
    nas_id               INT UNSIGNED      NOT NULL,
    nas_address          VARCHAR(45)       NOT NULL DEFAULT '',  -- where its packets come from: a NAS may be a network
    acct_session_id      VARCHAR(253)      NOT NULL DEFAULT '',  -- '' until the first accounting packet
    device               VARCHAR(64)       NOT NULL DEFAULT '',  -- Calling-Station-Id, normalised
    login_at             DATETIME(3)       NULL,                 -- NULL: seen in accounting only
    login_token          BIGINT UNSIGNED   NULL,                 -- tells our own row after a commit whose answer got lost
    started_at           DATETIME(3)       NULL,                 -- NULL: not begun
    heard_at             DATETIME(3)       NULL,                 -- last accounting packet
    stopped_at           DATETIME(3)       NULL,                 -- the NAS' Stop; final
    stop_cause           VARCHAR(32)       NULL,                 -- Acct-Terminate-Cause
    closed_at            DATETIME(3)       NULL,                 -- closed by us without a Stop; a packet that shows
    close_cause          VARCHAR(16)       NULL,                 -- more usage revives it: superseded, stale, nas_reboot,
                                                                 -- not_begun, cut (the NAS agreed, then silence), gone
                                                                 -- (the NAS knows no such session, then silence)
    -- Of a session that was closed: a packet that was sent after this moment shows that it goes on, an older one does
    -- not. NULL: after closed_at.
    reopens_after_at     DATETIME(3)       NULL,
    -- When its end was recorded, whenever that was; of a row that has not ended, when it was made. The archive goes by
    -- this: a session may be closed today at what it reported a week ago.
    end_recorded_at      DATETIME(3)       NOT NULL DEFAULT UTC_TIMESTAMP(3),
    -- When it has to be off at the latest. NULL once it has ended: so this also says which sessions are open.
    due_at               DATETIME(3)       NULL,
    due_cause            VARCHAR(16)       NULL,                 -- the limit behind it: time, traffic, money, validity, hours, …
    -- What the Accept granted; NULL where nothing limits. What is granted and not used is nobody else's.
    granted_seconds      INT UNSIGNED      NULL,
    granted_octets       BIGINT UNSIGNED   NULL,
    granted_down_octets  BIGINT UNSIGNED   NULL,
    granted_up_octets    BIGINT UNSIGNED   NULL,
    granted_millicents   BIGINT UNSIGNED   NULL,
    tariff_minute_millicents INT UNSIGNED  NOT NULL DEFAULT 0,   -- the product's, at hand for the check after each packet
    tariff_mb_millicents INT UNSIGNED      NOT NULL DEFAULT 0,
    fup_octets           BIGINT UNSIGNED   NULL,                 -- beyond this the speed drops
    interim_seconds      SMALLINT UNSIGNED NOT NULL DEFAULT 300,
    -- The highest counters seen. They only grow.
    used_seconds         INT UNSIGNED      NOT NULL DEFAULT 0,
    used_down_octets     BIGINT UNSIGNED   NOT NULL DEFAULT 0,
    used_up_octets       BIGINT UNSIGNED   NOT NULL DEFAULT 0,
    -- What of them is on the card's row already.
    settled_seconds      INT UNSIGNED      NOT NULL DEFAULT 0,
    settled_down_octets  BIGINT UNSIGNED   NOT NULL DEFAULT 0,
    settled_up_octets    BIGINT UNSIGNED   NOT NULL DEFAULT 0,
    -- The NAS' raw counters, kept only where its counter_rule is not 'gigawords'.
    raw_down_octets      BIGINT UNSIGNED   NULL,
    raw_up_octets        BIGINT UNSIGNED   NULL,
    framed_ipv4          VARCHAR(15)       NULL,
    framed_ipv6          VARCHAR(43)       NULL,                 -- Framed-IPv6-Address, or Framed-IPv6-Prefix
    delegated_prefix     VARCHAR(43)       NULL,
    usage_falls          BOOLEAN           NOT NULL DEFAULT FALSE,
    PRIMARY KEY (card_id, login_number),
    KEY session_by_nas (nas_id, due_at),                         -- open sessions of a NAS; what is due to be cut
    CONSTRAINT session_usage_only_grows CHECK (NOT usage_falls)
    -- No foreign key to card or nas: to check it, every packet would wait for whoever has locked that row. A login is
    -- written with a look at its card, and `prepaid nas remove` looks for sessions.
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TRIGGER session_rules BEFORE UPDATE ON session FOR EACH ROW
    SET NEW.usage_falls =
            NEW.used_seconds < OLD.used_seconds
            OR NEW.used_down_octets < OLD.used_down_octets
            OR NEW.used_up_octets < OLD.used_up_octets
            OR NEW.settled_seconds < OLD.settled_seconds
            OR NEW.settled_down_octets < OLD.settled_down_octets
            OR NEW.settled_up_octets < OLD.settled_up_octets,
        NEW.end_recorded_at =
            IF(NEW.due_at IS NULL AND OLD.due_at IS NOT NULL, UTC_TIMESTAMP(3), NEW.end_recorded_at);

-- Ended and settled sessions, kept for at least a year (Brazil, Lei 12.965/2014, art. 13) and found by address.
-- Login number 0 is no session: it is what a card had used before its oldest one here, before it was imported or in
-- sessions that are forgotten, so that a card's usage stays the sum of its rows. A session that came back stands in
-- both tables; then its row in `session` is the one that counts.
CREATE TABLE session_archive (
    card_id              INT UNSIGNED      NOT NULL,
    login_number         INT UNSIGNED      NOT NULL,
    nas_id               INT UNSIGNED      NOT NULL,
    acct_session_id      VARCHAR(253)      NOT NULL,
    device               VARCHAR(64)       NOT NULL,
    login_at             DATETIME(3)       NULL,
    started_at           DATETIME(3)       NULL,
    ended_at             DATETIME(3)       NOT NULL,
    end_cause            VARCHAR(32)       NULL,
    used_seconds         INT UNSIGNED      NOT NULL,
    used_down_octets     BIGINT UNSIGNED   NOT NULL,
    used_up_octets       BIGINT UNSIGNED   NOT NULL,
    framed_ipv4          VARCHAR(15)       NULL,
    framed_ipv6          VARCHAR(43)       NULL,
    delegated_prefix     VARCHAR(43)       NULL,
    -- What nobody asks of an archived session, and what it needs if it goes on: see the table session.
    nas_address          VARCHAR(45)       NOT NULL DEFAULT '',
    heard_at             DATETIME(3)       NULL,
    stopped_at           DATETIME(3)       NULL,
    stop_cause           VARCHAR(32)       NULL,
    closed_at            DATETIME(3)       NULL,
    close_cause          VARCHAR(16)       NULL,
    reopens_after_at     DATETIME(3)       NULL,
    granted_seconds      INT UNSIGNED      NULL,
    granted_octets       BIGINT UNSIGNED   NULL,
    granted_down_octets  BIGINT UNSIGNED   NULL,
    granted_up_octets    BIGINT UNSIGNED   NULL,
    granted_millicents   BIGINT UNSIGNED   NULL,
    tariff_minute_millicents INT UNSIGNED  NOT NULL DEFAULT 0,
    tariff_mb_millicents INT UNSIGNED      NOT NULL DEFAULT 0,
    fup_octets           BIGINT UNSIGNED   NULL,
    interim_seconds      SMALLINT UNSIGNED NOT NULL DEFAULT 300,
    raw_down_octets      BIGINT UNSIGNED   NULL,
    raw_up_octets        BIGINT UNSIGNED   NULL,
    PRIMARY KEY (card_id, login_number),
    KEY (framed_ipv4, started_at),
    KEY (framed_ipv6, started_at),
    KEY (delegated_prefix, started_at),
    KEY (ended_at),
    FOREIGN KEY (card_id) REFERENCES card (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Usage of archived sessions by the hour at which they ended, so that a report of a year adds up hours and not
-- sessions. Written in the transaction that archives them; partner 0: cards that no partner had.
CREATE TABLE usage_hour (
    hour_at        DATETIME        NOT NULL,
    product_id     INT UNSIGNED    NOT NULL,
    partner_id     INT UNSIGNED    NOT NULL,
    session_count  INT UNSIGNED    NOT NULL,
    used_seconds      BIGINT UNSIGNED NOT NULL,
    used_down_octets  BIGINT UNSIGNED NOT NULL,
    used_up_octets    BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (hour_at, product_id, partner_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Running sessions that have passed their fair-use share: `prepaid enforce` slows each down once, by CoA.
-- No foreign key here nor in the two tables below, for the reason given at the table session.
CREATE TABLE session_slow_down (
    card_id       INT UNSIGNED    NOT NULL,
    login_number  INT UNSIGNED    NOT NULL,
    reached_at    DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    done_at       DATETIME(3)     NULL,
    PRIMARY KEY (card_id, login_number),
    KEY (done_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- What a NAS reported that does not add up: shown by `prepaid sessions --anomalies`, never billed by guess.
CREATE TABLE session_anomaly (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    card_id       INT UNSIGNED    NOT NULL,
    login_number  INT UNSIGNED    NOT NULL,
    at            DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    last_at       DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    times         INT UNSIGNED    NOT NULL DEFAULT 1,
    what          VARCHAR(32)     NOT NULL,                      -- octets_fell, wraps, resets
    detail        VARCHAR(255)    NOT NULL,                      -- of the first time
    UNIQUE KEY anomaly_is_noted_once (card_id, login_number, what)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Refused logins, counted by card, source and quarter of an hour. The first twenty devices of a card and reason have rows
-- of their own; further ones share the row '*' of their NAS, so that who sends another address with each guess does not
-- fill the table. The rows with reason wrong_pin are also the throttle, see login.is_locked_out.
CREATE TABLE login_refusal (
    card_id    INT UNSIGNED      NOT NULL,
    source     VARCHAR(128)      NOT NULL,                       -- NAS and device
    reason     VARCHAR(20)       NOT NULL,
    window_at  DATETIME          NOT NULL,                       -- start of the quarter of an hour
    nas_id     INT UNSIGNED      NOT NULL,
    tries      INT UNSIGNED      NOT NULL DEFAULT 1,
    first_at   DATETIME(3)       NOT NULL,
    last_at    DATETIME(3)       NOT NULL,
    PRIMARY KEY (card_id, reason, window_at, source),
    KEY refusal_by_window (window_at)                            -- old ones are removed by `prepaid db archive`
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- The same for serials that do not exist, by NAS: somebody guesses, or a shop sells cards of somebody else.
CREATE TABLE unknown_login (
    source     VARCHAR(128)      NOT NULL,
    window_at  DATETIME          NOT NULL,
    nas_id     INT UNSIGNED      NOT NULL,
    tries      INT UNSIGNED      NOT NULL DEFAULT 1,
    first_at   DATETIME(3)       NOT NULL,
    last_at    DATETIME(3)       NOT NULL,
    PRIMARY KEY (window_at, nas_id, source)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- How far the accounting queues are charged, a row for each queue, written by `prepaid charge --watch`. While packets wait
-- there, a session's silence is counted up to this moment only: what waits may be its report.
CREATE TABLE accounting_queue (
    name              VARCHAR(190) NOT NULL PRIMARY KEY,         -- host and directory
    charged_until_at  DATETIME(3)  NOT NULL,                     -- every packet that arrived before this is charged
    recorded_at       DATETIME(3)  NOT NULL                      -- when the charger said so
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Accounting-On and -Off packets that came, by what is the same in a packet that is sent again: the address it comes from
-- and its authenticator, which is a hash over all of it (RFC 2866, 3). A repeated one ends no session that began in between.
CREATE TABLE nas_restart (
    nas_address    VARCHAR(45) NOT NULL,
    authenticator  VARCHAR(34) NOT NULL,
    happened_at    DATETIME(3) NOT NULL,
    repeated_at    DATETIME(3) NOT NULL,
    PRIMARY KEY (nas_address, authenticator)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Disconnect-Requests and CoA-Requests (RFC 5176) and what the NAS said. A row is written before its request is
-- sent, and whoever writes it sends it: so two enforcers at once never do the same. That the session is off is
-- said by the session's own row (stopped_at, closed_at), because an ACK alone is not believed.
CREATE TABLE session_cut (
    card_id       INT UNSIGNED    NOT NULL,
    login_number  INT UNSIGNED    NOT NULL,
    action        ENUM('disconnect', 'slow_down') NOT NULL,
    attempt       INT UNSIGNED    NOT NULL,
    at            DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    next_at       DATETIME(3)     NOT NULL,                      -- until then nobody else tries
    cause         VARCHAR(16)     NOT NULL,
    outcome       VARCHAR(16)     NOT NULL DEFAULT 'sent',       -- sent, ack, nak, no_answer, not_sent
    error_cause   VARCHAR(64)     NULL,                          -- the NAS' Error-Cause, or why nothing was sent
    PRIMARY KEY (card_id, login_number, action, attempt),
    FOREIGN KEY (card_id) REFERENCES card (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;


-- Who had an address -------------------------------------------------------------------------------------

-- A question of an authority: asked before it is answered, because address_answer reads what is asked here.
-- So nobody who may only read that view learns a customer's address without a record of it.
CREATE TABLE address_query (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    asked_at    DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    operator    VARCHAR(128)    NOT NULL DEFAULT '',
    address     VARCHAR(43)     NOT NULL,
    moment_at   DATETIME(3)     NOT NULL,                        -- who had it then
    reason      VARCHAR(255)    NULL                             -- the order's number, for one
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- What a session may say that has the address: the address itself, or a prefix that holds it.
CREATE TABLE address_query_form (
    query_id  BIGINT UNSIGNED NOT NULL,
    address   VARCHAR(43)     NOT NULL,
    PRIMARY KEY (query_id, address),
    FOREIGN KEY (query_id) REFERENCES address_query (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TRIGGER address_query_names_its_operator BEFORE INSERT ON address_query FOR EACH ROW
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1);
CREATE TRIGGER address_queries_are_never_edited BEFORE UPDATE ON address_query FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
CREATE TRIGGER address_queries_are_never_removed BEFORE DELETE ON address_query FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead';


-- Telephony ----------------------------------------------------------------------------------------------

-- A redeemed card's credit on its way to the voice platform (VSC): pending, exported, confirmed; each once.
CREATE TABLE voice_credit (
    id             BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    card_id        INT UNSIGNED    NOT NULL,
    account        VARCHAR(64)     NOT NULL,
    credit_cents   INT UNSIGNED    NULL,
    credit_seconds INT UNSIGNED    NULL,
    redeemed_at    DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    operator       VARCHAR(128)    NOT NULL DEFAULT '',
    export_number  INT UNSIGNED    NULL,
    exported_at    DATETIME(3)     NULL,
    reference      VARCHAR(64)     NULL,                         -- the platform's own, given back at confirmation
    confirmed_at   DATETIME(3)     NULL,
    UNIQUE KEY card_is_redeemed_once (card_id),
    UNIQUE KEY reference_is_unique (reference),
    KEY (export_number),
    FOREIGN KEY (card_id) REFERENCES card (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TRIGGER voice_credit_names_its_operator BEFORE INSERT ON voice_credit FOR EACH ROW
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1);


-- That the past stays as it was --------------------------------------------------------------------------

-- Every row of history in the order in which it was found, each with a hash over the one before and its own content.
-- Written by `prepaid audit seal` for rows that are committed: on the hot path it would make all writers wait for each
-- other, and the order of numbers is not the order of commits. `prepaid audit verify` computes it all again.
CREATE TABLE history_chain (
    seq        BIGINT UNSIGNED NOT NULL PRIMARY KEY,             -- without a gap
    source     ENUM('card_event', 'batch_event', 'card_entry', 'note', 'voice_credit', 'address_query') NOT NULL,
    row_id     BIGINT UNSIGNED NOT NULL,
    sealed_at  DATETIME(3)     NOT NULL,
    hash       BINARY(32)      NOT NULL,
    UNIQUE KEY row_is_sealed_once (source, row_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TRIGGER chain_is_never_edited BEFORE UPDATE ON history_chain FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
CREATE TRIGGER chain_is_never_removed BEFORE DELETE ON history_chain FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead';

-- Up to which row of a table nothing can come any more: no transaction is as old as that. So sealing looks at new rows
-- only, and a row that turns up further down was put into the past.
CREATE TABLE history_floor (
    source         ENUM('card_event', 'batch_event', 'card_entry', 'note', 'voice_credit', 'address_query')
                                   NOT NULL PRIMARY KEY,
    row_id         BIGINT UNSIGNED NOT NULL DEFAULT 0,
    next_row_id    BIGINT UNSIGNED NOT NULL DEFAULT 0,           -- the floor once next_since is long ago
    next_since_at  DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

INSERT INTO history_floor (source) VALUES
    ('card_event'), ('batch_event'), ('card_entry'), ('note'), ('voice_credit'), ('address_query');


-- The views: what people read ----------------------------------------------------------------------------

-- Until when accounting is charged: now, or where packets wait in a queue, what the slowest of its chargers has reached. One
-- that has said nothing for an hour is gone.
CREATE VIEW accounting_state AS
    SELECT COALESCE(LEAST(MIN(charged_until_at), UTC_TIMESTAMP(3)), UTC_TIMESTAMP(3)) AS charged_until_at
      FROM accounting_queue
     WHERE recorded_at > UTC_TIMESTAMP(3) - INTERVAL 3600 SECOND;

-- A card as the office sees it. Usage is what was posted to the card plus what its sessions have beyond that.
-- Scalar subqueries, not a join with GROUP BY: a page of a list then costs a page, whatever the number of cards.
-- Money used is usage times tariff, rounded down once, for the sum: in the customer's favour by less than a cent.
CREATE VIEW card_balance AS
    SELECT card.id AS card_id,
           product.credit_seconds + card.added_seconds AS credit_seconds,
           product.credit_octets + card.added_octets AS credit_octets,
           product.credit_down_octets + card.added_down_octets AS credit_down_octets,
           product.credit_up_octets + card.added_up_octets AS credit_up_octets,
           CAST(product.credit_cents AS SIGNED) + card.added_cents AS credit_cents,
           product.tariff_minute_millicents,
           product.tariff_mb_millicents,
           card.settled_seconds + (SELECT COALESCE(SUM(session.used_seconds - session.settled_seconds), 0)
                                     FROM session WHERE session.card_id = card.id) AS used_seconds,
           card.settled_down_octets + (SELECT COALESCE(SUM(session.used_down_octets - session.settled_down_octets), 0)
                                         FROM session WHERE session.card_id = card.id) AS used_down_octets,
           card.settled_up_octets + (SELECT COALESCE(SUM(session.used_up_octets - session.settled_up_octets), 0)
                                       FROM session WHERE session.card_id = card.id) AS used_up_octets,
           -- Open: begun, not ended, heard of within three interim intervals and a minute before now, or before the last
           -- packet that a queue has charged.
           (SELECT COUNT(*)
              FROM session
             WHERE session.card_id = card.id
               AND session.acct_session_id <> ''
               AND session.due_at IS NOT NULL
               AND session.heard_at > (SELECT charged_until_at FROM accounting_state)
                                      - INTERVAL (3 * session.interim_seconds + 60) SECOND)
               AS open_sessions
      FROM card
      JOIN product ON product.id = card.product_id;

CREATE VIEW card_overview AS
    SELECT card.id,
           card.serial,
           card.status,
           product.kind,
           product.name AS product,
           card.batch_id AS batch,
           partner.name AS partner,
           balance.credit_seconds,
           balance.used_seconds,
           GREATEST(CAST(balance.credit_seconds AS SIGNED) - CAST(balance.used_seconds AS SIGNED), 0)
               AS remaining_seconds,
           balance.credit_octets,
           balance.credit_down_octets,
           balance.credit_up_octets,
           balance.used_down_octets + balance.used_up_octets AS used_octets,
           balance.used_down_octets,
           balance.used_up_octets,
           GREATEST(CAST(balance.credit_octets AS SIGNED)
                    - CAST(balance.used_down_octets + balance.used_up_octets AS SIGNED), 0) AS remaining_octets,
           GREATEST(CAST(balance.credit_down_octets AS SIGNED) - CAST(balance.used_down_octets AS SIGNED), 0)
               AS remaining_down_octets,
           GREATEST(CAST(balance.credit_up_octets AS SIGNED) - CAST(balance.used_up_octets AS SIGNED), 0)
               AS remaining_up_octets,
           balance.credit_cents,
           IF(balance.credit_cents IS NULL, NULL, CAST(FLOOR(
               (CAST(balance.used_seconds AS DECIMAL(30)) * balance.tariff_minute_millicents * 1000000
                + CAST(balance.used_down_octets + balance.used_up_octets AS DECIMAL(30))
                  * balance.tariff_mb_millicents * 60) / 60000000000) AS SIGNED)) AS used_cents,
           card.first_login_at,
           COALESCE(card.expires_at, product.valid_until_at) AS expires_at,
           balance.open_sessions,
           card.device,
           card.note,
           card.delivery_note_id AS delivery_note,
           card.status_before_block,
           product.price_cents
      FROM card
      JOIN product ON product.id = card.product_id
      JOIN card_balance AS balance ON balance.card_id = card.id
      LEFT JOIN partner ON partner.id = card.partner_id
     WHERE card.status <> 'deleted';

-- Sessions, live and archived, as people ask for them.
CREATE VIEW session_overview AS
    SELECT card_id, login_number, nas_id, acct_session_id, device, login_at,
           -- A session's own clock may put its start before the login that permitted it; people are not shown that.
           GREATEST(started_at, COALESCE(login_at, started_at)) AS started_at,
           heard_at,
           COALESCE(stopped_at, closed_at) AS ended_at,
           COALESCE(stop_cause, close_cause) AS end_cause,
           due_at, due_cause, used_seconds, used_down_octets, used_up_octets,
           GREATEST(CAST(used_seconds AS SIGNED) - CAST(granted_seconds AS SIGNED), 0) AS overrun_seconds,
           GREATEST(CAST(used_down_octets + used_up_octets AS SIGNED) - CAST(granted_octets AS SIGNED), 0)
               AS overrun_octets,
           framed_ipv4, framed_ipv6, delegated_prefix,
           acct_session_id <> '' AND due_at IS NOT NULL
               AND heard_at > (SELECT charged_until_at FROM accounting_state)
                              - INTERVAL (3 * interim_seconds + 60) SECOND AS is_open
      FROM session
    UNION ALL
    SELECT card_id, login_number, nas_id, acct_session_id, device, login_at, started_at, NULL, ended_at, end_cause,
           NULL, NULL, used_seconds, used_down_octets, used_up_octets, NULL, NULL,
           framed_ipv4, framed_ipv6, delegated_prefix, FALSE
      FROM session_archive
     -- One that came back is shown as it is now.
     WHERE NOT EXISTS (SELECT 1
                         FROM session
                        WHERE session.card_id = session_archive.card_id
                          AND session.login_number = session_archive.login_number);

-- Who had the address that was asked for, by the number of the question. A branch for each index; live sessions have
-- none, because it would cost every packet a write, so they are read through: a question is rare, a packet is not.
CREATE VIEW address_answer AS
    SELECT form.query_id, card_id, login_number, nas_id, acct_session_id, device, started_at,
           NULL AS heard_at,
           ended_at AS ended_at,
           end_cause AS end_cause,
           framed_ipv4, framed_ipv6, delegated_prefix
      FROM address_query_form AS form
      JOIN address_query AS query ON query.id = form.query_id
      JOIN session_archive ON session_archive.framed_ipv4 = form.address
     WHERE started_at <= query.moment_at
       AND ended_at >= query.moment_at
       AND NOT EXISTS (SELECT 1
                         FROM session AS live
                        WHERE live.card_id = session_archive.card_id
                          AND live.login_number = session_archive.login_number)
     UNION
    SELECT form.query_id, card_id, login_number, nas_id, acct_session_id, device, started_at,
           NULL AS heard_at,
           ended_at AS ended_at,
           end_cause AS end_cause,
           framed_ipv4, framed_ipv6, delegated_prefix
      FROM address_query_form AS form
      JOIN address_query AS query ON query.id = form.query_id
      JOIN session_archive ON session_archive.framed_ipv6 = form.address
     WHERE started_at <= query.moment_at
       AND ended_at >= query.moment_at
       AND NOT EXISTS (SELECT 1
                         FROM session AS live
                        WHERE live.card_id = session_archive.card_id
                          AND live.login_number = session_archive.login_number)
     UNION
    SELECT form.query_id, card_id, login_number, nas_id, acct_session_id, device, started_at,
           NULL AS heard_at,
           ended_at AS ended_at,
           end_cause AS end_cause,
           framed_ipv4, framed_ipv6, delegated_prefix
      FROM address_query_form AS form
      JOIN address_query AS query ON query.id = form.query_id
      JOIN session_archive ON session_archive.delegated_prefix = form.address
     WHERE started_at <= query.moment_at
       AND ended_at >= query.moment_at
       AND NOT EXISTS (SELECT 1
                         FROM session AS live
                        WHERE live.card_id = session_archive.card_id
                          AND live.login_number = session_archive.login_number)
     UNION
    SELECT form.query_id, card_id, login_number, nas_id, acct_session_id, device, started_at,
           heard_at AS heard_at,
           COALESCE(stopped_at, closed_at) AS ended_at,
           COALESCE(stop_cause, close_cause) AS end_cause,
           framed_ipv4, framed_ipv6, delegated_prefix
      FROM address_query_form AS form
      JOIN address_query AS query ON query.id = form.query_id
      JOIN session ON session.framed_ipv4 = form.address
     WHERE started_at <= query.moment_at
       AND (due_at IS NOT NULL OR COALESCE(stopped_at, closed_at) >= query.moment_at)
     UNION
    SELECT form.query_id, card_id, login_number, nas_id, acct_session_id, device, started_at,
           heard_at AS heard_at,
           COALESCE(stopped_at, closed_at) AS ended_at,
           COALESCE(stop_cause, close_cause) AS end_cause,
           framed_ipv4, framed_ipv6, delegated_prefix
      FROM address_query_form AS form
      JOIN address_query AS query ON query.id = form.query_id
      JOIN session ON session.framed_ipv6 = form.address
     WHERE started_at <= query.moment_at
       AND (due_at IS NOT NULL OR COALESCE(stopped_at, closed_at) >= query.moment_at)
     UNION
    SELECT form.query_id, card_id, login_number, nas_id, acct_session_id, device, started_at,
           heard_at AS heard_at,
           COALESCE(stopped_at, closed_at) AS ended_at,
           COALESCE(stop_cause, close_cause) AS end_cause,
           framed_ipv4, framed_ipv6, delegated_prefix
      FROM address_query_form AS form
      JOIN address_query AS query ON query.id = form.query_id
      JOIN session ON session.delegated_prefix = form.address
     WHERE started_at <= query.moment_at
       AND (due_at IS NOT NULL OR COALESCE(stopped_at, closed_at) >= query.moment_at);

INSERT INTO schema_version (version, name) VALUES (1, 'initial');
