"""Makers of what is kept in git beside the code: the translations' template, the reference pages.  Not shipped."""
