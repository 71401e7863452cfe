"""The error of the private stack."""


class StackError(Exception):
    """A message that says which step failed, on what, and what to do next."""
