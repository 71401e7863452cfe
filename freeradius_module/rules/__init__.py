"""What the rules of the trade say: values in, values out; no database, no packet."""
