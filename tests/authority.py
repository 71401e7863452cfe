"""A certificate authority for tests: certificates for a server and for NAS, and the list of revoked ones.

authority = Authority(folder, "Provider CA")
authority.issue("hotspot-centro")        # hotspot-centro.pem and hotspot-centro.key in the folder
authority.revoke("hotspot-centro")       # ca.pem has the authority and its new list
"""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM
DAY = datetime.timedelta(days=1)


class Authority:
    def __init__(self, folder: Path, name: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.path = folder / "ca.pem"
        self._name = _named(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._issued: dict[str, x509.Certificate] = {}
        self._revoked: list[x509.Certificate] = []
        self.certificate = (
            self._builder(self._name, self._key.public_key(), 10 * 365)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.write()

    def issue(self, name: str, days: int = 365) -> tuple[Path, Path]:
        """The files of a certificate with this common name, and of its key; negative `days`: it has ended."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(_named(name), key.public_key(), days)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self._issued[name] = certificate
        paths = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(PEM))
        paths[1].write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        paths[1].chmod(0o600)
        return paths

    def revoke(self, name: str) -> None:
        self._revoked.append(self._issued[name])
        self.write()

    def write(self, list_days: int = 30, with_list: bool = True) -> None:
        """The authority's file: its certificate and its list, which ends after so many days."""
        now = datetime.datetime.now(datetime.UTC)
        end = now + list_days * DAY
        revoked = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        revoked = revoked.last_update(min(now, end) - DAY).next_update(end)
        for certificate in self._revoked:
            one = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
            revoked = revoked.add_revoked_certificate(one.revocation_date(now - DAY).build())
        parts = [self.certificate.public_bytes(PEM)]
        if with_list:
            parts.append(revoked.sign(self._key, hashes.SHA256()).public_bytes(PEM))
        self.path.write_bytes(b"".join(parts))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + min(0, days) * DAY - DAY)
            .not_valid_after(now + days * DAY)
        )


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
