-- The schema that the office (admin/) and FreeRADIUS (freeradius_module/) share. Read it from the top: products, partners
-- and NAS, operators, cards, their history, their sessions, telephony, the hash chain, views, procedures.
--
-- The database enforces what must always hold, so that it binds every writer, a person in the mysql shell included:
-- statuses and their changes, the history, serials that are never used again, usage that only grows.
-- A rule is a trigger that refuses with SIGNAL. Its message begins with the rule's name; the programs recognise it by that
-- name. CHECK constraints and foreign keys are a second safeguard only, because any session may switch them off.
-- Rules about who may act do not bind the schema's owner, who could drop them anyway.
--
-- Times are UTC. Octets are named from the customer's side: down is what the customer received (Acct-Output-Octets), up is
-- what the customer sent (Acct-Input-Octets). Tariffs are in millicents (1/1000 cent).
-- The collation is binary without padding: serials that differ by case or by a trailing space are different serials. Its
-- character set is that of the connections: an ascii key is not used for an IN list in utf8mb4.

SET NAMES utf8mb4 COLLATE utf8mb4_nopad_bin;


-- Functions that the rules use --------------------------------------------------------------------------

-- The server's clock in UTC. Any session may move UTC_TIMESTAMP() with SET timestamp; SYSDATE() does not move.
CREATE FUNCTION server_time() RETURNS DATETIME(3) NO SQL
    RETURN CONVERT_TZ(SYSDATE(3), @@session.time_zone, '+00:00');

-- Whether the schema's owner acts. Within a trigger, USER() is the account that the server authenticated, and
-- CURRENT_USER() is the schema's owner.
CREATE FUNCTION acts_as_owner() RETURNS BOOLEAN NO SQL
    RETURN SUBSTRING_INDEX(USER(), '@', 1) = SUBSTRING_INDEX(CURRENT_USER(), '@', 1);

-- Whether a session tries to choose the next AUTO_INCREMENT value. A row with a number near the maximum, even if it is
-- rolled back, would make all later inserts fail. Galera sets a step above 1, so that each node has its own numbers; steps
-- up to 255 are allowed for it.
CREATE FUNCTION chooses_number() RETURNS BOOLEAN NO SQL
    RETURN (@@insert_id <> 0 OR @@auto_increment_increment > 255) AND NOT acts_as_owner();

-- Whether the account has a role. Only its grants bind an account that operator_role does not list.
CREATE FUNCTION may_act(wanted VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin) RETURNS BOOLEAN READS SQL DATA
    RETURN EXISTS (SELECT 1
                     FROM operator_role
                    WHERE operator = SUBSTRING_INDEX(USER(), '@', 1)
                      AND role IN (wanted, 'admin', 'office'))
        OR NOT EXISTS (SELECT 1 FROM operator_role WHERE operator = SUBSTRING_INDEX(USER(), '@', 1));


