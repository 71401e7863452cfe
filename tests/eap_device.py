"""A device that logs in by EAP: eapol_test, the test program of wpa_supplicant (Debian: eapoltest)."""

import re
import shutil
import subprocess
from pathlib import Path

IS_INSTALLED = bool(shutil.which("eapol_test"))
NAS = "127.0.0.2"
DEVICE = "02-00-5E-10-00-EA"

METHODS = {
    "TTLS/PAP": ("eap=TTLS", 'phase2="auth=PAP"'),
    "TTLS/CHAP": ("eap=TTLS", 'phase2="auth=CHAP"'),
    "TTLS/MSCHAPv2": ("eap=TTLS", 'phase2="auth=MSCHAPV2"'),
    "TTLS/EAP-MSCHAPv2": ("eap=TTLS", 'phase2="autheap=MSCHAPV2"'),
    "TTLS/EAP-MD5": ("eap=TTLS", 'phase2="autheap=MD5"'),
    "PEAP/MSCHAPv2": ("eap=PEAP", 'phase2="auth=MSCHAPV2"'),
    "MD5": ("eap=MD5",),
}


class Answer:
    """The server's last answer ("silence" if there was none), and its attributes."""

    def __init__(self, output: str):
        self.output = output
        codes = re.findall(r"RADIUS message: code=\d+ \(([\w-]+)\)", output)
        # eapol_test also prints what it sends.
        is_silent = "EAPOL test timed out" in output or not codes or codes[-1] == "Access-Request"
        self.code = "silence" if is_silent else codes[-1]
        last = output.rpartition(f"({self.code})")[2]
        self.values = re.findall(r"Attribute \d+ \(([\w-]+)\) length=\d+\n\s+Value: (.*)", last)

    def __getitem__(self, name):
        (value,) = [value for found, value in self.values if found == name]
        return value

    @property
    def user_name(self) -> str:
        return self["User-Name"].strip("'")

    @property
    def class_values(self) -> list[bytes]:
        """eapol_test prints text as text, and other values in hexadecimal."""
        values = [value for name, value in self.values if name == "Class"]
        return [value[1:-1].encode() if value.startswith("'") else bytes.fromhex(value) for value in values]


def log_in(
    folder: Path,
    raddb: Path,
    auth_port: int,
    serial: str,
    pin: str,
    method: str,
    *,
    outer_name: str = "anonymous",
    patience_seconds: int = 10,
) -> Answer:
    """Log in at a server whose configuration is in `raddb`; the device trusts its certificate authority."""
    settings = [*METHODS[method], f'identity="{serial}"', f'password="{pin}"']
    if method == "MD5":
        settings += ["key_mgmt=IEEE8021X"]
    else:
        settings += [
            "key_mgmt=WPA-EAP",
            f'anonymous_identity="{outer_name}"',
            f'ca_cert="{raddb / "certs/prepaid/ca.pem"}"',
        ]
    config = folder / "eapol.conf"
    config.write_text("network={\n" + "\n".join(settings) + "\n}\n")
    done = subprocess.run(
        [
            "eapol_test",
            "-c",
            config,
            "-a",
            "127.0.0.1",
            "-p",
            str(auth_port),
            "-s",
            "testing123",
            "-A",
            NAS,
            "-M",
            DEVICE.replace("-", ":"),
            "-t",
            str(patience_seconds),
            *(["-n"] if method == "MD5" else []),
        ],
        capture_output=True,
        text=True,
        errors="replace",
    )
    return Answer(done.stdout)
