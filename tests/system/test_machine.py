"""The machine itself: what the other tests here rely on."""

from tests.system.provider import Provider


def test_a_provider_is_served_on_a_machine_that_was_just_booted(machine):
    assert machine.failed_units() == []
    assert machine.run("systemctl is-active freeradius mariadb").stdout.split() == ["active", "active"]
    with Provider(machine) as provider:
        machine.run("sleep 1")
        served = provider.take()
    assert served.requests > 10
    assert (served.repeated, served.unanswered, served.wrong) == (0, 0, 0)


def test_files_survive_a_reboot_and_a_customer_without_server_is_counted(machine):
    machine.write("/srv/note", "kept\n")
    with Provider(machine) as provider:
        machine.reboot()
        machine.run("systemctl stop freeradius")
        provider.take()
        machine.run("sleep 10")
        served = provider.take()
    assert machine.read("/srv/note") == "kept\n"
    assert served.unanswered > 0


def test_it_reaches_the_network(machine):
    machine.run("apt-get --quiet update")
