"""A process ends after its threads: none of them may use a library of C while the process frees it."""

import ast
import socket
import threading
from pathlib import Path

from prometheus_client import CollectorRegistry

from admin.metrics import listener

CHECKOUT = Path(__file__).parents[2]
# Python does not wait for a daemon thread at the end of the process.
DAEMONS = {
    "admin/export/seal.py"  # `sealing` joins it, whatever happens in its block
}


def test_no_thread_is_a_daemon():
    found = set()
    for folder in ("admin", "freeradius_module"):
        for path in (CHECKOUT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = (
                    [keyword.arg for keyword in node.keywords if not _is_false(keyword.value)]
                    if isinstance(node, ast.Call)
                    else [ast.unparse(target) for target in node.targets if not _is_false(node.value)]
                    if isinstance(node, ast.Assign)
                    else []
                )
                if any(name and name.rpartition(".")[2] in ("daemon", "daemon_threads") for name in names):
                    found.add(str(path.relative_to(CHECKOUT)))
    assert found == DAEMONS


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def test_the_page_of_metrics_ends_with_its_threads(tmp_path):
    """A reader that sends nothing is not waited for."""
    before = set(threading.enumerate())
    place = listener.Place(path=tmp_path / "metrics")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as reader:
        reader.settimeout(60)
        with listener.serving(CollectorRegistry(), place):
            reader.connect(str(place.path))
            reader.sendall(b"GET /metrics HTTP/1.1\r\n")
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
                other.settimeout(60)
                other.connect(str(place.path))
                other.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                # Readers are taken in the order in which they came.
                assert other.recv(8) == b"HTTP/1.0"
            assert set(threading.enumerate()) - before
        assert set(threading.enumerate()) <= before
        assert reader.recv(1) == b""