CREATE TABLE schema_version (
    version     SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
    name        VARCHAR(64)       NOT NULL,
    applied_at  DATETIME(3)       NOT NULL DEFAULT UTC_TIMESTAMP(3)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Facts about this installation, such as the fingerprints of its PIN keys.
CREATE TABLE site (
    name   VARCHAR(32)  NOT NULL PRIMARY KEY,
    value  VARCHAR(255) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
-- The server's clock dates these events, not the client's.
CREATE TRIGGER site_moments_are_the_servers BEFORE INSERT ON site FOR EACH ROW
BEGIN
    IF NEW.name LIKE '%\_retired' OR NEW.name = 'resealed_at' THEN
        SET NEW.value = server_time();
    END IF;
END//

-- If a key changed and kept its number, nothing that was sealed with it could be opened.
CREATE TRIGGER site_facts_stay BEFORE UPDATE ON site FOR EACH ROW
BEGIN
    IF NEW.name <> OLD.name
       OR (NEW.value <> OLD.value AND (OLD.name LIKE 'key\_%\_fingerprint' OR OLD.name LIKE 'key\_%\_retired')) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'site_facts_stay: a key keeps its fingerprint';
    END IF;
    IF NEW.name = 'resealed_at' AND NOT acts_as_owner() THEN
        SET NEW.value = server_time();
    END IF;
END//
DELIMITER ;


-- What is sold -------------------------------------------------------------------------------------------

CREATE TABLE product (
    id                        INT UNSIGNED      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name                      VARCHAR(64)       NOT NULL,
    kind                      ENUM('internet', 'telephony') NOT NULL,
    -- The credit. NULL: the product has no credit of this kind.
    credit_seconds            INT UNSIGNED      NULL,
    credit_octets             BIGINT UNSIGNED   NULL,
    credit_down_octets        BIGINT UNSIGNED   NULL,
    credit_up_octets          BIGINT UNSIGNED   NULL,
    credit_cents              INT UNSIGNED      NULL,
    tariff_minute_millicents  INT UNSIGNED      NOT NULL DEFAULT 0,
    tariff_mb_millicents      INT UNSIGNED      NOT NULL DEFAULT 0,  -- 1 MB = 10^6 octets, both directions
    -- Validity and hours.
    valid_days                SMALLINT UNSIGNED NULL,                -- from the first login
    sell_by                   DATE              NULL,                -- last day on which cards are delivered
    valid_until_at            DATETIME(3)       NULL,                -- end of the last day of use, independent of the sale
    allowed_hours             VARCHAR(255)      NULL,                -- "Mo-Fr 08:00-18:00"
    timezone                  VARCHAR(64)       NOT NULL DEFAULT 'UTC', -- of allowed_hours and sell_by
    -- Speed and sessions.
    speed_down_kbit           INT UNSIGNED      NULL,
    speed_up_kbit             INT UNSIGNED      NULL,
    fup_share_percent         TINYINT UNSIGNED  NULL,                -- share of the traffic; beyond it the speed drops
    fup_down_kbit             INT UNSIGNED      NULL,
    fup_up_kbit               INT UNSIGNED      NULL,
    max_sessions              TINYINT UNSIGNED  NOT NULL DEFAULT 1,
    replace_oldest            BOOLEAN           NOT NULL DEFAULT FALSE,
    bind_device               BOOLEAN           NOT NULL DEFAULT FALSE,
    interim_seconds           SMALLINT UNSIGNED NOT NULL DEFAULT 300,
    idle_seconds              INT UNSIGNED      NULL,
    -- Price.
    price_cents               INT UNSIGNED      NOT NULL DEFAULT 0,
    commission_basis_points   SMALLINT UNSIGNED NOT NULL DEFAULT 0,
    revision                  INT UNSIGNED      NOT NULL DEFAULT 1,  -- the engine reloads the product when this rises
    retired_at                DATETIME(3)       NULL,                -- no longer on sale; cards that exist keep working
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
    CONSTRAINT commission_is_a_share CHECK (commission_basis_points <= 10000)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
-- The same rules as the table's CHECK constraints, which a session may switch off.
CREATE PROCEDURE check_product(
    kind VARCHAR(16), seconds BIGINT UNSIGNED, octets BIGINT UNSIGNED, down_octets BIGINT UNSIGNED,
    up_octets BIGINT UNSIGNED, cents BIGINT UNSIGNED, tariffs BIGINT UNSIGNED, interim INT, sessions INT, fup_share INT,
    commission INT) NO SQL
BEGIN
    IF kind <> 'telephony' AND COALESCE(seconds, octets, down_octets, up_octets, cents) IS NULL THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'product_has_credit: a product needs a credit';
    END IF;
    IF 0 IN (COALESCE(seconds, 1), COALESCE(octets, 1), COALESCE(down_octets, 1), COALESCE(up_octets, 1), COALESCE(cents, 1))
    THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'credit_is_not_zero: leave that credit out';
    END IF;
    IF kind <> 'telephony' AND (cents IS NOT NULL) <> (tariffs > 0) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'money_has_a_tariff: money and a tariff belong together';
    END IF;
    IF interim < 60 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'interim_is_a_minute_or_more: see RFC 2869';
    END IF;
    IF sessions < 1 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'sessions_are_one_or_more: a card needs at least one session';
    END IF;
    IF fup_share IS NOT NULL AND (fup_share NOT BETWEEN 1 AND 99 OR COALESCE(octets, down_octets) IS NULL) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'fup_is_a_share_of_traffic: 1 to 99 per cent of a traffic credit';
    END IF;
    IF commission > 10000 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'commission_is_a_share: at most 100 per cent of the price';
    END IF;
END//

CREATE TRIGGER new_product_is_sound BEFORE INSERT ON product FOR EACH ROW
BEGIN
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    CALL check_product(NEW.kind, NEW.credit_seconds, NEW.credit_octets, NEW.credit_down_octets, NEW.credit_up_octets,
                       NEW.credit_cents, NEW.tariff_minute_millicents + NEW.tariff_mb_millicents, NEW.interim_seconds,
                       NEW.max_sessions, NEW.fup_share_percent, NEW.commission_basis_points);
END//

-- Credit, kind and tariffs are what the customers bought, so they do not change once the product has cards.
CREATE TRIGGER product_terms_are_fixed BEFORE UPDATE ON product FOR EACH ROW
BEGIN
    IF NOT (NEW.kind <=> OLD.kind
            AND NEW.credit_seconds <=> OLD.credit_seconds
            AND NEW.credit_octets <=> OLD.credit_octets
            AND NEW.credit_down_octets <=> OLD.credit_down_octets
            AND NEW.credit_up_octets <=> OLD.credit_up_octets
            AND NEW.credit_cents <=> OLD.credit_cents
            AND NEW.tariff_minute_millicents <=> OLD.tariff_minute_millicents
            AND NEW.tariff_mb_millicents <=> OLD.tariff_mb_millicents)
       AND EXISTS (SELECT 1 FROM card WHERE card.product_id = OLD.id) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT =
            'product_terms_are_fixed_once_cards_exist: people bought them; make a new product';
    END IF;
    IF NEW.id <> OLD.id THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: a row keeps its number';
    END IF;
    CALL check_product(NEW.kind, NEW.credit_seconds, NEW.credit_octets, NEW.credit_down_octets, NEW.credit_up_octets,
                       NEW.credit_cents, NEW.tariff_minute_millicents + NEW.tariff_mb_millicents, NEW.interim_seconds,
                       NEW.max_sessions, NEW.fup_share_percent, NEW.commission_basis_points);
    SET NEW.revision = OLD.revision + 1;
END//

CREATE TRIGGER product_rows_stay BEFORE DELETE ON product FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'product_rows_stay: retire it'//
DELIMITER ;

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

DELIMITER //
CREATE TRIGGER reply_operator_is_checked BEFORE INSERT ON product_reply FOR EACH ROW
BEGIN
    IF NEW.operator NOT IN (':=', '+=') THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'reply_operator_is_known: := or +=';
    END IF;
END//
DELIMITER ;
CREATE TRIGGER product_replies_are_replaced BEFORE UPDATE ON product_reply FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'product_replies_are_replaced: remove it and add another';
CREATE TRIGGER product_reply_added AFTER INSERT ON product_reply FOR EACH ROW
    UPDATE product SET revision = revision + 1 WHERE id = NEW.product_id;
CREATE TRIGGER product_reply_removed AFTER DELETE ON product_reply FOR EACH ROW
    UPDATE product SET revision = revision + 1 WHERE id = OLD.product_id;


-- Partners and NAS ---------------------------------------------------------------------------------------

CREATE TABLE partner (
    id                       INT UNSIGNED      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name                     VARCHAR(128)      NOT NULL,
    document                 VARCHAR(32)       NULL,             -- CNPJ or CPF
    contact                  VARCHAR(255)      NULL,
    commission_basis_points  SMALLINT UNSIGNED NULL,             -- NULL: the product's commission applies
    retired_at               DATETIME(3)       NULL,
    UNIQUE KEY partner_name_is_unique (name),
    CONSTRAINT partner_commission_is_a_share CHECK (commission_basis_points <= 10000)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
CREATE TRIGGER new_partner_is_sound BEFORE INSERT ON partner FOR EACH ROW
BEGIN
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    IF NEW.commission_basis_points > 10000 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'partner_commission_is_a_share: at most 100 per cent of the price';
    END IF;
END//

CREATE TRIGGER partner_is_sound BEFORE UPDATE ON partner FOR EACH ROW
BEGIN
    IF NEW.id <> OLD.id THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: a row keeps its number';
    END IF;
    IF NEW.commission_basis_points > 10000 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'partner_commission_is_a_share: at most 100 per cent of the price';
    END IF;
END//

CREATE TRIGGER partner_rows_stay BEFORE DELETE ON partner FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'partner_rows_stay: retire it'//
DELIMITER ;

-- What a partner pays for one card: its price less the commission, which is rounded half up to the cent for each card.
CREATE FUNCTION net_cents(price BIGINT, basis_points BIGINT) RETURNS BIGINT NO SQL
    RETURN price - (price * basis_points + 5000) DIV 10000;

-- The account of each partner: its credit limit and the sums that the limit is compared with. The triggers of note, card and
-- payment write the sums; `prepaid reconcile` compares them with the notes and payments. They are a row of their own, so
-- that of two deliveries to a partner at the same moment the second one waits, and is compared with the sums after the first.
CREATE TABLE partner_account (
    partner_id          INT UNSIGNED    NOT NULL PRIMARY KEY,
    credit_limit_cents  BIGINT UNSIGNED NULL,                    -- NULL: no limit
    -- Cards that were delivered and not returned, less commission. The unused ones are with the partner; the others are sold.
    cards_cents         BIGINT          NOT NULL DEFAULT 0,
    -- Of these, cards that expired unused: nobody owes them. Counted again by each delivery note of a partner with a limit.
    expired_cents       BIGINT          NOT NULL DEFAULT 0,
    paid_cents          BIGINT          NOT NULL DEFAULT 0,      -- payments less reversed payments
    FOREIGN KEY (partner_id) REFERENCES partner (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TRIGGER partner_has_an_account AFTER INSERT ON partner FOR EACH ROW
    INSERT INTO partner_account (partner_id) VALUES (NEW.id);

DELIMITER //
-- Only a delivery is refused. A reversed payment or a lower limit may leave more outstanding than the limit.
CREATE TRIGGER credit_limit_is_kept BEFORE UPDATE ON partner_account FOR EACH ROW
BEGIN
    IF NEW.partner_id <> OLD.partner_id THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: a row keeps its number';
    END IF;
    IF NEW.cards_cents > OLD.cards_cents
       AND NEW.cards_cents - NEW.expired_cents - NEW.paid_cents > CAST(NEW.credit_limit_cents AS SIGNED) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'credit_limit_is_kept: unsold cards and debt would exceed the limit';
    END IF;
END//

CREATE TRIGGER partner_accounts_stay BEFORE DELETE ON partner_account FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'partner_rows_stay: retire it'//
DELIMITER ;

-- Payments of partners. They are never edited; a wrong one is reversed by a row with the opposite amount.
CREATE TABLE payment (
    id               INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    partner_id       INT UNSIGNED NOT NULL,
    amount_cents     BIGINT       NOT NULL,                      -- negative: a reversal
    paid_on          DATE         NOT NULL,                      -- the day in statements
    idempotency_key  VARCHAR(64)  NULL,                          -- repeats with the same key do nothing; NULL: a reversal
    note             VARCHAR(255) NULL,
    reverses_id      INT UNSIGNED NULL,                          -- the payment that this row reverses
    reason           VARCHAR(255) NULL,                          -- of a reversal
    recorded_at      DATETIME(3)  NOT NULL DEFAULT UTC_TIMESTAMP(3),
    operator         VARCHAR(128) NOT NULL DEFAULT '',
    UNIQUE KEY payment_is_made_once (idempotency_key),
    UNIQUE KEY payment_is_reversed_once (reverses_id),
    KEY (partner_id, paid_on),
    FOREIGN KEY (partner_id) REFERENCES partner (id),
    FOREIGN KEY (reverses_id) REFERENCES payment (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
-- A reversal takes partner and amount from its payment, whatever the statement says.
CREATE TRIGGER payment_is_sound BEFORE INSERT ON payment FOR EACH ROW
BEGIN
    DECLARE of_partner INT UNSIGNED;
    DECLARE paid BIGINT;
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    IF NOT may_act('payments') THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'status_change_needs_its_role: payments need the role payments';
    END IF;
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1), NEW.recorded_at = server_time();
    -- One day more, because days are those of the office's time zone.
    IF NEW.paid_on > DATE(server_time()) + INTERVAL 1 DAY THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'payments_are_not_in_the_future: record it on its day';
    END IF;
    IF NEW.reverses_id IS NULL THEN
        IF NEW.amount_cents <= 0 OR TRIM(COALESCE(NEW.idempotency_key, '')) = '' OR NEW.reason IS NOT NULL THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'payment_has_amount_and_key: more than zero, with a key';
        END IF;
    ELSE
        SELECT payment.partner_id, payment.amount_cents
          INTO of_partner, paid
          FROM payment
         WHERE payment.id = NEW.reverses_id
           AND payment.reverses_id IS NULL;
        IF of_partner IS NULL OR TRIM(COALESCE(NEW.reason, '')) = '' OR NEW.idempotency_key IS NOT NULL
           OR NEW.paid_on < DATE(server_time()) - INTERVAL 1 DAY THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'reversal_is_of_a_payment: today, of a payment, with a reason';
        END IF;
        SET NEW.partner_id = of_partner, NEW.amount_cents = -paid;
    END IF;
END//

CREATE TRIGGER payment_reaches_the_account AFTER INSERT ON payment FOR EACH ROW
    UPDATE partner_account SET paid_cents = paid_cents + NEW.amount_cents WHERE partner_id = NEW.partner_id//
CREATE TRIGGER payments_are_never_edited BEFORE UPDATE ON payment FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead'//
CREATE TRIGGER payments_are_never_removed BEFORE DELETE ON payment FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead'//
DELIMITER ;

CREATE TABLE nas (
    id                             INT UNSIGNED      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name                           VARCHAR(64)       NOT NULL,
    -- Canonical CIDR; the longest match is a packet's NAS. 'tls:' and the name: the NAS shows a certificate with this name
    -- (RadSec), and its address does not matter.
    address                        VARCHAR(45)       NOT NULL,
    secret_sealed                  VARBINARY(300)    NOT NULL,
    key_number                     SMALLINT UNSIGNED NOT NULL,
    vendor                         ENUM('generic', 'mikrotik', 'chilli', 'cisco', 'huawei', 'juniper', 'ubiquiti',
                                        'pfsense')   NOT NULL DEFAULT 'generic',
    disconnect_port                SMALLINT UNSIGNED NOT NULL DEFAULT 3799,
    require_message_authenticator  BOOLEAN           NOT NULL DEFAULT TRUE,
    -- What a falling octet counter within a session means: gigawords: an old packet, because the NAS sends Gigawords;
    -- wraps: the counter passed 2^32, because the NAS never sends them; resets: the counter began again at zero.
    counter_rule                   ENUM('gigawords', 'wraps', 'resets') NOT NULL DEFAULT 'gigawords',
    UNIQUE KEY nas_name_is_unique (name),
    UNIQUE KEY nas_address_is_unique (address)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
CREATE TRIGGER nas_numbers_are_the_servers BEFORE INSERT ON nas FOR EACH ROW
BEGIN
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    IF NEW.address LIKE 'tls:%' AND NEW.address <> CONCAT('tls:', NEW.name) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'nas_certificate_has_its_name: a certificate stands for the NAS of its name';
    END IF;
END//

CREATE TRIGGER nas_numbers_stay BEFORE UPDATE ON nas FOR EACH ROW
BEGIN
    IF NEW.id <> OLD.id THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: a row keeps its number';
    END IF;
    IF NEW.address LIKE 'tls:%' AND NEW.address <> CONCAT('tls:', NEW.name) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'nas_certificate_has_its_name: a certificate stands for the NAS of its name';
    END IF;
END//

CREATE TRIGGER nas_with_sessions_stays BEFORE DELETE ON nas FOR EACH ROW
BEGIN
    IF OLD.id = 1 OR EXISTS (SELECT 1 FROM session WHERE session.nas_id = OLD.id)
       OR EXISTS (SELECT 1 FROM session_archive WHERE session_archive.nas_id = OLD.id) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'nas_with_sessions_stays: sessions refer to it';
    END IF;
END//
DELIMITER ;

-- NAS 1 stands for clients that only FreeRADIUS' own files know.
INSERT INTO nas (id, name, address, secret_sealed, key_number) VALUES (1, 'unlisted', '', '', 0);


-- Operators ----------------------------------------------------------------------------------------------

-- The operators and their roles. Grants (roles.sql) alone are too coarse: all changes of a card's status write the same
-- column, and card_transition says which role may make which change. The programs' accounts are listed too: that of
-- freeradius_module with the role 'module', that of the office with the role 'office'. Only its grants bind an account that
-- is not listed.
CREATE TABLE operator_role (
    operator  VARCHAR(80) NOT NULL,
    role      VARCHAR(16) NOT NULL,
    PRIMARY KEY (operator, role)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Each role that an account was given or lost. `prepaid reconcile` compares the history with it: who acted must have held
-- a role for the act at that time. The triggers of operator_role write it; it is never changed.
CREATE TABLE operator_role_event (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    at          DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    operator    VARCHAR(80)     NOT NULL,
    role        VARCHAR(16)     NOT NULL,
    what        ENUM('given', 'taken') NOT NULL,
    changed_by  VARCHAR(128)    NOT NULL DEFAULT '',             -- the account that the server authenticated
    KEY (operator, role, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

CREATE TRIGGER given_role_is_recorded AFTER INSERT ON operator_role FOR EACH ROW
    INSERT INTO operator_role_event (operator, role, what) VALUES (NEW.operator, NEW.role, 'given');
CREATE TRIGGER taken_role_is_recorded AFTER DELETE ON operator_role FOR EACH ROW
    INSERT INTO operator_role_event (operator, role, what) VALUES (OLD.operator, OLD.role, 'taken');
CREATE TRIGGER roles_are_given_and_taken BEFORE UPDATE ON operator_role FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'roles_are_given_and_taken: remove the role and give another';

DELIMITER //
CREATE TRIGGER role_event_is_what_happened BEFORE INSERT ON operator_role_event FOR EACH ROW
BEGIN
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    IF (NEW.what = 'given') <> EXISTS (SELECT 1 FROM operator_role
                                        WHERE operator_role.operator = NEW.operator AND operator_role.role = NEW.role) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_says_what_happened: triggers of operator_role write this row';
    END IF;
    SET NEW.changed_by = SUBSTRING_INDEX(USER(), '@', 1), NEW.at = server_time();
END//
DELIMITER ;
CREATE TRIGGER role_history_is_never_edited BEFORE UPDATE ON operator_role_event FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: give or take the role instead';
CREATE TRIGGER role_history_is_never_removed BEFORE DELETE ON operator_role_event FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: give or take the role instead';


-- The card -----------------------------------------------------------------------------------------------

-- The next serial number of each prefix and length. `prepaid generate` takes its numbers in a transaction of its own, so
-- that two of them at once neither wait for each other nor use the same numbers.
CREATE TABLE serial_counter (
    prefix       VARCHAR(16)      NOT NULL,
    digits       TINYINT UNSIGNED NOT NULL,
    next_number  BIGINT UNSIGNED  NOT NULL DEFAULT 1,
    PRIMARY KEY (prefix, digits)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
CREATE TRIGGER serials_begin_low BEFORE INSERT ON serial_counter FOR EACH ROW
BEGIN
    IF NEW.next_number > 10000001 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'serials_are_counted_on: at most ten million at once';
    END IF;
END//

CREATE TRIGGER serials_are_counted_on BEFORE UPDATE ON serial_counter FOR EACH ROW
BEGIN
    IF NEW.prefix <> OLD.prefix OR NEW.digits <> OLD.digits
       OR NEW.next_number NOT BETWEEN OLD.next_number AND OLD.next_number + 10000000 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'serials_are_counted_on: at most ten million at once';
    END IF;
END//

CREATE TRIGGER serial_counters_stay BEFORE DELETE ON serial_counter FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'serials_are_counted_on: a serial is never used again'//
DELIMITER ;

CREATE TABLE batch (
    id            INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    product_id    INT UNSIGNED NOT NULL,
    -- Filled in when batch_event records that the cards were made.
    card_count    INT UNSIGNED NOT NULL DEFAULT 0,
    first_serial  VARCHAR(32)  NOT NULL DEFAULT '',
    last_serial   VARCHAR(32)  NOT NULL DEFAULT '',
    single_code   BOOLEAN      NOT NULL DEFAULT FALSE,           -- the card has one code only: its PIN equals its serial
    origin        ENUM('generated', 'imported') NOT NULL DEFAULT 'generated',
    made_at       DATETIME(3)  NOT NULL DEFAULT UTC_TIMESTAMP(3),
    operator      VARCHAR(128) NOT NULL DEFAULT '',
    FOREIGN KEY (product_id) REFERENCES product (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
-- The operator is the account that the server authenticated, whatever the statement says.
CREATE TRIGGER batch_names_its_operator BEFORE INSERT ON batch FOR EACH ROW
BEGIN
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    IF NOT may_act(IF(NEW.origin = 'imported', 'import', 'generate')) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'status_change_needs_its_role: batches are made with the role generate or import';
    END IF;
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1), NEW.made_at = server_time();
END//

CREATE TRIGGER batch_is_fixed BEFORE UPDATE ON batch FOR EACH ROW
BEGIN
    IF NEW.id <> OLD.id OR NEW.product_id <> OLD.product_id OR NEW.single_code <> OLD.single_code
       OR NEW.origin <> OLD.origin OR NEW.made_at <> OLD.made_at OR NEW.operator <> OLD.operator THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'batch_is_fixed: a batch does not change after it was made';
    END IF;
    IF NOT acts_as_owner()
       AND EXISTS (SELECT 1 FROM batch_event WHERE batch_id = OLD.id AND what IN ('generated', 'imported')) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'batch_is_fixed: a batch does not change after it was made';
    END IF;
END//

CREATE TRIGGER batch_rows_stay BEFORE DELETE ON batch FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'batch_is_fixed: its cards refer to it'//
DELIMITER ;

-- Notes: a delivery, a return, or the voiding of spoiled cards. Each can be printed.
CREATE TABLE note (
    id                       INT UNSIGNED      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    kind                     ENUM('delivery', 'return', 'void') NOT NULL,
    partner_id               INT UNSIGNED      NULL,             -- NULL: a void note
    -- Of the cards on this note; the card's trigger counts them.
    card_count               INT UNSIGNED      NOT NULL DEFAULT 0,
    first_serial             VARCHAR(32)       NOT NULL DEFAULT '',
    last_serial              VARCHAR(32)       NOT NULL DEFAULT '',
    reason                   VARCHAR(255)      NULL,
    made_at                  DATETIME(3)       NOT NULL DEFAULT UTC_TIMESTAMP(3),
    operator                 VARCHAR(128)      NOT NULL DEFAULT '',
    KEY (partner_id, id),
    FOREIGN KEY (partner_id) REFERENCES partner (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
CREATE TRIGGER note_names_its_operator BEFORE INSERT ON note FOR EACH ROW
BEGIN
    DECLARE expired BIGINT;
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    IF NOT may_act(CASE NEW.kind WHEN 'delivery' THEN 'deliver' WHEN 'return' THEN 'return' ELSE 'delete' END) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'status_change_needs_its_role: a note needs the role for its kind';
    END IF;
    IF NOT acts_as_owner() THEN
        SET NEW.card_count = 0, NEW.first_serial = '', NEW.last_serial = '';
    END IF;
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1), NEW.made_at = server_time();
    IF NEW.kind = 'delivery'
       AND EXISTS (SELECT 1 FROM partner_account
                    WHERE partner_account.partner_id = NEW.partner_id AND credit_limit_cents IS NOT NULL) THEN
        SELECT COALESCE(SUM(net_cents(note_price.price_cents, note_price.commission_basis_points)), 0)
          INTO expired
          FROM card
          JOIN note_price ON note_price.note_id = card.delivery_note_id AND note_price.product_id = card.product_id
         WHERE card.partner_id = NEW.partner_id
           AND card.status = 'expired'
           AND card.first_login_at IS NULL;
        UPDATE partner_account SET expired_cents = expired WHERE partner_account.partner_id = NEW.partner_id;
    END IF;
END//

-- Only the count of cards and the range of serials change, one card at a time.
CREATE TRIGGER notes_are_never_edited BEFORE UPDATE ON note FOR EACH ROW
BEGIN
    IF NEW.id <> OLD.id OR NEW.kind <> OLD.kind OR NOT NEW.partner_id <=> OLD.partner_id
       OR NOT NEW.reason <=> OLD.reason OR NEW.made_at <> OLD.made_at OR NEW.operator <> OLD.operator
       OR NEW.card_count <> OLD.card_count + 1 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
    END IF;
END//

CREATE TRIGGER notes_are_never_removed BEFORE DELETE ON note FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead'//

-- Whether cards may still be put on a note: it is of this kind and for this partner, the same account wrote it, it is
-- not older than the longest transaction (6 hours), and it is not sealed in the hash chain yet.
CREATE FUNCTION note_is_open(wanted INT UNSIGNED, wanted_kind VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
                             of_partner INT UNSIGNED) RETURNS BOOLEAN READS SQL DATA
    RETURN EXISTS (SELECT 1
                     FROM note
                    WHERE note.id = wanted
                      AND CAST(note.kind AS CHAR) = wanted_kind
                      AND note.partner_id <=> of_partner
                      AND note.operator = SUBSTRING_INDEX(USER(), '@', 1)
                      AND note.made_at > server_time() - INTERVAL 6 HOUR)
        AND NOT EXISTS (SELECT 1 FROM history_chain WHERE history_chain.source = 'note' AND history_chain.row_id = wanted)//
DELIMITER ;

-- Price and commission of each product on a note. A delivery note keeps those at the time of its first card of that
-- product. A return note repeats those of the deliveries, so that a returned card is credited at the price at which it was
-- delivered. Only the card's trigger writes this table.
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

DELIMITER //
CREATE TRIGGER prices_are_never_edited BEFORE UPDATE ON note_price FOR EACH ROW
BEGIN
    IF NEW.note_id <> OLD.note_id OR NEW.product_id <> OLD.product_id OR NEW.price_cents <> OLD.price_cents
       OR NEW.commission_basis_points <> OLD.commission_basis_points OR NEW.card_count <> OLD.card_count + 1 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
    END IF;
END//

CREATE TRIGGER prices_are_never_removed BEFORE DELETE ON note_price FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead'//
DELIMITER ;

CREATE TABLE card (
    id                    INT UNSIGNED      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    serial                VARCHAR(32)       NOT NULL,
    pin_sealed            VARBINARY(96)     NOT NULL,            -- AES-GCM; empty after deletion
    key_number            SMALLINT UNSIGNED NOT NULL,
    status                ENUM('created', 'delivered', 'in_use', 'exhausted', 'expired', 'blocked', 'redeemed',
                               'deleted') NOT NULL DEFAULT 'created',
    status_before_block   ENUM('created', 'delivered', 'in_use', 'exhausted', 'expired') NULL,
    batch_id              INT UNSIGNED      NOT NULL,
    product_id            INT UNSIGNED      NOT NULL,
    partner_id            INT UNSIGNED      NULL,                -- who has the card, or had it last
    delivery_note_id      INT UNSIGNED      NULL,
    first_login_at        DATETIME(3)       NULL,
    expires_at            DATETIME(3)       NULL,                -- set by the first login or a compensating entry
    device                VARCHAR(64)       NULL,                -- the first device, where the product binds to it
    -- Rises with every change that a login's decision depends on. A login is written only if the version is still the one
    -- that was read, so a login on a card that is blocked or returned meanwhile is decided again.
    version               INT UNSIGNED      NOT NULL DEFAULT 1,
    note                  VARCHAR(255)      NULL,
    -- Sum of the card's compensating entries. Only the trigger of card_entry writes these columns.
    added_seconds         INT               NOT NULL DEFAULT 0,
    added_octets          BIGINT            NOT NULL DEFAULT 0,
    added_down_octets     BIGINT            NOT NULL DEFAULT 0,
    added_up_octets       BIGINT            NOT NULL DEFAULT 0,
    added_cents           INT               NOT NULL DEFAULT 0,
    -- Usage that was posted from sessions to the card. A session's row holds what it has not posted yet:
    -- a card's usage = the card's posted_* + the sum of (used_* - posted_*) of its sessions.
    posted_seconds        BIGINT UNSIGNED   NOT NULL DEFAULT 0,
    posted_down_octets    BIGINT UNSIGNED   NOT NULL DEFAULT 0,
    posted_up_octets      BIGINT UNSIGNED   NOT NULL DEFAULT 0,
    posted_login_number   INT UNSIGNED      NOT NULL DEFAULT 0,  -- highest login number among posted sessions
    UNIQUE KEY serial_is_unique (serial),
    KEY card_by_batch (batch_id, status),
    KEY card_by_partner (partner_id, product_id, status),        -- reports on a partner read this key only
    KEY card_by_status (status, id),                             -- stock report and `prepaid list --status`
    KEY card_by_product (product_id, status),
    KEY card_by_expiry (status, expires_at),                     -- cards to be turned to 'expired'
    KEY card_by_first_login (first_login_at),                    -- sales report
    KEY card_by_device (device),                                 -- search of `prepaid browse`
    KEY card_by_note (note),                                     -- the same; NULL for most cards
    CONSTRAINT only_deleted_cards_lack_a_pin CHECK (pin_sealed <> '' OR status = 'deleted'),
    FOREIGN KEY (batch_id) REFERENCES batch (id),
    FOREIGN KEY (product_id) REFERENCES product (id),
    FOREIGN KEY (partner_id) REFERENCES partner (id),
    FOREIGN KEY (delivery_note_id) REFERENCES note (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
-- A card is made together with its batch and by the same account. A generated card is in stock and unused; an imported one
-- has the status and the usage that it had elsewhere.
CREATE TRIGGER new_card_belongs_to_its_batch BEFORE INSERT ON card FOR EACH ROW
BEGIN
    DECLARE made_as VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
    IF NEW.pin_sealed = '' AND NEW.status <> 'deleted' THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'only_deleted_cards_lack_a_pin: a card has a PIN until it is deleted';
    END IF;
    IF NOT acts_as_owner() THEN
        IF chooses_number() THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
        END IF;
        SET made_as = (SELECT CAST(batch.origin AS CHAR)
                         FROM batch
                        WHERE batch.id = NEW.batch_id
                          AND batch.product_id = NEW.product_id
                          AND batch.operator = SUBSTRING_INDEX(USER(), '@', 1)
                          AND NOT EXISTS (SELECT 1 FROM batch_event WHERE batch_event.batch_id = batch.id));
        IF made_as IS NULL THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'card_belongs_to_its_batch: a card is made together with its batch';
        END IF;
        IF NEW.added_seconds OR NEW.added_octets OR NEW.added_down_octets OR NEW.added_up_octets OR NEW.added_cents
           OR NEW.posted_login_number OR NEW.partner_id IS NOT NULL OR NEW.delivery_note_id IS NOT NULL
           OR NEW.device IS NOT NULL OR NEW.status IN ('redeemed', 'deleted')
           OR (made_as = 'generated'
               AND (NEW.status <> 'created' OR NEW.posted_seconds OR NEW.posted_down_octets OR NEW.posted_up_octets
                    OR NEW.first_login_at IS NOT NULL OR NEW.expires_at IS NOT NULL
                    OR NEW.status_before_block IS NOT NULL)) THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'new_cards_are_in_stock: a new card is in stock, unused, without entries';
        END IF;
    END IF;
    SET NEW.version = 1;
END//

-- What an imported card had used elsewhere becomes its archived session number 0, so that a card's usage is the sum of its
-- sessions.
CREATE TRIGGER opening_use_is_archived AFTER INSERT ON card FOR EACH ROW
BEGIN
    IF NEW.posted_seconds OR NEW.posted_down_octets OR NEW.posted_up_octets THEN
        INSERT INTO session_archive (card_id, login_number, nas_id, acct_session_id, device, ended_at, end_cause,
                                     used_seconds, used_down_octets, used_up_octets)
        SELECT NEW.id, 0, 1, '', '', server_time(), 'opening',
               NEW.posted_seconds, NEW.posted_down_octets, NEW.posted_up_octets
          FROM batch
         WHERE batch.id = NEW.batch_id
           AND batch.origin = 'imported';
    END IF;
END//

-- A card that is imported as blocked has a block, as every blocked card.
CREATE TRIGGER imported_block_is_recorded AFTER INSERT ON card FOR EACH ROW
BEGIN
    IF NEW.status = 'blocked' THEN
        INSERT INTO card_block (card_id, scope, reason)
        VALUES (NEW.id, 'import', COALESCE(NULLIF(TRIM(@prepaid_reason), ''), 'imported'));
    END IF;
END//

-- Postings are frequent. They change none of the columns that the large IF compares, so they cost the checks before it only.
CREATE TRIGGER card_rules BEFORE UPDATE ON card FOR EACH ROW
BEGIN
    DECLARE by_owner, by_module BOOLEAN DEFAULT FALSE;
    DECLARE valid_until DATETIME(3);
    DECLARE open_block BIGINT UNSIGNED;
    IF NEW.posted_seconds < OLD.posted_seconds OR NEW.posted_down_octets < OLD.posted_down_octets
       OR NEW.posted_up_octets < OLD.posted_up_octets OR NEW.posted_login_number < OLD.posted_login_number THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'card_usage_only_grows: a correction is a new entry';
    END IF;
    IF NEW.id <> OLD.id OR NEW.serial <> OLD.serial OR NEW.batch_id <> OLD.batch_id OR NEW.product_id <> OLD.product_id THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'card_identity_is_fixed: serial, batch and product never change';
    END IF;
    SET NEW.version = GREATEST(NEW.version, OLD.version), NEW.status_before_block = CAST(OLD.status_before_block AS CHAR);

    IF NEW.status <> OLD.status OR NEW.pin_sealed <> OLD.pin_sealed OR NEW.key_number <> OLD.key_number
       OR NOT NEW.partner_id <=> OLD.partner_id OR NOT NEW.delivery_note_id <=> OLD.delivery_note_id
       OR NOT NEW.first_login_at <=> OLD.first_login_at OR NOT NEW.expires_at <=> OLD.expires_at
       OR NOT NEW.device <=> OLD.device OR NEW.added_seconds <> OLD.added_seconds OR NEW.added_octets <> OLD.added_octets
       OR NEW.added_down_octets <> OLD.added_down_octets OR NEW.added_up_octets <> OLD.added_up_octets
       OR NEW.added_cents <> OLD.added_cents THEN
        SET by_owner = acts_as_owner();
        IF NOT by_owner THEN
            SET by_module = EXISTS (SELECT 1 FROM operator_role
                                     WHERE operator = SUBSTRING_INDEX(USER(), '@', 1) AND role = 'module');
        END IF;

        IF NEW.status <> OLD.status THEN
            IF NOT EXISTS (SELECT 1 FROM card_transition
                            WHERE card_transition.from_status = OLD.status AND card_transition.to_status = NEW.status) THEN
                SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'status_change_is_allowed: see the table card_transition';
            END IF;
            IF OLD.status = 'blocked' AND NOT CAST(NEW.status AS CHAR) <=> CAST(OLD.status_before_block AS CHAR) THEN
                SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT =
                    'unblock_restores_the_status_before: a blocked card returns to its status before';
            END IF;
            IF EXISTS (SELECT 1 FROM operator_role WHERE operator = SUBSTRING_INDEX(USER(), '@', 1))
               AND NOT EXISTS (SELECT 1
                                 FROM card_transition
                                 JOIN operator_role ON operator_role.role IN (card_transition.role, 'admin', 'office')
                                                    OR (card_transition.by_module AND operator_role.role = 'module')
                                WHERE card_transition.from_status = OLD.status
                                  AND card_transition.to_status = NEW.status
                                  AND operator_role.operator = SUBSTRING_INDEX(USER(), '@', 1)) THEN
                SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'status_change_needs_its_role: see the table card_transition';
            END IF;
            SET NEW.status_before_block = IF(NEW.status = 'blocked', CAST(OLD.status AS CHAR), NULL);
            IF OLD.status = 'blocked' OR NEW.status = 'blocked' THEN
                -- LOCK IN SHARE MODE: a block that another connection is adding counts, too.
                SELECT MAX(card_block.id) INTO open_block
                  FROM card_block
                 WHERE card_block.card_id = OLD.id AND card_block.lifted_at IS NULL
                  LOCK IN SHARE MODE;
                -- For the history. Where no block is open, it is the one that lifting_reaches_the_card has just lifted.
                IF NEW.status = 'blocked' THEN
                    SET @prepaid_block = open_block;
                ELSEIF open_block IS NOT NULL THEN
                    SET @prepaid_block = NULL;
                END IF;
                -- A blocked card that has given all its credit to another one becomes exhausted behind its block.
                IF NOT by_owner AND (open_block IS NOT NULL) <> (NEW.status = 'blocked')
                   AND NOT (OLD.status = 'blocked'
                            AND EXISTS (SELECT 1 FROM card_entry
                                         WHERE card_entry.card_id = OLD.id AND card_entry.what = 'transferred')) THEN
                    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT =
                        'blocked_cards_have_an_open_block: a row in card_block blocks a card';
                END IF;
            END IF;

            IF OLD.status = 'created' AND NEW.status = 'delivered' THEN
                IF NOT by_owner AND (NEW.partner_id IS NULL
                                     OR NOT COALESCE(note_is_open(NEW.delivery_note_id, 'delivery', NEW.partner_id), FALSE)) THEN
                    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT =
                        'cards_change_hands_with_a_note: a delivery needs a new note of its own';
                END IF;
            ELSEIF OLD.status = 'delivered' AND NEW.status = 'created' THEN
                IF OLD.first_login_at IS NOT NULL THEN
                    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'used_cards_are_not_returned: this card was used';
                END IF;
                IF NOT by_owner AND NOT COALESCE(note_is_open(@prepaid_note, 'return', OLD.partner_id), FALSE) THEN
                    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT =
                        'cards_change_hands_with_a_note: a return needs a new note of its own';
                END IF;
                SET NEW.partner_id = NULL, NEW.delivery_note_id = NULL;
            ELSEIF NEW.status = 'deleted' THEN
                IF NOT by_owner AND @prepaid_note IS NOT NULL
                   AND NOT COALESCE(note_is_open(@prepaid_note, 'void', NULL), FALSE) THEN
                    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT =
                        'cards_change_hands_with_a_note: these cards need a new note of their own';
                END IF;
                SET NEW.pin_sealed = '', NEW.key_number = OLD.key_number;
            ELSEIF NEW.status = 'redeemed' THEN
                IF NOT by_owner AND NOT EXISTS (SELECT 1 FROM voice_credit WHERE voice_credit.card_id = OLD.id) THEN
                    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'redeemed_cards_have_a_credit: a row in voice_credit redeems a card';
                END IF;
            ELSEIF NOT by_owner AND NEW.status = 'expired' THEN
                SET valid_until = COALESCE(OLD.expires_at,
                                           (SELECT product.valid_until_at FROM product WHERE product.id = OLD.product_id));
                IF valid_until IS NULL OR valid_until > server_time() THEN
                    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'expired_cards_are_past_their_validity: the validity is not over';
                END IF;
            ELSEIF NOT by_owner AND NOT by_module AND (NEW.status = 'exhausted' OR OLD.status = 'delivered')
                   AND NEW.status <> 'blocked' AND OLD.status <> 'blocked' THEN
                -- In the office only a transfer of all credit to another card makes a card exhausted.
                IF NOT EXISTS (SELECT 1 FROM card_entry
                                WHERE card_entry.card_id = OLD.id AND card_entry.what = 'transferred') THEN
                    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'credit_is_used_up_or_transferred: the card has credit';
                END IF;
            END IF;
        END IF;

        IF NOT (NEW.pin_sealed <=> OLD.pin_sealed AND NEW.key_number <=> OLD.key_number) AND NEW.status <> 'deleted' THEN
            IF NEW.pin_sealed = '' THEN
                SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'only_deleted_cards_lack_a_pin: a card has a PIN until it is deleted';
            END IF;
            -- A PIN may only be sealed again, with another key that belongs to this database.
            IF NOT by_owner AND (NEW.key_number = OLD.key_number OR NEW.pin_sealed = OLD.pin_sealed OR NOT may_act('admin')
                                 OR NOT EXISTS (SELECT 1 FROM site
                                                 WHERE site.name = CONCAT('key_', NEW.key_number, '_fingerprint'))) THEN
                SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'cards_keep_their_pin: it may only be sealed again with another key';
            END IF;
        END IF;

        IF NOT by_owner THEN
            IF NEW.status = OLD.status OR OLD.status <> 'created' OR NEW.status <> 'delivered' THEN
                IF (NOT NEW.partner_id <=> OLD.partner_id OR NOT NEW.delivery_note_id <=> OLD.delivery_note_id)
                   AND (OLD.status <> 'delivered' OR NEW.status <> 'created') THEN
                    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT =
                        'cards_change_hands_with_a_note: only a delivery or return does that';
                END IF;
            END IF;
            IF NOT NEW.device <=> OLD.device AND OLD.device IS NOT NULL
               AND (NEW.device IS NOT NULL OR by_module
                    OR NOT EXISTS (SELECT 1 FROM card_entry
                                    WHERE card_entry.card_id = OLD.id AND card_entry.what = 'unbound')) THEN
                SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'cards_keep_their_device: only an entry frees the device';
            END IF;
            IF by_module AND OLD.status = 'delivered' AND NEW.status = 'in_use' THEN
                -- The first login: the validity begins now, by the server's clock and the product's terms.
                SET NEW.first_login_at = server_time(),
                    NEW.expires_at = COALESCE(OLD.expires_at, (
                        SELECT LEAST(COALESCE(NEW.first_login_at + INTERVAL product.valid_days DAY, product.valid_until_at),
                                     COALESCE(product.valid_until_at, NEW.first_login_at + INTERVAL product.valid_days DAY))
                          FROM product
                         WHERE product.id = OLD.product_id));
            ELSEIF NOT NEW.first_login_at <=> OLD.first_login_at
                   OR (NOT NEW.expires_at <=> OLD.expires_at
                       AND (by_module OR NOT EXISTS (SELECT 1 FROM card_entry
                                                      WHERE card_entry.card_id = OLD.id
                                                        AND card_entry.expires_at <=> NEW.expires_at
                                                        -- Without an end of validity, other entries do not change it.
                                                        AND (NEW.expires_at IS NOT NULL
                                                             OR card_entry.what = 'extended')))) THEN
                SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT =
                    'validity_begins_once: it begins at the first login, and only an entry moves it';
            END IF;
        END IF;

        IF NEW.status <> OLD.status OR NOT NEW.expires_at <=> OLD.expires_at OR NOT NEW.device <=> OLD.device
           OR NEW.added_seconds <> OLD.added_seconds OR NEW.added_octets <> OLD.added_octets
           OR NEW.added_down_octets <> OLD.added_down_octets OR NEW.added_up_octets <> OLD.added_up_octets
           OR NEW.added_cents <> OLD.added_cents THEN
            SET NEW.version = OLD.version + 1;
        END IF;
    END IF;
END//
DELIMITER ;

-- A serial is never used again and a card's usage is kept: `prepaid delete` only sets the status 'deleted'.
CREATE TRIGGER card_rows_stay BEFORE DELETE ON card FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'card_rows_stay: a card is never removed, so its serial is never used again';


-- The card's history -------------------------------------------------------------------------------------

-- The changes of status that are allowed. The trigger card_rules refuses all others.

CREATE TABLE card_transition (
    from_status  ENUM('created', 'delivered', 'in_use', 'exhausted', 'expired', 'blocked', 'redeemed', 'deleted') NOT NULL,
    to_status    ENUM('created', 'delivered', 'in_use', 'exhausted', 'expired', 'blocked', 'redeemed', 'deleted') NOT NULL,
    what         VARCHAR(16) NOT NULL,                           -- its name in `prepaid track`
    role         VARCHAR(16) NOT NULL,                           -- the operator's role that may make it
    by_module    BOOLEAN     NOT NULL,                           -- whether the engine may make it, too
    PRIMARY KEY (from_status, to_status)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

INSERT INTO card_transition (from_status, to_status, what, role, by_module) VALUES
    ('created',   'delivered', 'delivered', 'deliver', FALSE),
    ('created',   'blocked',   'blocked',   'block', FALSE),
    ('created',   'deleted',   'deleted',   'delete', FALSE),
    ('delivered', 'in_use',    'activated', 'credit', TRUE),       -- the office: after a transfer of all credit
    ('delivered', 'created',   'returned',  'return', FALSE),
    ('delivered', 'blocked',   'blocked',   'block', FALSE),
    ('delivered', 'expired',   'expired',   'disconnect', TRUE),
    ('delivered', 'redeemed',  'redeemed',  'redeem', FALSE),
    ('in_use',    'exhausted', 'exhausted', 'credit', TRUE),       -- the office: after a transfer of all credit
    ('in_use',    'expired',   'expired',   'disconnect', TRUE),
    ('in_use',    'blocked',   'blocked',   'block', FALSE),
    ('exhausted', 'in_use',    'reopened',  'credit', FALSE),
    ('exhausted', 'blocked',   'blocked',   'block', FALSE),
    ('expired',   'delivered', 'reopened',  'credit', FALSE),
    ('expired',   'in_use',    'reopened',  'credit', FALSE),
    ('expired',   'blocked',   'blocked',   'block', FALSE),
    ('blocked',   'created',   'unblocked', 'block', FALSE),
    ('blocked',   'delivered', 'unblocked', 'block', FALSE),
    ('blocked',   'in_use',    'unblocked', 'block', FALSE),
    ('blocked',   'exhausted', 'unblocked', 'block', FALSE),
    ('blocked',   'expired',   'unblocked', 'block', FALSE);

-- Each event of a card's life outside its sessions. Written by triggers and procedures; never changed.
CREATE TABLE card_event (
    id           BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    card_id      INT UNSIGNED    NOT NULL,
    at           DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    what         VARCHAR(16)     NULL,                           -- NULL: a change of status, named in card_transition
    from_status  ENUM('created', 'delivered', 'in_use', 'exhausted', 'expired', 'blocked', 'redeemed', 'deleted') NULL,
    to_status    ENUM('created', 'delivered', 'in_use', 'exhausted', 'expired', 'blocked', 'redeemed', 'deleted') NULL,
    operator     VARCHAR(128)    NOT NULL,                       -- the account that the server authenticated
    reason       VARCHAR(255)    NULL,
    note_id      INT UNSIGNED    NULL,
    entry_id     BIGINT UNSIGNED NULL,                           -- the compensating entry that caused it
    block_id     BIGINT UNSIGNED NULL,                           -- the block that was made or lifted
    KEY (card_id, id),
    KEY (note_id),
    CONSTRAINT status_change_is_allowed FOREIGN KEY (from_status, to_status)
        REFERENCES card_transition (from_status, to_status),
    FOREIGN KEY (card_id) REFERENCES card (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
-- Writes every change of status to the history, and counts the card and its price on the note and the partner's account. The connection gives the
-- reason (SET @prepaid_reason = …) and, for a return or spoiled cards, the note (SET @prepaid_note = …); card_rules has
-- checked that note.
CREATE TRIGGER card_status_is_recorded AFTER UPDATE ON card FOR EACH ROW
BEGIN
    DECLARE with_note INT UNSIGNED;
    DECLARE with_block BIGINT UNSIGNED;
    IF NEW.status <> OLD.status THEN
        IF OLD.status = 'created' AND NEW.status = 'delivered' THEN
            SET with_note = NEW.delivery_note_id;
        ELSEIF NEW.status = 'deleted' OR (OLD.status = 'delivered' AND NEW.status = 'created') THEN
            SET with_note = @prepaid_note;
        ELSEIF NEW.status = 'blocked' OR OLD.status = 'blocked' THEN
            -- card_rules has just set it, because a second search would make a large block slower.
            SET with_block = @prepaid_block;
        END IF;
        INSERT INTO card_event (card_id, from_status, to_status, operator, reason, note_id, block_id)
        VALUES (NEW.id, OLD.status, NEW.status, '', @prepaid_reason, with_note, with_block);
        IF with_note IS NOT NULL THEN
            IF NEW.status = 'delivered' THEN
                UPDATE note_price SET card_count = card_count + 1
                 WHERE note_id = with_note AND product_id = NEW.product_id;
                IF ROW_COUNT() = 0 THEN
                    INSERT INTO note_price (note_id, product_id, card_count, price_cents, commission_basis_points)
                    SELECT with_note, product.id, 1, product.price_cents,
                           COALESCE(partner.commission_basis_points, product.commission_basis_points)
                      FROM product
                      JOIN partner ON partner.id = NEW.partner_id
                     WHERE product.id = NEW.product_id;
                END IF;
                UPDATE partner_account
                  JOIN note_price ON note_price.note_id = with_note AND note_price.product_id = NEW.product_id
                   SET partner_account.cards_cents = partner_account.cards_cents
                           + net_cents(note_price.price_cents, note_price.commission_basis_points)
                 WHERE partner_account.partner_id = NEW.partner_id;
            ELSEIF NEW.status = 'created' THEN
                INSERT INTO note_price (note_id, product_id, card_count, price_cents, commission_basis_points)
                SELECT with_note, delivered.product_id, 1, delivered.price_cents, delivered.commission_basis_points
                  FROM note_price AS delivered
                 WHERE delivered.note_id = OLD.delivery_note_id
                   AND delivered.product_id = OLD.product_id
                    ON DUPLICATE KEY UPDATE note_price.card_count = note_price.card_count + 1;
                UPDATE partner_account
                  JOIN note_price ON note_price.note_id = OLD.delivery_note_id AND note_price.product_id = OLD.product_id
                   SET partner_account.cards_cents = partner_account.cards_cents
                           - net_cents(note_price.price_cents, note_price.commission_basis_points)
                 WHERE partner_account.partner_id = OLD.partner_id;
            END IF;
            UPDATE note
               SET first_serial = IF(card_count = 0 OR NEW.serial < first_serial, NEW.serial, first_serial),
                   last_serial = GREATEST(last_serial, NEW.serial),
                   card_count = card_count + 1
             WHERE id = with_note;
        END IF;
    END IF;
    IF NEW.version <> OLD.version AND @@wsrep_on THEN
        INSERT INTO cluster_conflict (card_id) VALUES (NEW.id) ON DUPLICATE KEY UPDATE writes = writes + 1;
    END IF;
END//

CREATE TRIGGER event_names_its_operator BEFORE INSERT ON card_event FOR EACH ROW
BEGIN
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    -- A row that is no change of status, entry or block is a disconnection or the reading of a PIN (see read_pin).
    IF NEW.to_status IS NULL AND NEW.entry_id IS NULL AND NEW.block_id IS NULL AND NOT acts_as_owner()
       AND NOT (NEW.what <=> 'disconnected' AND may_act('disconnect'))
       AND NOT (NEW.what <=> 'pin_read' AND (may_act('see_pin') OR may_act('redeem'))) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_says_what_happened: triggers and procedures write this row';
    END IF;
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1), NEW.at = server_time();
END//
DELIMITER ;
CREATE TRIGGER history_is_never_edited BEFORE UPDATE ON card_event FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
CREATE TRIGGER history_is_never_removed BEFORE DELETE ON card_event FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead';

-- The blocks of cards, each with its reason. Inserting a row blocks its card; a card has the status 'blocked' while one of
-- its blocks is open; lifting the last one returns the card to its status before. So a card that was blocked as stolen
-- stays blocked when the batch is unblocked, which was blocked for another reason. A login reads the status only.
CREATE TABLE card_block (
    id           BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    card_id      INT UNSIGNED    NOT NULL,
    scope        ENUM('serial', 'range', 'batch', 'import') NOT NULL, -- what the office named to block it; import: it came blocked
    reason       VARCHAR(255)    NOT NULL,
    made_at      DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    operator     VARCHAR(128)    NOT NULL DEFAULT '',
    lifted_at    DATETIME(3)     NULL,                           -- NULL: the block is open
    lifted_by    VARCHAR(128)    NULL,
    lift_reason  VARCHAR(255)    NULL,
    KEY (card_id, lifted_at),
    FOREIGN KEY (card_id) REFERENCES card (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
CREATE TRIGGER block_names_its_operator BEFORE INSERT ON card_block FOR EACH ROW
BEGIN
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    IF TRIM(NEW.reason) = '' THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'block_has_a_reason: say why';
    END IF;
    IF NEW.scope = 'import' AND NOT EXISTS (SELECT 1 FROM card WHERE card.id = NEW.card_id AND card.status = 'blocked') THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'blocked_cards_have_an_open_block: this card did not come blocked';
    END IF;
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1), NEW.made_at = server_time(),
        NEW.lifted_at = NULL, NEW.lifted_by = NULL, NEW.lift_reason = NULL;
END//

-- The first block of a card changes its status; a further one only adds its reason.
CREATE TRIGGER block_reaches_the_card AFTER INSERT ON card_block FOR EACH ROW
BEGIN
    -- An imported card came blocked; this row is written by the statement that makes the card.
    IF NEW.scope <> 'import' THEN
        SET @prepaid_reason = NEW.reason;
        UPDATE card SET status = 'blocked' WHERE id = NEW.card_id AND status <> 'blocked';
        IF ROW_COUNT() = 0 THEN
            INSERT INTO card_event (card_id, what, operator, reason, block_id)
            VALUES (NEW.card_id, 'block_added', '', NEW.reason, NEW.id);
        END IF;
    END IF;
END//

-- A block is lifted once; nothing else of it changes.
CREATE TRIGGER blocks_are_lifted_once BEFORE UPDATE ON card_block FOR EACH ROW
BEGIN
    IF NEW.id <> OLD.id OR NEW.card_id <> OLD.card_id OR NEW.scope <> OLD.scope OR NEW.reason <> OLD.reason
       OR NEW.made_at <> OLD.made_at OR NEW.operator <> OLD.operator OR OLD.lifted_at IS NOT NULL
       OR NEW.lifted_at IS NULL THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
    END IF;
    SET NEW.lifted_at = server_time(), NEW.lifted_by = SUBSTRING_INDEX(USER(), '@', 1);
END//

CREATE TRIGGER lifting_reaches_the_card AFTER UPDATE ON card_block FOR EACH ROW
BEGIN
    DECLARE other BIGINT UNSIGNED;
    -- LOCK IN SHARE MODE: a block that another connection is adding counts, too.
    SELECT MAX(card_block.id) INTO other
      FROM card_block
     WHERE card_block.card_id = NEW.card_id AND card_block.lifted_at IS NULL
      LOCK IN SHARE MODE;
    IF other IS NULL THEN
        SET @prepaid_reason = NEW.lift_reason, @prepaid_block = NEW.id;
        UPDATE card SET status = CAST(status_before_block AS CHAR) WHERE id = NEW.card_id AND status = 'blocked';
    ELSE
        INSERT INTO card_event (card_id, what, operator, reason, block_id)
        VALUES (NEW.card_id, 'block_lifted', '', NEW.lift_reason, NEW.id);
    END IF;
END//

CREATE TRIGGER blocks_are_never_removed BEFORE DELETE ON card_block FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead'//
DELIMITER ;

-- Events of all cards of a batch, or of a range of it: one row instead of one for each card.
CREATE TABLE batch_event (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    batch_id    INT UNSIGNED    NOT NULL,
    at          DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    what        VARCHAR(16)     NOT NULL,                        -- generated, imported, pins_read, exported, received
    operator    VARCHAR(128)    NOT NULL DEFAULT '',
    reason      VARCHAR(255)    NULL,
    card_count  INT UNSIGNED    NOT NULL DEFAULT 0,
    detail      VARCHAR(1000)   NULL,                            -- export: format, fields, SHA-256
    -- Only the cards of this range; NULL: the whole batch.
    first_serial VARCHAR(32)    NULL,
    last_serial VARCHAR(32)     NULL,
    KEY (batch_id, id),
    FOREIGN KEY (batch_id) REFERENCES batch (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
-- Counts the cards of the event. The event 'generated' or 'imported' completes the batch and may be recorded once.
CREATE TRIGGER batch_event_names_its_operator BEFORE INSERT ON batch_event FOR EACH ROW
BEGIN
    DECLARE cards INT UNSIGNED;
    DECLARE lowest, highest VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    IF NOT acts_as_owner() THEN
        IF NOT COALESCE(CASE NEW.what
                            WHEN 'generated' THEN may_act('generate')
                            WHEN 'imported' THEN may_act('import')
                            WHEN 'pins_read' THEN may_act('see_pin')
                            WHEN 'exported' THEN may_act('export')
                            WHEN 'received' THEN may_act('delete')
                        END, FALSE) THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_says_what_happened: this event needs the role for its act';
        END IF;
        IF NEW.what NOT IN ('pins_read', 'exported') AND COALESCE(NEW.first_serial, NEW.last_serial) IS NOT NULL
           OR (NEW.first_serial IS NULL) <> (NEW.last_serial IS NULL) THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_says_what_happened: only an export has a range, with both its ends';
        END IF;
        IF NEW.what IN ('generated', 'imported') THEN
            IF NOT EXISTS (SELECT 1 FROM batch
                            WHERE batch.id = NEW.batch_id
                              AND CAST(batch.origin AS CHAR) = NEW.what
                              AND batch.operator = SUBSTRING_INDEX(USER(), '@', 1)
                              AND NOT EXISTS (SELECT 1 FROM batch_event AS before_it WHERE before_it.batch_id = batch.id)) THEN
                SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_says_what_happened: a batch is made once';
            END IF;
            SELECT COUNT(*), COALESCE(MIN(card.serial), ''), COALESCE(MAX(card.serial), '')
              INTO cards, lowest, highest
              FROM card
             WHERE card.batch_id = NEW.batch_id;
            SET NEW.card_count = cards;
            UPDATE batch SET card_count = NEW.card_count, first_serial = lowest, last_serial = highest WHERE id = NEW.batch_id;
        ELSE
            SET NEW.card_count =
                (SELECT COUNT(*)
                   FROM card
                  WHERE card.batch_id = NEW.batch_id
                    AND card.status = 'created'
                    AND (NEW.first_serial IS NULL OR card.serial BETWEEN NEW.first_serial AND NEW.last_serial));
        END IF;
    END IF;
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1), NEW.at = server_time();
END//
DELIMITER ;
CREATE TRIGGER batch_history_is_never_edited BEFORE UPDATE ON batch_event FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
CREATE TRIGGER batch_history_is_never_removed BEFORE DELETE ON batch_event FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead';

-- Compensating entries: an operator adds or transfers credit, moves the validity or frees the device. Usage is never edited.
CREATE TABLE card_entry (
    id                 BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    card_id            INT UNSIGNED    NOT NULL,
    at                 DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    what               ENUM('credited', 'transferred', 'extended', 'unbound') NOT NULL,
    operator           VARCHAR(128)    NOT NULL DEFAULT '',
    reason             VARCHAR(255)    NOT NULL,
    idempotency_key    VARCHAR(64)     NULL,                     -- repeats with the same key do nothing
    other_card_id      INT UNSIGNED    NULL,                     -- transfer: the other card
    added_seconds      INT             NOT NULL DEFAULT 0,
    added_octets       BIGINT          NOT NULL DEFAULT 0,
    added_down_octets  BIGINT          NOT NULL DEFAULT 0,
    added_up_octets    BIGINT          NOT NULL DEFAULT 0,
    added_cents        INT             NOT NULL DEFAULT 0,
    expires_at         DATETIME(3)     NULL,                     -- extended: the new end of validity; NULL: none of its own
    UNIQUE KEY entry_is_made_once (idempotency_key, card_id),
    KEY (card_id, id),
    CONSTRAINT entry_has_a_reason CHECK (reason <> ''),
    FOREIGN KEY (card_id) REFERENCES card (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
CREATE TRIGGER entry_names_its_operator BEFORE INSERT ON card_entry FOR EACH ROW
BEGIN
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    IF TRIM(NEW.reason) = '' THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'entry_has_a_reason: say why';
    END IF;
    -- Only a transfer takes credit away, because it gives the credit to another card.
    IF NOT acts_as_owner()
       AND CASE NEW.what
               WHEN 'credited' THEN LEAST(NEW.added_seconds, NEW.added_octets, NEW.added_down_octets, NEW.added_up_octets,
                                          NEW.added_cents) < 0
               WHEN 'transferred' THEN NEW.other_card_id IS NULL OR NEW.other_card_id = NEW.card_id
               ELSE NEW.added_seconds OR NEW.added_octets OR NEW.added_down_octets OR NEW.added_up_octets OR NEW.added_cents
           END THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'entry_is_what_it_says: these amounts belong to another kind of entry';
    END IF;
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1), NEW.at = server_time();
END//
DELIMITER ;

CREATE TRIGGER entry_reaches_the_card AFTER INSERT ON card_entry FOR EACH ROW
    UPDATE card
       SET added_seconds = added_seconds + NEW.added_seconds,
           added_octets = added_octets + NEW.added_octets,
           added_down_octets = added_down_octets + NEW.added_down_octets,
           added_up_octets = added_up_octets + NEW.added_up_octets,
           added_cents = added_cents + NEW.added_cents,
           expires_at = IF(NEW.what = 'extended', NEW.expires_at, COALESCE(NEW.expires_at, expires_at)),
           device = IF(NEW.what = 'unbound', NULL, device)
     WHERE id = NEW.card_id;

CREATE TRIGGER entry_is_in_the_history AFTER INSERT ON card_entry FOR EACH ROW
    INSERT INTO card_event (card_id, what, operator, reason, entry_id)
    VALUES (NEW.card_id, NEW.what, NEW.operator, NEW.reason, NEW.id);

CREATE TRIGGER entries_are_never_edited BEFORE UPDATE ON card_entry FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
CREATE TRIGGER entries_are_never_removed BEFORE DELETE ON card_entry FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead';


-- The card's sessions ------------------------------------------------------------------------------------

-- On the nodes of a Galera cluster only. Galera does not share row locks between nodes; of two transactions that write the
-- same row, it refuses the second. So a login and a change that logins depend on, such as a block, both write the row of
-- their card here. If they overlap, the second fails with error 1213, and is decided again on what the first has written.
-- The count makes each write a change, because a row that stays equal is not replicated.
CREATE TABLE cluster_conflict (
    card_id  INT UNSIGNED NOT NULL PRIMARY KEY,
    writes   INT UNSIGNED NOT NULL DEFAULT 1
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- One row for each accepted login: a reservation until the first accounting packet, a session from then on. The key is
-- the card and the number of its login. So a card's sessions are stored together, a packet with our Class finds its row by
-- primary key, and of two logins that were decided on the same facts only one can be written; the other is decided again.
CREATE TABLE session (
    card_id              INT UNSIGNED      NOT NULL,
    login_number         INT UNSIGNED      NOT NULL,
    nas_id               INT UNSIGNED      NOT NULL,
    nas_address          VARCHAR(45)       NOT NULL DEFAULT '',  -- source of its packets; a NAS entry may cover a network
    acct_session_id      VARCHAR(253)      NOT NULL DEFAULT '',  -- '' until the first accounting packet
    device               VARCHAR(64)       NOT NULL DEFAULT '',  -- Calling-Station-Id, normalised
    login_at             DATETIME(3)       NULL,                 -- NULL: known from accounting only
    login_token          BIGINT UNSIGNED   NULL,                 -- recognises the own row after a commit without an answer
    started_at           DATETIME(3)       NULL,                 -- NULL: no accounting packet yet
    heard_at             DATETIME(3)       NULL,                 -- last accounting packet
    stopped_at           DATETIME(3)       NULL,                 -- when the NAS sent its Stop
    stop_cause           VARCHAR(32)       NULL,                 -- Acct-Terminate-Cause
    closed_at            DATETIME(3)       NULL,                 -- when we closed it without a Stop; later usage revives it
    -- superseded, stale, nas_reboot, not_begun, disconnected (the NAS sent an ACK, then no packets), gone (it answered that it
    -- has no such session, then no packets).
    close_cause          VARCHAR(16)       NULL,
    -- A packet that was sent after this moment shows that a closed session continues. NULL: closed_at applies.
    reopens_after_at     DATETIME(3)       NULL,
    -- When the end was recorded; before the end, when the row was made. The archive selects by this column, because a
    -- session may be closed today with an end a week ago.
    end_recorded_at      DATETIME(3)       NOT NULL DEFAULT UTC_TIMESTAMP(3),
    -- When the session must have ended. NULL: it has ended.
    due_at               DATETIME(3)       NULL,
    due_cause            VARCHAR(16)       NULL,                 -- the limit that applies: time, traffic, money, validity, …
    -- The grant in the Accept. NULL: no limit. No other session may be granted what is granted here and not used yet.
    granted_seconds      INT UNSIGNED      NULL,
    granted_octets       BIGINT UNSIGNED   NULL,
    granted_down_octets  BIGINT UNSIGNED   NULL,
    granted_up_octets    BIGINT UNSIGNED   NULL,
    granted_millicents   BIGINT UNSIGNED   NULL,
    tariff_minute_millicents INT UNSIGNED  NOT NULL DEFAULT 0,   -- of the product, for the check after each packet
    tariff_mb_millicents INT UNSIGNED      NOT NULL DEFAULT 0,
    fup_octets           BIGINT UNSIGNED   NULL,                 -- usage beyond this reduces the speed
    interim_seconds      SMALLINT UNSIGNED NOT NULL DEFAULT 300,
    -- The highest counters that were reported. They only grow.
    used_seconds         INT UNSIGNED      NOT NULL DEFAULT 0,
    used_down_octets     BIGINT UNSIGNED   NOT NULL DEFAULT 0,
    used_up_octets       BIGINT UNSIGNED   NOT NULL DEFAULT 0,
    -- How much of them is posted to the card's row.
    posted_seconds       INT UNSIGNED      NOT NULL DEFAULT 0,
    posted_down_octets   BIGINT UNSIGNED   NOT NULL DEFAULT 0,
    posted_up_octets     BIGINT UNSIGNED   NOT NULL DEFAULT 0,
    -- The last counters as the NAS sent them; kept if its counter_rule is not 'gigawords'.
    raw_down_octets      BIGINT UNSIGNED   NULL,
    raw_up_octets        BIGINT UNSIGNED   NULL,
    framed_ipv4          VARCHAR(15)       NULL,
    framed_ipv6          VARCHAR(43)       NULL,                 -- Framed-IPv6-Address or Framed-IPv6-Prefix
    delegated_prefix     VARCHAR(43)       NULL,
    PRIMARY KEY (card_id, login_number),
    KEY session_by_nas (nas_id, due_at)                          -- open sessions of a NAS; sessions to be disconnected
    -- No foreign key to card or nas: its check would make every packet wait while another connection locks that row. A
    -- login is written together with a check of its card, and a trigger keeps a NAS that has sessions.
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
-- The next two triggers run for every accounting packet. An ordinary packet costs one or two comparisons; everything else is
-- checked in the branch.
CREATE TRIGGER session_begins_unposted BEFORE INSERT ON session FOR EACH ROW
BEGIN
    IF NEW.end_recorded_at <> UTC_TIMESTAMP(3)
       OR SYSDATE() NOT BETWEEN NOW() - INTERVAL 5 SECOND AND NOW() + INTERVAL 5 SECOND
       OR NEW.posted_seconds OR NEW.posted_down_octets OR NEW.posted_up_octets
       OR (NEW.login_at IS NOT NULL AND @@wsrep_on) THEN
        -- The server's clock, also after SET timestamp, which SYSDATE() ignores.
        IF NEW.end_recorded_at NOT BETWEEN server_time() - INTERVAL 5 SECOND AND server_time() + INTERVAL 5 SECOND
           AND NOT acts_as_owner() THEN
            SET NEW.end_recorded_at = server_time();
        END IF;
        IF NEW.login_at IS NOT NULL AND @@wsrep_on THEN
            INSERT INTO cluster_conflict (card_id) VALUES (NEW.card_id) ON DUPLICATE KEY UPDATE writes = writes + 1;
        END IF;
        IF NEW.posted_seconds OR NEW.posted_down_octets OR NEW.posted_up_octets THEN
            -- A session that returns from the archive has posted exactly what its archived row says.
            IF NOT acts_as_owner()
               AND NOT EXISTS (SELECT 1
                                 FROM session_archive AS archived
                                WHERE archived.card_id = NEW.card_id
                                  AND archived.login_number = NEW.login_number
                                  AND archived.used_seconds = NEW.posted_seconds
                                  AND archived.used_down_octets = NEW.posted_down_octets
                                  AND archived.used_up_octets = NEW.posted_up_octets
                                  AND archived.used_seconds <= NEW.used_seconds
                                  AND archived.used_down_octets <= NEW.used_down_octets
                                  AND archived.used_up_octets <= NEW.used_up_octets) THEN
                SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'sessions_post_what_they_used: a new session has posted nothing';
            END IF;
        END IF;
    END IF;
END//

CREATE TRIGGER session_rules BEFORE UPDATE ON session FOR EACH ROW
BEGIN
    IF NEW.used_seconds < OLD.used_seconds
       OR NEW.used_down_octets < OLD.used_down_octets
       OR NEW.used_up_octets < OLD.used_up_octets
       OR NEW.posted_seconds < OLD.posted_seconds
       OR NEW.posted_down_octets < OLD.posted_down_octets
       OR NEW.posted_up_octets < OLD.posted_up_octets
       OR NEW.posted_seconds > NEW.used_seconds
       OR NEW.posted_down_octets > NEW.used_down_octets
       OR NEW.posted_up_octets > NEW.used_up_octets
       OR NEW.login_number <> OLD.login_number
       OR NEW.card_id <> OLD.card_id
       OR NOT NEW.due_at <=> OLD.due_at
       OR NOT NEW.due_cause <=> OLD.due_cause
       OR NOT NEW.closed_at <=> OLD.closed_at
       OR NEW.end_recorded_at <> OLD.end_recorded_at THEN
        IF NEW.login_number <> OLD.login_number OR NEW.card_id <> OLD.card_id THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'session_identity_is_fixed: card and login number never change';
        END IF;
        IF NEW.used_seconds < OLD.used_seconds OR NEW.used_down_octets < OLD.used_down_octets
           OR NEW.used_up_octets < OLD.used_up_octets OR NEW.posted_seconds < OLD.posted_seconds
           OR NEW.posted_down_octets < OLD.posted_down_octets OR NEW.posted_up_octets < OLD.posted_up_octets THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'session_usage_only_grows: a correction is a new entry';
        END IF;
        IF NEW.posted_seconds > NEW.used_seconds OR NEW.posted_down_octets > NEW.used_down_octets
           OR NEW.posted_up_octets > NEW.used_up_octets THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'sessions_post_what_they_used: it has posted more than it used';
        END IF;
        -- The office may end a session sooner, or decide on one that no login began. It may not extend a session.
        IF NEW.due_at > OLD.due_at OR (OLD.due_at IS NULL AND NEW.due_at IS NOT NULL)
           OR (NEW.due_cause IN ('unknown', 'revived') AND NOT NEW.due_cause <=> OLD.due_cause) THEN
            IF NOT acts_as_owner()
               AND NOT EXISTS (SELECT 1 FROM operator_role
                                WHERE operator = SUBSTRING_INDEX(USER(), '@', 1) AND role = 'module')
               AND NOT COALESCE(NEW.due_at <= server_time() AND OLD.due_at IS NOT NULL
                                AND NEW.due_cause NOT IN ('unknown', 'revived'), FALSE)
               AND NOT COALESCE(OLD.due_at IS NOT NULL AND OLD.due_cause IN ('unknown', 'revived') AND may_act('disconnect'),
                                FALSE) THEN
                SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'sessions_end_sooner: the office may not extend a session';
            END IF;
        END IF;
        IF NOT NEW.closed_at <=> OLD.closed_at THEN
            IF NOT acts_as_owner()
               AND NOT EXISTS (SELECT 1 FROM operator_role
                                WHERE operator = SUBSTRING_INDEX(USER(), '@', 1) AND role = 'module')
               AND NOT COALESCE(OLD.closed_at IS NULL AND OLD.due_at <= server_time() AND NEW.closed_at <= server_time()
                                AND NEW.due_at IS NULL, FALSE) THEN
                SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'sessions_are_closed_once: when they are due, and not in the future';
            END IF;
        END IF;
        SET NEW.end_recorded_at =
            IF(NEW.due_at IS NULL AND OLD.due_at IS NOT NULL, server_time(),
               IF(acts_as_owner(), NEW.end_recorded_at, OLD.end_recorded_at));
    END IF;
END//
DELIMITER ;

-- Ended and posted sessions. They are kept for at least a year (Brazil, Lei 12.965/2014, art. 13) and found by address.
-- Login number 0 is not a session: it holds what a card had used before it was imported, and the usage of sessions that
-- were removed after their year, so that a card's usage is the sum of its rows. A session that continued after it was
-- archived is in both tables; then its row in `session` counts.
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
    -- The remaining columns of `session`; a session needs them if it continues.
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

DELIMITER //
CREATE TRIGGER archived_usage_only_grows BEFORE UPDATE ON session_archive FOR EACH ROW
BEGIN
    IF NEW.card_id <> OLD.card_id OR NEW.login_number <> OLD.login_number OR NEW.used_seconds < OLD.used_seconds
       OR NEW.used_down_octets < OLD.used_down_octets OR NEW.used_up_octets < OLD.used_up_octets THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'session_usage_only_grows: a correction is a new entry';
    END IF;
    IF NOT acts_as_owner() AND NEW.login_number <> 0
       AND NOT is_as_in_session(NEW.card_id, NEW.login_number, NEW.device, NEW.framed_ipv4, NEW.framed_ipv6,
                                NEW.delegated_prefix, NEW.used_seconds, NEW.used_down_octets, NEW.used_up_octets) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'archive_holds_what_was: a record of a connection is that of its session';
    END IF;
END//

-- Whether the table session has this session, as the archive would have it. Who moves sessions makes up none.
CREATE FUNCTION is_as_in_session(
    of_card INT UNSIGNED, number INT UNSIGNED, with_device VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
    ipv4 VARCHAR(15) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
    ipv6 VARCHAR(43) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
    prefix VARCHAR(43) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
    seconds INT UNSIGNED, down_octets BIGINT UNSIGNED, up_octets BIGINT UNSIGNED) RETURNS BOOLEAN READS SQL DATA
    RETURN EXISTS (SELECT 1
                     FROM session
                    WHERE session.card_id = of_card
                      AND session.login_number = number
                      AND session.device = with_device
                      AND session.framed_ipv4 <=> ipv4
                      AND session.framed_ipv6 <=> ipv6
                      AND session.delegated_prefix <=> prefix
                      AND session.used_seconds = seconds
                      AND session.used_down_octets = down_octets
                      AND session.used_up_octets = up_octets)//

CREATE TRIGGER archive_holds_what_was BEFORE INSERT ON session_archive FOR EACH ROW
BEGIN
    IF NOT acts_as_owner() AND NEW.login_number <> 0
       AND NOT is_as_in_session(NEW.card_id, NEW.login_number, NEW.device, NEW.framed_ipv4, NEW.framed_ipv6,
                                NEW.delegated_prefix, NEW.used_seconds, NEW.used_down_octets, NEW.used_up_octets) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'archive_holds_what_was: a record of a connection is that of its session';
    END IF;
END//

-- Connection records are kept for a year; number 0 is what a card had used before.
CREATE TRIGGER archive_is_kept_a_year BEFORE DELETE ON session_archive FOR EACH ROW
BEGIN
    IF NOT acts_as_owner() AND (OLD.login_number = 0 OR OLD.ended_at > server_time() - INTERVAL 365 DAY) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'archive_is_kept_a_year: the law asks for it';
    END IF;
END//

CREATE TRIGGER session_is_archived_first BEFORE DELETE ON session FOR EACH ROW
BEGIN
    IF NOT acts_as_owner()
       AND NOT EXISTS (SELECT 1
                         FROM session_archive AS archived
                        WHERE archived.card_id = OLD.card_id
                          AND archived.login_number = OLD.login_number
                          AND archived.used_seconds = OLD.posted_seconds
                          AND archived.used_down_octets = OLD.posted_down_octets
                          AND archived.used_up_octets = OLD.posted_up_octets
                          AND OLD.due_at IS NULL) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'session_is_archived_first: nobody removes a session';
    END IF;
END//
DELIMITER ;

-- Usage of archived sessions by the hour in which they ended, so that a report adds up hours instead of sessions. Written
-- in the transaction that archives them. Partner 0: cards without a partner.
CREATE TABLE usage_hour (
    hour_at           DATETIME        NOT NULL,
    product_id        INT UNSIGNED    NOT NULL,
    partner_id        INT UNSIGNED    NOT NULL,
    session_count     INT UNSIGNED    NOT NULL,
    used_seconds      BIGINT UNSIGNED NOT NULL,
    used_down_octets  BIGINT UNSIGNED NOT NULL,
    used_up_octets    BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (hour_at, product_id, partner_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
CREATE TRIGGER hours_are_added_up BEFORE UPDATE ON usage_hour FOR EACH ROW
BEGIN
    IF NEW.hour_at <> OLD.hour_at OR NEW.product_id <> OLD.product_id OR NEW.partner_id <> OLD.partner_id
       OR NEW.session_count < OLD.session_count OR NEW.used_seconds < OLD.used_seconds
       OR NEW.used_down_octets < OLD.used_down_octets OR NEW.used_up_octets < OLD.used_up_octets THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'session_usage_only_grows: a correction is a new entry';
    END IF;
END//
DELIMITER ;

-- Open sessions that have passed their fair-use share. `prepaid enforce` reduces the speed of each one once, with a
-- CoA-Request. This table and the next two have no foreign key, for the reason given at the table session.
CREATE TABLE session_slow_down (
    card_id       INT UNSIGNED    NOT NULL,
    login_number  INT UNSIGNED    NOT NULL,
    reached_at    DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    done_at       DATETIME(3)     NULL,
    PRIMARY KEY (card_id, login_number),
    KEY (done_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
CREATE TRIGGER slow_down_is_reached_now BEFORE INSERT ON session_slow_down FOR EACH ROW
    SET NEW.reached_at = server_time(), NEW.done_at = NULL//
CREATE TRIGGER slow_down_is_done_once BEFORE UPDATE ON session_slow_down FOR EACH ROW
BEGIN
    IF NEW.card_id <> OLD.card_id OR NEW.login_number <> OLD.login_number OR NEW.reached_at <> OLD.reached_at
       OR (OLD.done_at IS NOT NULL AND NOT NEW.done_at <=> OLD.done_at) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
    END IF;
    IF NEW.done_at IS NOT NULL AND OLD.done_at IS NULL THEN
        SET NEW.done_at = server_time();
    END IF;
END//
DELIMITER ;

-- Inconsistent counters that a NAS reported: `prepaid sessions --anomalies` shows them. They are never charged by guessing.
CREATE TABLE session_anomaly (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    card_id       INT UNSIGNED    NOT NULL,
    login_number  INT UNSIGNED    NOT NULL,
    at            DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    last_at       DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    times         INT UNSIGNED    NOT NULL DEFAULT 1,
    what          VARCHAR(32)     NOT NULL,                      -- octets_fell, wraps, resets
    detail        VARCHAR(255)    NOT NULL,                      -- of the first occurrence
    UNIQUE KEY anomaly_is_noted_once (card_id, login_number, what)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
CREATE TRIGGER anomaly_is_noted_now BEFORE INSERT ON session_anomaly FOR EACH ROW
BEGIN
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    SET NEW.at = server_time(), NEW.last_at = NEW.at;
END//
CREATE TRIGGER anomalies_are_counted_on BEFORE UPDATE ON session_anomaly FOR EACH ROW
BEGIN
    IF NEW.id <> OLD.id OR NEW.card_id <> OLD.card_id OR NEW.login_number <> OLD.login_number OR NEW.at <> OLD.at
       OR NEW.what <> OLD.what OR NEW.detail <> OLD.detail OR NEW.times < OLD.times THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
    END IF;
    SET NEW.last_at = server_time();
END//
DELIMITER ;

-- Refused logins, counted by card, reason, source and quarter of an hour. The first twenty devices of a card and reason have
-- a row each; further devices share the row '*' of their NAS, so that an attacker who changes the device address with each
-- guess does not fill the table. The rows with the reason wrong_pin decide who is locked out, see rules/login.py.
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
    KEY refusal_by_window (window_at)                            -- `prepaid db archive` removes old rows
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- The same for serials that do not exist, counted by NAS.
CREATE TABLE unknown_login (
    source     VARCHAR(128)      NOT NULL,
    window_at  DATETIME          NOT NULL,
    nas_id     INT UNSIGNED      NOT NULL,
    tries      INT UNSIGNED      NOT NULL DEFAULT 1,
    first_at   DATETIME(3)       NOT NULL,
    last_at    DATETIME(3)       NOT NULL,
    PRIMARY KEY (window_at, nas_id, source)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
CREATE TRIGGER refusals_are_counted_on BEFORE UPDATE ON login_refusal FOR EACH ROW
BEGIN
    IF NEW.card_id <> OLD.card_id OR NEW.source <> OLD.source OR NEW.reason <> OLD.reason OR NEW.window_at <> OLD.window_at
       OR NEW.first_at <> OLD.first_at OR NEW.tries < OLD.tries THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'tries_are_counted_on: a count of tries never falls';
    END IF;
END//
CREATE TRIGGER refusals_are_kept_for_now BEFORE DELETE ON login_refusal FOR EACH ROW
BEGIN
    IF NOT acts_as_owner() AND OLD.window_at > server_time() - INTERVAL 1 DAY THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'tries_are_counted_on: a count of tries never falls';
    END IF;
END//
CREATE TRIGGER unknown_logins_are_counted_on BEFORE UPDATE ON unknown_login FOR EACH ROW
BEGIN
    IF NEW.source <> OLD.source OR NEW.window_at <> OLD.window_at OR NEW.nas_id <> OLD.nas_id OR NEW.first_at <> OLD.first_at
       OR NEW.tries < OLD.tries THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'tries_are_counted_on: a count of tries never falls';
    END IF;
END//
DELIMITER ;

-- How far each accounting queue is charged; `prepaid charge --watch` writes it. While packets wait in a queue, a session is
-- judged by the time up to which they are charged: its report may be one of those that wait.
CREATE TABLE accounting_queue (
    name              VARCHAR(190) NOT NULL PRIMARY KEY,         -- host name and directory
    charged_until_at  DATETIME(3)  NOT NULL,                     -- all packets that arrived before this are charged
    recorded_at       DATETIME(3)  NOT NULL                      -- when the charger wrote this row
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Accounting-On and Accounting-Off packets. A retransmission has the same source address and the same authenticator, which
-- is a hash over the packet (RFC 2866, section 3). It must not end sessions that began after the first transmission.
CREATE TABLE nas_restart (
    nas_address    VARCHAR(45) NOT NULL,
    authenticator  VARCHAR(34) NOT NULL,
    happened_at    DATETIME(3) NOT NULL,
    repeated_at    DATETIME(3) NOT NULL,
    PRIMARY KEY (nas_address, authenticator)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Disconnect-Requests and CoA-Requests (RFC 5176) and the NAS' answers. An enforcer writes the row before it sends the
-- request, so that two enforcers never send the same one. An ACK alone is not taken as proof: the session's own row
-- (stopped_at, closed_at) says whether it has ended.
CREATE TABLE disconnect_attempt (
    card_id       INT UNSIGNED    NOT NULL,
    login_number  INT UNSIGNED    NOT NULL,
    action        ENUM('disconnect', 'slow_down') NOT NULL,
    attempt       INT UNSIGNED    NOT NULL,
    at            DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    next_at       DATETIME(3)     NOT NULL,                      -- no enforcer tries again before this
    cause         VARCHAR(16)     NOT NULL,
    outcome       VARCHAR(16)     NOT NULL DEFAULT 'sent',       -- sent, ack, nak, no_answer, not_sent
    error_cause   VARCHAR(64)     NULL,                          -- Error-Cause of the NAS, or why nothing was sent
    PRIMARY KEY (card_id, login_number, action, attempt),
    FOREIGN KEY (card_id) REFERENCES card (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
CREATE TRIGGER attempt_is_made_now BEFORE INSERT ON disconnect_attempt FOR EACH ROW
    SET NEW.at = server_time()//
CREATE TRIGGER attempts_are_never_edited BEFORE UPDATE ON disconnect_attempt FOR EACH ROW
BEGIN
    IF NEW.card_id <> OLD.card_id OR NEW.login_number <> OLD.login_number OR NEW.action <> OLD.action
       OR NEW.attempt <> OLD.attempt OR NEW.at <> OLD.at OR NEW.cause <> OLD.cause THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
    END IF;
END//
DELIMITER ;

-- The runs of the nightly work that ended, so that `prepaid metrics` and `prepaid doctor` notice a timer that does not run.
CREATE TABLE work_run (
    id        BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    work      ENUM('archive', 'reconcile', 'audit') NOT NULL,
    ended_at  DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    faults    INT UNSIGNED    NOT NULL DEFAULT 0,                -- what it found wrong
    operator  VARCHAR(128)    NOT NULL DEFAULT '',
    KEY work_run_by_end (work, ended_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
CREATE TRIGGER run_ends_now BEFORE INSERT ON work_run FOR EACH ROW
BEGIN
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1), NEW.ended_at = server_time();
END//
DELIMITER ;
CREATE TRIGGER runs_are_never_edited BEFORE UPDATE ON work_run FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
CREATE TRIGGER runs_are_never_removed BEFORE DELETE ON work_run FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead';


-- Who had an IP address ----------------------------------------------------------------------------------

-- Imports of NAT logs: who imported which file, and how many new records it had.
CREATE TABLE nat_import (
    id           INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    imported_at  DATETIME(3)  NOT NULL DEFAULT UTC_TIMESTAMP(3),
    operator     VARCHAR(128) NOT NULL DEFAULT '',
    file         VARCHAR(255) NOT NULL,
    records      INT UNSIGNED NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- The NAT log: which private address had ports of a public one, and when. A row is one connection or a block of ports.
-- Only the procedures add_nat_records and purge_nat write here, and only who_had reads.
CREATE TABLE nat_record (
    public_address   INET4             NOT NULL,
    first_port       SMALLINT UNSIGNED NOT NULL,
    begin_at         DATETIME(3)       NOT NULL,
    private_address  INET4             NOT NULL,
    last_port        SMALLINT UNSIGNED NOT NULL,
    end_at           DATETIME(3)       NULL,                     -- NULL: it had not ended when the log was written
    nas_id           INT UNSIGNED      NOT NULL DEFAULT 0,       -- 0: private addresses of all NAS are different
    import_id        INT UNSIGNED      NOT NULL,
    is_block         BOOLEAN AS (last_port > first_port) STORED,
    PRIMARY KEY (public_address, first_port, begin_at, private_address, last_port),
    -- A single port is found by the primary key, and the few blocks by this one.
    KEY nat_blocks (public_address, is_block, begin_at),
    KEY nat_by_age (begin_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
CREATE TRIGGER nat_import_names_its_operator BEFORE INSERT ON nat_import FOR EACH ROW
BEGIN
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1), NEW.imported_at = server_time(), NEW.records = 0;
END//

CREATE TRIGGER nat_imports_stay BEFORE UPDATE ON nat_import FOR EACH ROW
BEGIN
    IF NEW.id <> OLD.id OR NEW.imported_at <> OLD.imported_at OR NEW.operator <> OLD.operator OR NEW.file <> OLD.file
       OR NEW.records < OLD.records THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
    END IF;
END//
CREATE TRIGGER nat_imports_are_never_removed BEFORE DELETE ON nat_import FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead'//

CREATE TRIGGER nat_records_are_possible BEFORE INSERT ON nat_record FOR EACH ROW
BEGIN
    IF NEW.first_port > NEW.last_port OR NEW.end_at < NEW.begin_at OR NEW.begin_at > server_time()
       OR NEW.end_at > server_time() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'nat_records_are_possible: ports or times are out of order, or in the future';
    END IF;
END//

-- A record that had not ended may get its end.
CREATE TRIGGER nat_records_stay BEFORE UPDATE ON nat_record FOR EACH ROW
BEGIN
    IF NEW.public_address <> OLD.public_address OR NEW.first_port <> OLD.first_port OR NEW.begin_at <> OLD.begin_at
       OR NEW.private_address <> OLD.private_address OR NEW.last_port <> OLD.last_port OR NEW.nas_id <> OLD.nas_id
       OR NEW.import_id <> OLD.import_id OR NOT NEW.end_at <=> COALESCE(OLD.end_at, NEW.end_at)
       OR NEW.end_at < NEW.begin_at OR NEW.end_at > server_time() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'nat_records_stay: a record of the NAT log is never changed';
    END IF;
END//

-- Connection records must be kept for a year (Brazil, Lei 12.965/2014, art. 13).
CREATE TRIGGER nat_records_stay_a_year BEFORE DELETE ON nat_record FOR EACH ROW
BEGIN
    IF COALESCE(OLD.end_at, OLD.begin_at) > server_time() - INTERVAL 365 DAY THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'nat_records_stay_a_year: connection records are kept for a year';
    END IF;
END//
DELIMITER ;

-- Questions of an authority: who had an address at a given time. The view address_answer answers only what is recorded
-- here, so that nobody learns a customer's address without a record.
CREATE TABLE address_query (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    asked_at    DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3),
    operator    VARCHAR(128)    NOT NULL DEFAULT '',
    address     VARCHAR(43)     NOT NULL,
    port        SMALLINT UNSIGNED NULL,                          -- of a public address that many share; see nat_record
    moment_at   DATETIME(3)     NOT NULL,                        -- the time in question
    reason      VARCHAR(255)    NULL                             -- for instance the number of a court order
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- The values that a session with this address may have in its columns: the address, or a prefix that contains it.
CREATE TABLE address_query_form (
    query_id  BIGINT UNSIGNED NOT NULL,
    address   VARCHAR(43)     NOT NULL,
    PRIMARY KEY (query_id, address),
    FOREIGN KEY (query_id) REFERENCES address_query (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
-- Only the procedure who_had inserts here.
CREATE TRIGGER address_query_names_its_operator BEFORE INSERT ON address_query FOR EACH ROW
BEGIN
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    -- A question about the future could be read again later for a new answer, without a new record.
    IF NEW.moment_at > server_time() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'questions_are_about_the_past: nobody had an address in the future';
    END IF;
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1), NEW.asked_at = server_time();
END//

-- Whether an address or prefix equals another one or lies within it.
CREATE FUNCTION address_is_within(
    asked VARCHAR(43) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
    form VARCHAR(43) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin) RETURNS BOOLEAN NO SQL
BEGIN
    DECLARE asked_bits INT DEFAULT IF(INSTR(asked, '/'), SUBSTRING_INDEX(asked, '/', -1), 128);
    DECLARE bits INT DEFAULT IF(INSTR(form, '/'), SUBSTRING_INDEX(form, '/', -1), 128);
    DECLARE asked_hex CHAR(32) DEFAULT HEX(INET6_ATON(SUBSTRING_INDEX(asked, '/', 1)));
    DECLARE hex CHAR(32) DEFAULT HEX(INET6_ATON(SUBSTRING_INDEX(form, '/', 1)));
    IF asked = form THEN
        RETURN TRUE;
    END IF;
    IF INSTR(asked, ':') = 0 OR bits NOT BETWEEN 0 AND asked_bits OR NOT COALESCE(LENGTH(hex) = 32, FALSE) THEN
        RETURN FALSE;
    END IF;
    RETURN CONV(LEFT(asked_hex, 16), 16, 10) >> (64 - LEAST(bits, 64)) = CONV(LEFT(hex, 16), 16, 10) >> (64 - LEAST(bits, 64))
       AND CONV(RIGHT(asked_hex, 16), 16, 10) >> (64 - GREATEST(bits - 64, 0))
           = CONV(RIGHT(hex, 16), 16, 10) >> (64 - GREATEST(bits - 64, 0));
END//

CREATE TRIGGER forms_hold_the_address BEFORE INSERT ON address_query_form FOR EACH ROW
BEGIN
    IF NOT COALESCE((SELECT IF(address_query.port IS NULL,
                               address_is_within(address_query.address, NEW.address),
                               EXISTS (SELECT 1
                                         FROM nat_record
                                        WHERE public_address = address_query.address
                                          AND private_address = NEW.address
                                          AND address_query.port BETWEEN first_port AND last_port
                                          AND begin_at <= address_query.moment_at))
                       FROM address_query WHERE address_query.id = NEW.query_id), FALSE) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'forms_hold_the_address: this does not contain the address in question';
    END IF;
END//
CREATE TRIGGER forms_are_never_edited BEFORE UPDATE ON address_query_form FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead'//
CREATE TRIGGER forms_are_never_removed BEFORE DELETE ON address_query_form FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead'//
DELIMITER ;
CREATE TRIGGER address_queries_are_never_edited BEFORE UPDATE ON address_query FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
CREATE TRIGGER address_queries_are_never_removed BEFORE DELETE ON address_query FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead';


-- Telephony ----------------------------------------------------------------------------------------------

-- The credit of a redeemed card on its way to the voice platform (VSC): pending, then exported, then confirmed, each once.
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
    reference      VARCHAR(64)     NULL,                         -- the platform's reference, from its confirmation
    confirmed_at   DATETIME(3)     NULL,
    UNIQUE KEY card_is_redeemed_once (card_id),
    UNIQUE KEY reference_is_unique (reference),
    KEY (export_number),
    FOREIGN KEY (card_id) REFERENCES card (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
-- Inserting this row redeems the card: the trigger writes what the card is worth, and the next one changes its status.
CREATE TRIGGER voice_credit_names_its_operator BEFORE INSERT ON voice_credit FOR EACH ROW
BEGIN
    DECLARE cents, seconds BIGINT;
    DECLARE valid_until DATETIME(3);
    DECLARE is_sound BOOLEAN DEFAULT FALSE;
    IF chooses_number() THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'numbers_are_the_servers: the server gives a row the next number';
    END IF;
    IF NOT acts_as_owner() THEN
        SELECT product.kind = 'telephony' AND card.status = 'delivered',
               CAST(product.credit_cents AS SIGNED) + card.added_cents,
               CAST(product.credit_seconds AS SIGNED) + card.added_seconds,
               COALESCE(card.expires_at, product.valid_until_at)
          INTO is_sound, cents, seconds, valid_until
          FROM card
          JOIN product ON product.id = card.product_id
         WHERE card.id = NEW.card_id
           FOR UPDATE;
        IF NOT is_sound OR COALESCE(valid_until <= server_time(), FALSE) OR COALESCE(NULLIF(cents, 0), seconds, 0) <= 0 THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT =
                'redeemable_cards_have_credit: only a delivered, valid telephony card with credit';
        END IF;
        SET NEW.credit_cents = cents, NEW.credit_seconds = seconds, NEW.export_number = NULL, NEW.exported_at = NULL,
            NEW.reference = NULL, NEW.confirmed_at = NULL;
    END IF;
    SET NEW.operator = SUBSTRING_INDEX(USER(), '@', 1), NEW.redeemed_at = server_time();
END//

CREATE TRIGGER credit_redeems_its_card AFTER INSERT ON voice_credit FOR EACH ROW
    UPDATE card SET status = 'redeemed' WHERE id = NEW.card_id AND status = 'delivered'//

CREATE TRIGGER voice_credit_goes_forward BEFORE UPDATE ON voice_credit FOR EACH ROW
BEGIN
    IF NEW.id <> OLD.id OR NEW.card_id <> OLD.card_id OR NEW.account <> OLD.account
       OR NOT NEW.credit_cents <=> OLD.credit_cents OR NOT NEW.credit_seconds <=> OLD.credit_seconds
       OR NEW.redeemed_at <> OLD.redeemed_at OR NEW.operator <> OLD.operator THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead';
    END IF;
    -- A credit is exported once, with the next export number, and then confirmed once.
    IF (OLD.export_number IS NOT NULL AND NOT (NEW.export_number <=> OLD.export_number AND NEW.exported_at <=> OLD.exported_at))
       OR (OLD.confirmed_at IS NOT NULL AND NOT (NEW.confirmed_at <=> OLD.confirmed_at AND NEW.reference <=> OLD.reference))
       OR (NEW.export_number IS NULL AND (NEW.exported_at IS NOT NULL OR NEW.confirmed_at IS NOT NULL))
       OR (NEW.confirmed_at IS NULL AND NEW.reference IS NOT NULL)
       OR (OLD.export_number IS NULL AND NEW.export_number IS NOT NULL
           AND NEW.export_number NOT BETWEEN 1 AND 1 + (SELECT COALESCE(MAX(earlier.export_number), 0)
                                                          FROM voice_credit AS earlier)) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'voice_credits_go_forward: exported once, then confirmed once';
    END IF;
    IF OLD.exported_at IS NULL AND NEW.export_number IS NOT NULL THEN
        SET NEW.exported_at = server_time();
    END IF;
    IF OLD.confirmed_at IS NULL AND NEW.confirmed_at IS NOT NULL THEN
        SET NEW.confirmed_at = server_time();
    END IF;
END//

CREATE TRIGGER voice_credits_are_never_removed BEFORE DELETE ON voice_credit FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead'//
DELIMITER ;


-- The hash chain over the history -----------------------------------------------------------------------

-- The hash of each row of history; it covers the row's content and the hash before it. `prepaid audit seal` adds committed
-- rows in the order in which it finds them. It is a step of its own, because a chain written with each row would make all
-- writers wait for each other, and because numbers are not assigned in the order of commits. `prepaid audit verify`
-- computes all hashes again.
CREATE TABLE history_chain (
    seq        BIGINT UNSIGNED NOT NULL PRIMARY KEY,             -- consecutive
    source     ENUM('card_event', 'batch_event', 'card_entry', 'note', 'voice_credit', 'address_query', 'payment',
                    'operator_role_event') NOT NULL,
    row_id     BIGINT UNSIGNED NOT NULL,
    sealed_at  DATETIME(3)     NOT NULL,
    hash       BINARY(32)      NOT NULL,
    UNIQUE KEY row_is_sealed_once (source, row_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

DELIMITER //
CREATE TRIGGER chain_goes_on_without_a_gap BEFORE INSERT ON history_chain FOR EACH ROW
BEGIN
    IF NOT acts_as_owner()
       AND (NEW.seq <> 1 + COALESCE((SELECT MAX(before_it.seq) FROM history_chain AS before_it), 0)
            OR NEW.sealed_at NOT BETWEEN server_time() - INTERVAL 1 HOUR AND server_time() + INTERVAL 1 SECOND) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'chain_goes_on_without_a_gap: the next number, sealed now';
    END IF;
END//
CREATE TRIGGER chain_is_never_edited BEFORE UPDATE ON history_chain FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_edited: write a new entry instead'//
CREATE TRIGGER chain_is_never_removed BEFORE DELETE ON history_chain FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'history_is_never_removed: write a new entry instead'//
DELIMITER ;

-- The number of the row, in each table, up to which no transaction can still add rows, because none is that old. Sealing
-- reads the rows above it only. A row that appears below it was inserted into the past.
CREATE TABLE history_floor (
    source         ENUM('card_event', 'batch_event', 'card_entry', 'note', 'voice_credit', 'address_query', 'payment',
                        'operator_role_event') NOT NULL PRIMARY KEY,
    row_id         BIGINT UNSIGNED NOT NULL DEFAULT 0,
    next_row_id    BIGINT UNSIGNED NOT NULL DEFAULT 0,           -- becomes row_id six hours after next_since_at
    next_since_at  DATETIME(3)     NOT NULL DEFAULT UTC_TIMESTAMP(3)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

INSERT INTO history_floor (source) VALUES
    ('card_event'), ('batch_event'), ('card_entry'), ('note'), ('voice_credit'), ('address_query'),
    ('payment'), ('operator_role_event');

DELIMITER //
-- The floor never falls, never passes the sealed rows, and rises six hours later, when the longest transaction has ended.
CREATE TRIGGER floor_rises_over_what_is_sealed BEFORE UPDATE ON history_floor FOR EACH ROW
BEGIN
    IF NEW.source <> OLD.source OR NEW.row_id < OLD.row_id OR NEW.next_row_id < OLD.next_row_id THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'floor_rises_over_what_is_sealed: it never falls';
    END IF;
    IF NOT acts_as_owner() THEN
        IF (NEW.row_id <> OLD.row_id
            AND (NEW.row_id <> OLD.next_row_id OR OLD.next_since_at > server_time() - INTERVAL 6 HOUR))
           OR NEW.next_row_id > GREATEST(OLD.next_row_id,
                                         COALESCE((SELECT MAX(history_chain.row_id) FROM history_chain
                                                    WHERE CAST(history_chain.source AS CHAR) = CAST(OLD.source AS CHAR)), 0))
        THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'floor_rises_over_what_is_sealed: only over sealed rows, after six hours';
        END IF;
        SET NEW.next_since_at = IF(NEW.next_row_id = OLD.next_row_id AND NEW.row_id = OLD.row_id
                                   AND NEW.next_since_at = OLD.next_since_at, OLD.next_since_at, server_time());
    END IF;
END//
CREATE TRIGGER floor_stays BEFORE DELETE ON history_floor FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'floor_rises_over_what_is_sealed: it never falls'//
DELIMITER ;


-- Views --------------------------------------------------------------------------------------------------

-- The time up to which accounting is charged: now, or, if packets wait in a queue, what the slowest charger has reached. A
-- charger that has written nothing for an hour does not count.
CREATE VIEW accounting_state AS
    SELECT COALESCE(LEAST(MIN(charged_until_at), UTC_TIMESTAMP(3)), UTC_TIMESTAMP(3)) AS charged_until_at
      FROM accounting_queue
     WHERE recorded_at > UTC_TIMESTAMP(3) - INTERVAL 3600 SECOND;

-- Credit and usage of each card. Usage is what was posted to the card plus what its sessions have not posted yet.
-- The sums are scalar subqueries instead of a join with GROUP BY, so that a page of a list reads only its own cards.
CREATE VIEW card_balance AS
    SELECT card.id AS card_id,
           product.credit_seconds + card.added_seconds AS credit_seconds,
           product.credit_octets + card.added_octets AS credit_octets,
           product.credit_down_octets + card.added_down_octets AS credit_down_octets,
           product.credit_up_octets + card.added_up_octets AS credit_up_octets,
           CAST(product.credit_cents AS SIGNED) + card.added_cents AS credit_cents,
           product.tariff_minute_millicents,
           product.tariff_mb_millicents,
           card.posted_seconds + (SELECT COALESCE(SUM(session.used_seconds - session.posted_seconds), 0)
                                     FROM session WHERE session.card_id = card.id) AS used_seconds,
           card.posted_down_octets + (SELECT COALESCE(SUM(session.used_down_octets - session.posted_down_octets), 0)
                                         FROM session WHERE session.card_id = card.id) AS used_down_octets,
           card.posted_up_octets + (SELECT COALESCE(SUM(session.used_up_octets - session.posted_up_octets), 0)
                                       FROM session WHERE session.card_id = card.id) AS used_up_octets,
           -- Open: it has begun, has not ended, and a packet came within three interim intervals and 60 seconds before the
           -- time up to which accounting is charged. The same rule as in session_overview and in rules/login.py.
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

-- A card as `prepaid show` has it. The money used is the usage times the tariffs, rounded down once for the whole sum: the
-- customer gains less than a cent.
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
           -- The credit of a redeemed card is on the voice platform, so the card has nothing left.
           GREATEST(CAST(IF(card.status = 'redeemed', balance.credit_seconds * 0, balance.credit_seconds) AS SIGNED)
                    - CAST(balance.used_seconds AS SIGNED), 0) AS remaining_seconds,
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

-- All sessions, live and archived.
CREATE VIEW session_overview AS
    SELECT card_id, login_number, nas_id, acct_session_id, device, login_at,
           -- By the NAS' clock a session may start before its login; the login's time is shown then.
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
     -- A session that continued after it was archived is shown from the table session.
     WHERE NOT EXISTS (SELECT 1
                         FROM session
                        WHERE session.card_id = session_archive.card_id
                          AND session.login_number = session_archive.login_number);

-- Who had the address, for each question in address_query. There is one branch for each index of the archive. Live sessions
-- have no such index, because every packet would have to maintain it; their table is scanned, since questions are rare.
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

-- Procedures that leave a record ------------------------------------------------------------------------

-- They run with the rights of the schema's owner; USER() is still the caller. They commit the record before they answer, so
-- that the caller cannot roll back the record of a PIN that was read or of an address that was asked for.

DELIMITER //
-- The sealed PIN of one card.
CREATE PROCEDURE read_pin(IN wanted INT UNSIGNED) MODIFIES SQL DATA
BEGIN
    START TRANSACTION READ WRITE;
    INSERT INTO card_event (card_id, what, operator)
    SELECT card.id, 'pin_read', '' FROM card WHERE card.id = wanted AND card.status <> 'deleted';
    COMMIT;
    SELECT card.pin_sealed, card.key_number FROM card WHERE card.id = wanted AND card.status <> 'deleted';
END//

-- The sealed PIN of a card, for the subscriber centre. For a serial that does not exist a row is written and removed, so
-- that the time does not reveal it. count_office_refusal counts the failed tries.
CREATE PROCEDURE read_pin_to_redeem(IN wanted VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin) MODIFIES SQL DATA
BEGIN
    DECLARE card_number INT UNSIGNED DEFAULT
        (SELECT card.id FROM card WHERE card.serial = wanted AND card.status <> 'deleted');
    DECLARE quarter DATETIME DEFAULT quarter_hour();
    START TRANSACTION READ WRITE;
    IF card_number IS NULL THEN
        INSERT INTO unknown_login (source, window_at, nas_id, tries, first_at, last_at)
        VALUES ('office', quarter, 1, 0, server_time(), server_time());
        DELETE FROM unknown_login WHERE window_at = quarter AND nas_id = 1 AND source = 'office';
    ELSE
        INSERT INTO card_event (card_id, what, operator) VALUES (card_number, 'pin_read', '');
    END IF;
    COMMIT;
    SELECT card.id, card.serial, card.pin_sealed, card.key_number
      FROM card
      JOIN product ON product.id = card.product_id
     WHERE card.id = card_number;
END//

-- Begins the export of a batch with its PINs, or of a range of it: records who reads them, when and why. read_pins answers only
-- after that.
CREATE PROCEDURE open_pins(IN wanted INT UNSIGNED, IN why VARCHAR(255),
                           IN lowest VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
                           IN highest VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin) MODIFIES SQL DATA
BEGIN
    START TRANSACTION READ WRITE;
    INSERT INTO batch_event (batch_id, what, reason, first_serial, last_serial)
    SELECT batch.id, 'pins_read', why, lowest, highest FROM batch WHERE batch.id = wanted;
    COMMIT;
END//

-- Serial, sealed PIN and key number of a batch's cards in stock between two ids, for an account that has called open_pins
-- within a day; only those of the range that it opened last. The answer is one text, because the driver needs more time for a row than the server.
CREATE PROCEDURE read_pins(IN wanted INT UNSIGNED, IN first_id INT UNSIGNED, IN last_id INT UNSIGNED) READS SQL DATA
BEGIN
    DECLARE opened BIGINT UNSIGNED;
    DECLARE lowest, highest VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
    SET opened = (SELECT MAX(batch_event.id)
                    FROM batch_event
                   WHERE batch_event.batch_id = wanted
                     AND batch_event.what = 'pins_read'
                     AND batch_event.operator = SUBSTRING_INDEX(USER(), '@', 1)
                     AND batch_event.at > server_time() - INTERVAL 1 DAY);
    IF opened IS NULL THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'pins_are_read_with_a_record: CALL open_pins first';
    END IF;
    SELECT batch_event.first_serial, batch_event.last_serial
      INTO lowest, highest
      FROM batch_event
     WHERE batch_event.id = opened;
    SELECT GROUP_CONCAT(card.serial, '\n', HEX(card.pin_sealed), '\n', card.key_number SEPARATOR '\n') AS cards
      FROM card FORCE INDEX (PRIMARY)
     WHERE card.id BETWEEN first_id AND last_id
       AND card.batch_id = wanted
       AND card.status = 'created'
       AND (lowest IS NULL OR card.serial BETWEEN lowest AND highest);
END//

-- Records an event of all cards of a batch, or of a range of it; a trigger counts the cards. Only open_pins records that PINs are read.
CREATE PROCEDURE record_batch_event(IN wanted INT UNSIGNED,
                                    IN happened VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
                                    IN why VARCHAR(255), IN details VARCHAR(1000),
                                    IN lowest VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
                                    IN highest VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin)
    MODIFIES SQL DATA
BEGIN
    IF happened = 'pins_read' THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'pins_are_read_with_a_record: CALL open_pins';
    END IF;
    -- INSERT … SELECT, so that the SELECTs of the trigger lock no rows.
    INSERT INTO batch_event (batch_id, what, reason, detail, first_serial, last_serial)
    SELECT wanted, happened, why, details, lowest, highest;
END//

-- Who had an address at a given time: records the question, then returns its number and the answer. `forms` is a JSON array
-- of the values for address_query_form.
CREATE PROCEDURE who_had(IN asked VARCHAR(43) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, IN asked_port SMALLINT UNSIGNED,
                         IN at_moment DATETIME(3), IN why VARCHAR(255), IN forms TEXT) MODIFIES SQL DATA
BEGIN
    DECLARE number BIGINT UNSIGNED;
    START TRANSACTION READ WRITE;
    INSERT INTO address_query (address, port, moment_at, reason) VALUES (asked, asked_port, at_moment, why);
    SET number = LAST_INSERT_ID();
    IF asked_port IS NULL THEN
        INSERT INTO address_query_form (query_id, address)
        SELECT number, form.address FROM JSON_TABLE(forms, '$[*]' COLUMNS (address VARCHAR(43) PATH '$')) AS form;
    ELSE
        CREATE OR REPLACE TEMPORARY TABLE nat_holder (
            private_address VARCHAR(15) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
            nas_id INT UNSIGNED NOT NULL, begin_at DATETIME(3) NOT NULL, end_at DATETIME(3) NULL);
        INSERT INTO nat_holder
        SELECT private_address, nas_id, begin_at, end_at
          FROM nat_record
         WHERE public_address = asked AND first_port = asked_port AND begin_at <= at_moment AND last_port = asked_port
           AND (end_at IS NULL OR end_at >= at_moment)
         UNION
        SELECT private_address, nas_id, begin_at, end_at
          FROM nat_record
         WHERE public_address = asked AND is_block AND begin_at <= at_moment
           AND asked_port BETWEEN first_port AND last_port AND (end_at IS NULL OR end_at >= at_moment);
        INSERT INTO address_query_form (query_id, address) SELECT DISTINCT number, private_address FROM nat_holder;
    END IF;
    COMMIT;
    SELECT number AS query;
    IF asked_port IS NULL THEN
        SELECT card.serial, nas.name AS nas, answer.acct_session_id, answer.device, answer.started_at, answer.heard_at,
               answer.ended_at, answer.end_cause, answer.framed_ipv4, answer.framed_ipv6, answer.delegated_prefix
          FROM address_answer AS answer
          JOIN card ON card.id = answer.card_id
          JOIN nas ON nas.id = answer.nas_id
         WHERE answer.query_id = number
         ORDER BY answer.started_at;
    ELSE
        -- A private address without a session is shown as well: the log and the sessions disagree.
        SELECT holder.private_address, holder.begin_at AS nat_begin_at, holder.end_at AS nat_end_at, card.serial,
               nas.name AS nas, answer.acct_session_id, answer.device, answer.started_at, answer.heard_at, answer.ended_at,
               answer.end_cause
          FROM nat_holder AS holder
          LEFT JOIN (address_answer AS answer JOIN card ON card.id = answer.card_id JOIN nas ON nas.id = answer.nas_id)
            ON answer.query_id = number AND answer.framed_ipv4 = holder.private_address
           AND holder.nas_id IN (0, answer.nas_id)
         ORDER BY holder.begin_at, holder.private_address, answer.started_at;
        DROP TEMPORARY TABLE nat_holder;
    END IF;
END//

-- Begins an import of a NAT log; its number is for add_nat_records.
CREATE PROCEDURE begin_nat_import(IN of_file VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin) MODIFIES SQL DATA
BEGIN
    INSERT INTO nat_import (file) VALUES (of_file);
    SELECT LAST_INSERT_ID() AS number;
END//

-- Adds records of a NAT log, given as a JSON array of arrays in the order of the columns below. A record that is there
-- already changes nothing, so that a file can be imported again; one that had not ended gets its end.
CREATE PROCEDURE add_nat_records(IN of_import INT UNSIGNED, IN given LONGTEXT) MODIFIES SQL DATA
BEGIN
    DECLARE before_count, after_count, wrong BIGINT UNSIGNED;
    IF NOT EXISTS (SELECT 1 FROM nat_import WHERE id = of_import AND operator = SUBSTRING_INDEX(USER(), '@', 1)) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'nat_records_name_their_import: this account began no such import';
    END IF;
    CREATE OR REPLACE TEMPORARY TABLE nat_given (
        public_address INET4 NOT NULL, first_port SMALLINT UNSIGNED NOT NULL, last_port SMALLINT UNSIGNED NOT NULL,
        private_address INET4 NOT NULL, begin_at DATETIME(3) NOT NULL, end_at DATETIME(3) NULL, nas_id INT UNSIGNED NOT NULL);
    INSERT INTO nat_given
    SELECT * FROM JSON_TABLE(given, '$[*]' COLUMNS (
        public_address VARCHAR(15) PATH '$[0]', first_port INT PATH '$[1]', last_port INT PATH '$[2]',
        private_address VARCHAR(15) PATH '$[3]', begin_at DATETIME(3) PATH '$[4]', end_at DATETIME(3) PATH '$[5]',
        nas_id INT PATH '$[6]')) AS one;
    SELECT COUNT(*), COALESCE(SUM(there.nas_id <> new.nas_id OR there.end_at <> new.end_at), 0) INTO before_count, wrong
      FROM nat_given AS new
      JOIN nat_record AS there USING (public_address, first_port, begin_at, private_address, last_port);
    IF wrong > 0 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'nat_records_stay: a record of the NAT log is never changed';
    END IF;
    INSERT INTO nat_record (public_address, first_port, last_port, private_address, begin_at, end_at, nas_id, import_id)
    SELECT public_address, first_port, last_port, private_address, begin_at, end_at, nas_id, of_import
      FROM nat_given
        ON DUPLICATE KEY UPDATE end_at = COALESCE(nat_record.end_at, VALUES(end_at));
    SELECT COUNT(*) INTO after_count
      FROM nat_given AS new
      JOIN nat_record AS there USING (public_address, first_port, begin_at, private_address, last_port);
    UPDATE nat_import SET records = records + after_count - before_count WHERE id = of_import;
    DROP TEMPORARY TABLE nat_given;
    SELECT after_count - before_count AS new_records;
END//

-- Removes records of connections that ended before a moment, at most so many; the trigger keeps those of the last year.
CREATE PROCEDURE purge_nat(IN before_moment DATETIME(3), IN most INT UNSIGNED) MODIFIES SQL DATA
BEGIN
    DELETE FROM nat_record WHERE begin_at < before_moment AND COALESCE(end_at, begin_at) < before_moment LIMIT most;
    SELECT ROW_COUNT() AS removed;
END//

-- The start of the current quarter of an hour, in which refused logins are counted.
CREATE FUNCTION quarter_hour() RETURNS DATETIME NO SQL
    RETURN '1970-01-01' + INTERVAL (TIMESTAMPDIFF(SECOND, '1970-01-01', server_time()) DIV 900 * 900) SECOND//

-- Counts a refusal at the subscriber centre as login refusals are counted. Its source is the office's account, so that it
-- locks out no customer's device.
CREATE PROCEDURE count_office_refusal(IN of_card INT UNSIGNED,
                                      IN account VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin,
                                      IN why VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin) MODIFIES SQL DATA
BEGIN
    IF why = 'unknown_card' THEN
        INSERT INTO unknown_login (source, window_at, nas_id, first_at, last_at)
        VALUES (CONCAT('office/', account), quarter_hour(), 1, server_time(), server_time())
            ON DUPLICATE KEY UPDATE tries = tries + 1, last_at = VALUES(last_at);
    ELSE
        INSERT INTO login_refusal (card_id, source, reason, window_at, nas_id, first_at, last_at)
        VALUES (of_card, CONCAT('office/', account), why, quarter_hour(), 1, server_time(), server_time())
            ON DUPLICATE KEY UPDATE tries = tries + 1, last_at = VALUES(last_at);
    END IF;
END//

-- Ends connections of operators and programs that hold row locks and are idle, and connections of operators that have held
-- them for an hour. Others would wait for those rows without end. A server-side time-out does not help, because any session
-- may change its own.
CREATE PROCEDURE end_idle_transactions(IN idle_seconds INT UNSIGNED) READS SQL DATA
BEGIN
    FOR holder IN (SELECT trx.trx_mysql_thread_id AS id
                     FROM information_schema.innodb_trx AS trx
                     JOIN information_schema.processlist AS process ON process.id = trx.trx_mysql_thread_id
                    WHERE trx.trx_lock_structs > 0
                      AND ((process.command = 'Sleep' AND process.time >= idle_seconds
                            AND process.user IN (SELECT CONVERT(operator USING utf8mb3) FROM operator_role))
                           OR (trx.trx_started < SYSDATE() - INTERVAL 1 HOUR
                               AND process.user IN (SELECT CONVERT(operator USING utf8mb3) FROM operator_role
                                                     WHERE role NOT IN ('module', 'office'))))
                    UNION
                   -- The turn of `prepaid db` and of the archive: a named lock, which any account may take.
                   SELECT process.id
                     FROM information_schema.processlist AS process
                    WHERE process.id = IS_USED_LOCK('prepaid_db')
                      AND process.command = 'Sleep'
                      AND process.time >= idle_seconds
                      AND process.user IN (SELECT CONVERT(operator USING utf8mb3) FROM operator_role)) DO
        KILL CONNECTION holder.id;
    END FOR;
END//

CREATE EVENT idle_transactions_end ON SCHEDULE EVERY 15 SECOND DO
    CALL end_idle_transactions(60)//
DELIMITER ;

INSERT INTO schema_version (version, name) VALUES (1, 'initial');
