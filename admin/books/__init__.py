"""The books are as they were and add up: prepaid audit, prepaid reconcile."""
