"""The accounting queue: its files, and the commands `prepaid charge` and `prepaid queue`."""
