"""What the stack says when it cannot go on."""


class StackError(Exception):
    """One sentence: which step failed, on what, and what to do next."""
