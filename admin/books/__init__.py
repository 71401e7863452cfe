"""Checks of the books: `prepaid audit` finds changed history, `prepaid reconcile` sums that disagree."""
