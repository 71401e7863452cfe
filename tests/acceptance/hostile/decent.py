"""A module that behaves: every PIN is 0123456789, every login gets ten minutes.  The hostile ones change one function."""

import radiusd

PIN = "0123456789"
# That there was a PIN to prove; only our own module has more in it.
MARK = ("Tmp-String-6", ":=", "read")
LIMITS = (("Session-Timeout", ":=", "600"), ("Class", "+=", "0x0102"), ("Class", "+=", "0x0304"))


def instantiate(packet):
    return 0


def authorize(packet):
    return radiusd.RLM_MODULE_UPDATED, (), (("Cleartext-Password", ":=", PIN), MARK)


def post_auth(packet):
    return radiusd.RLM_MODULE_UPDATED, LIMITS, counted(len(LIMITS))


def login_refused(packet):
    radiusd.radlog(radiusd.L_INFO, f"noted: a wrong PIN for {user(packet)}")
    return radiusd.RLM_MODULE_OK, (("Reply-Message", ":=", "Card or PIN is wrong."),), ()


def accounting(packet):
    return radiusd.RLM_MODULE_UPDATED


def client(packet):
    """127.0.8.0/24 is unknown, 127.0.9.0/24 need not sign, 127.0.0.1 has a secret of its own."""
    address = dict(packet)["Tmp-String-0"]
    if address.startswith("127.0.8."):
        return radiusd.RLM_MODULE_NOTFOUND
    return (
        radiusd.RLM_MODULE_OK,
        (),
        (
            ("FreeRADIUS-Client-Secret", ":=", "of localhost" if address == "127.0.0.1" else "testing123"),
            ("FreeRADIUS-Client-Shortname", ":=", address),
            ("FreeRADIUS-Client-Require-MA", ":=", "no" if address.startswith("127.0.9.") else "yes"),
        ),
    )


def whose(packet):
    return radiusd.RLM_MODULE_OK


def detach(packet):
    return 0


def user(packet):
    return dict(packet)["User-Name"]


def counted(pairs_count):
    return (("Tmp-Integer-7", ":=", str(pairs_count)),)
