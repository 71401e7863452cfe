"""A private authority and a server certificate for EAP, for an installation that has none yet; good for a trial."""

import datetime

CERTIFICATE_DAYS = 5 * 365


def certificates(host: str) -> dict[str, bytes]:
    """server.pem, server.key and ca.pem.  The authority's own key is forgotten: it signs nothing else."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.datetime.now(datetime.UTC)

    def named(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])

    def certificate(subject, key, issuer):
        return (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=CERTIFICATE_DAYS))
        )

    authority_name = "prepaid cards, trial authority"
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = (
        certificate(authority_name, authority_key, authority_name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    server = (
        certificate(host, server_key, authority_name)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return {
        "ca.pem": authority.public_bytes(pem),
        "server.key": server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        # The last one: a folder that has it is complete.
        "server.pem": server.public_bytes(pem) + authority.public_bytes(pem),
    }
