"""Decides logins and charges accounting, for many requests at a time; in FreeRADIUS' process, or in one of its own.

engine        the engine, which hooks.py calls
logins        decides logins
accounting    charges reports
catalogue     keeps products, NAS and the attributes that are built from them
reply         the attributes of an answer
read_mark     the mark by which post-auth knows that authorize has read the card
group         calls that wait at the same time share a run
group_commit  the same on a connection; what needs a locked row is tried again
server        the shared engine: its listeners
client        the shared engine as a FreeRADIUS process sees it
wire          the format of the messages between the two
"""
