"""Prepaid cards inside FreeRADIUS: decides every login and consumes credit.

Read hooks.py first: FreeRADIUS calls it.  It translates packets into plain values and gives them to the engine/, which
reads facts from the database through the store/ and decides by the rules/.
"""

SCHEMA_VERSION = 1
