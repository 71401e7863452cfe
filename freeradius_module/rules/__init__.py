"""The rules of prepaid cards as pure functions: values in, values out; no database, no packet."""
