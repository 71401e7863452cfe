"""The office's side of prepaid cards: the command `prepaid`.

Start at cli.py, which names every command's file.  A command asks, does and tells; the SQL is in
the store*.py files, the connection in office.py, what is printed in output.py, what is refused in errors.py.
"""
