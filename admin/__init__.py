"""The command `prepaid`, with which the office manages prepaid cards.

Start at cli.py, which names the file of every command.  The SQL is in store/; what all commands share (options, the
connection, output, errors) is in shell/.
"""
