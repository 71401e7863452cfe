"""prepaid report: the sums of sales, usage and stock, on a screen, in a file, on a page."""
