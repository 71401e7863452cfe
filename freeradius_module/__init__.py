"""Prepaid cards inside FreeRADIUS: decides every login and consumes credit.

Start with hooks.py, the functions that FreeRADIUS calls.  They translate packets into plain values and pass them to
engine/, which reads facts from store/ and decides by rules/ (login, usage, identity).
"""

SCHEMA_VERSION = 1
