"""The accounting queue: its files, prepaid charge and prepaid queue."""
