"""Decides logins and charges accounting, for many requests at a time."""
