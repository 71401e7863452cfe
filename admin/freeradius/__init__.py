"""FreeRADIUS' own directory: its files, its dictionaries, prepaid raddb."""
