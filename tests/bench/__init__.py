"""The bench: this project, FreeRADIUS' own SQL modules and the ceilings of the server, side by side."""
