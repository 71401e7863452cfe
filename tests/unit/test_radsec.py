"""The certificates of RadSec: what an installation refuses, and what `raddb check` and `doctor` name."""

import datetime
import os
import re
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from admin.doctor import certificates
from admin.freeradius import radsec
from admin.freeradius.files import Tls
from admin.shell.errors import OfficeError
from tests.authority import Authority

VERSION = (3, 2, 7)
NOTHING = {"wanted": None, "port": None, "certificate": None, "key": None, "ca": None}


@pytest.fixture
def authority(tmp_path):
    authority = Authority(tmp_path / "ca", "Provider CA")
    authority.issue("radius.example.net")
    return authority


@pytest.fixture
def files(authority):
    return {
        "certificate": str(authority.folder / "radius.example.net.pem"),
        "key": str(authority.folder / "radius.example.net.key"),
        "ca": str(authority.path),
    }


def given(files, **changes):
    return {**NOTHING, "wanted": True, **files, **changes}


def test_the_commands_of_the_page_make_files_that_are_right(tmp_path):
    page = (Path(__file__).resolve().parents[2] / "docs" / "radsec.md").read_text()
    commands = page.partition("## 2. The server")[0]
    blocks = re.findall(r"(?ms)^```bash\n(.*?)^```", commands)
    assert len(blocks) == 3
    done = subprocess.run(
        ["bash", "-euc", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "radsec-ca"
    (folder / "radius.example.net.key").chmod(0o640)
    made = {
        "certificate": str(folder / "radius.example.net.crt"),
        "key": str(folder / "radius.example.net.key"),
        "ca": str(folder / "ca.pem"),
    }
    assert what_is_wrong(made) == {}
    assert x509.load_pem_x509_certificate((folder / "hotspot-praia.crt").read_bytes()).subject.rfc4514_string() == (
        "CN=hotspot-praia"
    )


def test_what_is_chosen_is_remembered_and_can_be_taken_back(files):
    tls = radsec.chosen(given(files, port=12083), None, VERSION)
    assert tls == Tls(12083, **files)
    assert radsec.chosen(NOTHING, tls._asdict(), VERSION) == tls
    assert radsec.chosen({**NOTHING, "port": 2083}, tls._asdict(), VERSION) == tls._replace(port=2083)
    assert radsec.chosen({**NOTHING, "wanted": False}, tls._asdict(), VERSION) is None
    assert radsec.chosen(NOTHING, None, (3, 2, 1)) is None


@pytest.mark.parametrize(
    ("changes", "version", "sentence"),
    [
        ({"wanted": None}, VERSION, "--tls-certificate belongs to --tls"),
        ({}, (3, 2, 6), "--tls needs FreeRADIUS 3.2.7; this is 3.2.6"),
        ({"key": None}, VERSION, "--tls needs --tls-key FILE"),
        ({"ca": "/nowhere/ca.pem"}, VERSION, r"/nowhere/ca.pem: cannot be read \(No such file"),
    ],
)
def test_what_cannot_serve_is_refused(files, changes, version, sentence):
    with pytest.raises(OfficeError, match=sentence):
        radsec.chosen(given(files, **changes), None, version)


def what_is_wrong(files, user=None) -> dict[str, str]:
    return {Path(row["path"]).name: row["what"] for row in radsec.problems(Tls(2083, **files), user)}


def test_good_files_have_no_problem(files):
    assert what_is_wrong(files) == {}


def test_a_key_of_another_certificate(authority, files):
    _certificate, files["key"] = map(str, authority.issue("another"))
    assert "is not the key of" in what_is_wrong(files)["another.key"]


def test_a_key_that_every_account_can_read(files):
    os.chmod(files["key"], 0o644)
    assert what_is_wrong(files) == {
        "radius.example.net.key": f"Every account can read the key. Run: chmod o= {files['key']}"
    }


def test_a_key_that_freeradius_may_not_read(files):
    (what,) = {"radius.example.net.key": what_is_wrong(files, "nobody")["radius.example.net.key"]}.values()
    assert what.startswith("FreeRADIUS runs as nobody, who may not read it.")


def test_a_certificate_that_has_ended(authority, files):
    files["certificate"], files["key"] = map(str, authority.issue("old", days=-1))
    assert "The certificate ended on" in what_is_wrong(files)["old.pem"]


def test_an_authority_without_a_list_of_revoked_certificates(authority, files):
    authority.write(with_list=False)
    assert "There is no list of revoked certificates (CRL) of CN=Provider CA" in what_is_wrong(files)["ca.pem"]


def test_a_list_of_revoked_certificates_that_has_ended(authority, files):
    authority.write(list_days=-1)
    assert "so every NAS is refused" in what_is_wrong(files)["ca.pem"]


def test_a_list_of_revoked_certificates_of_an_authority_that_was_replaced(authority, files, tmp_path):
    old_list = authority.path.read_bytes().partition(b"-----BEGIN X509 CRL-----")[1:]
    new = Authority(tmp_path / "new", "Provider CA")
    authority.path.write_bytes(new.certificate.public_bytes(serialization.Encoding.PEM) + b"".join(old_list))
    assert "signed with another key, so every NAS is refused" in what_is_wrong(files)["ca.pem"]


def test_a_damaged_list_of_revoked_certificates(authority, files):
    text = authority.path.read_bytes()
    authority.path.write_bytes(text.replace(b"-----BEGIN X509 CRL-----\n", b"-----BEGIN X509 CRL-----\nAAAA"))
    assert "is damaged" in what_is_wrong(files)["ca.pem"]
    now = datetime.datetime.now(datetime.UTC)
    (finding,) = certificates._ends(authority.path, authority.path.read_bytes(), now)
    assert finding.state == "fault" and "damaged list of revoked certificates" in finding.detail


def test_doctor_warns_a_month_before_the_list_ends(authority):
    now = datetime.datetime.now(datetime.UTC)
    authority.write(list_days=40)
    assert list(certificates._ends(authority.path, authority.path.read_bytes(), now)) == []
    authority.write(list_days=30)
    (finding,) = certificates._ends(authority.path, authority.path.read_bytes(), now)
    assert finding.state == "look" and f"{now + datetime.timedelta(days=30):%Y-%m-%d}" in finding.detail
    authority.write(list_days=-1)
    (finding,) = certificates._ends(authority.path, authority.path.read_bytes(), now)
    assert finding.state == "fault"
