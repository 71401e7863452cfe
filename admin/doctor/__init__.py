"""prepaid doctor: the whole installation, checked."""
