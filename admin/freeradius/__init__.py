"""FreeRADIUS' directory: its files, its dictionaries, and the command `prepaid raddb`."""
