"""How FreeRADIUS ends: a unit that ends by a signal is a failed unit to systemd, at every stop and every restart."""

import signal

import pytest

from tests.office import Office
from tests.radius_client import RadiusClient
from tests.stack import FreeRadius, free_ports
from tests.waiting import engine_listens


@pytest.fixture
def serve(stack, tmp_path, request):
    """Starts a FreeRADIUS of its own on the stack's database, with these lines in the option file's group [prepaid]."""

    def serve(*lines: str) -> tuple[FreeRadius, RadiusClient]:
        option_file = tmp_path / "prepaid.cnf"
        option_file.write_text(
            stack.option_file.read_text().replace("[prepaid]\n", "\n".join(("[prepaid]", *lines)) + "\n")
        )
        auth_port, acct_port = free_ports(2)
        server = FreeRadius(tmp_path, auth_port=auth_port, acct_port=acct_port, dies_with_parent=True)
        server.copy_distribution()
        Office(option_file).must(
            "raddb", "install", "--dir", server.raddb, "--listen", "127.0.0.1",
            "--auth-port", auth_port, "--acct-port", acct_port,
        )  # fmt: skip
        server.start()
        request.addfinalizer(server.stop)
        return server, RadiusClient(auth_port, acct_port)

    return serve


def use(nas: RadiusClient, card) -> None:
    accepted = nas.login(card.serial, card.pin)
    assert accepted.is_accept
    assert nas.start(nas.session(card.serial, accepted)).is_acknowledged


def test_a_server_that_has_served_ends_in_order(serve, shop):
    """3.2.1 aborts in Py_FinalizeEx where the module has left a socket open."""
    (card,) = shop.sell(1)
    server, nas = serve()
    use(nas, card)
    server.stop()
    assert server.daemon.exit_status == 0


def test_a_server_that_shares_an_engine_ends_in_order(serve, shop, tmp_path, wait_until):
    (card,) = shop.sell(1)
    server, nas = serve(f"engine = {tmp_path}/engine")
    engine = Office(tmp_path / "prepaid.cnf").spawn("engine", "--json")
    try:
        wait_until(lambda: engine_listens(tmp_path / "engine"))
        use(nas, card)
    finally:
        engine.send_signal(signal.SIGTERM)
        counts, _ = engine.communicate(timeout=30)
    assert '"decided": 1' in counts
    server.stop()
    assert server.daemon.exit_status == 0
