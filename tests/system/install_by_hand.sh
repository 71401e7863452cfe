#!/bin/bash
# Set the product up on a machine that has the package: the steps of raddb-config/README.md and docs/configuration.md.
# Each program's password and the key are in files that its system account alone may read.

set -euo pipefail
cd /etc/prepaid-cards

# account NAME GROUP: the option file of a database account.
account() {
    printf '[prepaid-%s]\nuser = prepaid_%s\npassword = %s\nunix_socket = /run/mysqld/mysqld.sock\ndatabase = prepaid\n' \
        "$1" "$1" "$(head -c 18 /dev/urandom | base64)" > "$1.cnf"
    chown "root:$2" "$1.cnf"
    chmod 640 "$1.cnf"
}

account admin root
account radius prepaid-engine
account charge prepaid-charge
account enforce prepaid-enforce
account archive prepaid-archive
cat > prepaid.cnf << 'END'
[prepaid]
key_file = /etc/prepaid-cards/key
queue = /var/spool/prepaid-cards
engine = /run/prepaid-cards/engine
!include /etc/prepaid-cards/admin.cnf
!include /etc/prepaid-cards/radius.cnf
!include /etc/prepaid-cards/charge.cnf
!include /etc/prepaid-cards/enforce.cnf
!include /etc/prepaid-cards/archive.cnf
END
chmod 644 prepaid.cnf

prepaid db init
chown root:prepaid-key key
chmod 640 key
systemctl daemon-reload
systemctl enable --now prepaid-engine prepaid-charge prepaid-enforce \
    prepaid-archive.timer prepaid-reconcile.timer prepaid-audit.timer
prepaid raddb install --dir /etc/freeradius/3.0 --auth-port 11812 --acct-port 11813
systemctl restart freeradius
