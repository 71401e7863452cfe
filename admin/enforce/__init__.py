"""Sessions that have to end: prepaid enforce, prepaid disconnect, and the requests of RFC 5176."""
