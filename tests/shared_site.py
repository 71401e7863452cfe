"""A provider's FreeRADIUS: Debian's sites default and inner-tunnel, customers in a file, a NAS in clients.conf.

It has its own folder and ports.  What differs from Debian's files are the ports, the customers, the NAS, and the certificate
of EAP, which is made for the test.
"""

import re
from pathlib import Path

from admin.freeradius.certificates import certificates
from tests.eap_device import NAS as EAP_NAS
from tests.radius_client import SECRET, RadiusClient
from tests.stack.freeradius import FreeRadius
from tests.stack.ports import free_ports

# A customer, and one whose name looks like a serial: its check digit is right.
CUSTOMER, LOOKS_LIKE_A_SERIAL = "maria", "5724"
PASSWORD = "of maria"
# Both customers get this, so that a test sees who has accepted a login.
MARK = "customer of the provider"
# One of the provider's own NAS, which are in clients.conf.
NAS, NAS_SECRET = "127.0.0.9", "of the provider"


class SharedSite:
    def __init__(self, folder: Path, name: str = "provider"):
        self.auth_port, self.acct_port, inner_port = free_ports(3)
        self.server = FreeRadius(
            folder,
            name=name,
            auth_port=self.auth_port,
            acct_port=self.acct_port,
            options={"reject_delay": "0"},
            dies_with_parent=True,
        )
        self.server.copy_distribution()
        self.raddb = self.server.raddb
        for site in ("default", "inner-tunnel"):
            (self.raddb / "sites-enabled" / site).symlink_to(f"../sites-available/{site}")
        (self.raddb / "mods-enabled" / "eap").symlink_to("../mods-available/eap")
        self._give_ports(inner_port)
        self._give_certificate()
        self.append(
            "mods-config/files/authorize",
            "".join(
                f'{name} Cleartext-Password := "{PASSWORD}"\n\tReply-Message := "{MARK}"\n'
                for name in (CUSTOMER, LOOKS_LIKE_A_SERIAL)
            ),
        )
        self.append("clients.conf", f"client provider {{\n\tipaddr = {NAS}\n\tsecret = {NAS_SECRET!r}\n}}\n")
        self.append("clients.conf", f"client provider_wlan {{\n\tipaddr = {EAP_NAS}\n\tsecret = {SECRET}\n}}\n")

    def radius(self, secret: str = SECRET, **options) -> RadiusClient:
        return RadiusClient(self.auth_port, self.acct_port, secret=secret, **options)

    def restart(self) -> None:
        self.server.stop()
        self.server.start()

    def text(self, path: str) -> str:
        return (self.raddb / path).read_text()

    def append(self, path: str, text: str) -> None:
        (self.raddb / path).write_text(self.text(path) + text)

    def replace(self, path: str, before: str, after: str) -> None:
        text = self.text(path)
        assert before in text
        (self.raddb / path).write_text(text.replace(before, after))

    def state(self) -> dict:
        """Every file and link of the folder, with its content, owner and mode."""
        return {
            str(path.relative_to(self.raddb)): path.readlink()
            if path.is_symlink()
            else (path.read_bytes(), path.stat().st_mode, path.stat().st_uid, path.stat().st_gid)
            for path in self.raddb.rglob("*")
            if path.is_symlink() or path.is_file()
        }

    def recorded(self) -> str:
        """What the site's own accounting has recorded."""
        folder = self.server.log_file.parent / "radacct"
        return "".join(path.read_text() for path in sorted(folder.rglob("detail-*")))

    def _give_ports(self, inner_port: int) -> None:
        path = self.raddb / "sites-available" / "default"

        def changed(found: re.Match) -> str:
            section = found[0]
            # A machine without IPv6 cannot open the sections for it.
            if re.search(r"(?m)^\s*ipv6addr", section):
                return ""
            port = self.auth_port if re.search(r"(?m)^\s*type = auth", section) else self.acct_port
            section = re.sub(r"(?m)^(\s*)port = 0", rf"\g<1>port = {port}", section)
            return re.sub(r"(?m)^(\s*)ipaddr = \*", r"\1ipaddr = 127.0.0.1", section)

        path.write_text(re.sub(r"(?ms)^listen \{\n.*?^\}\n", changed, path.read_text()))
        self.replace("sites-available/inner-tunnel", "port = 18120", f"port = {inner_port}")

    def _give_certificate(self) -> None:
        # Where tests.eap_device looks for the authority.
        folder = self.raddb / "certs" / "prepaid"
        folder.mkdir(parents=True)
        for name, content in certificates("radius.provider.example").items():
            (folder / name).write_bytes(content)
        eap = "mods-available/eap"
        self.replace(eap, "/etc/ssl/private/ssl-cert-snakeoil.key", str(folder / "server.key"))
        self.replace(eap, "/etc/ssl/certs/ssl-cert-snakeoil.pem", str(folder / "server.pem"))
        self.replace(eap, "/etc/ssl/certs/ca-certificates.crt", str(folder / "ca.pem"))
