"""prepaid report: the sums of the books, on a screen, in a file, on a page."""
