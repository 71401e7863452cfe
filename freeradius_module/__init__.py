"""Prepaid cards inside FreeRADIUS: decides every login and consumes credit.

Read hooks.py first: it is what FreeRADIUS calls.  It translates packets into plain values and hands
them to engine.py, which asks store.py for facts and login.py, usage.py and identity.py for judgement.
"""

SCHEMA_VERSION = 1
