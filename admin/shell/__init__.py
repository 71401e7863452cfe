"""What every command is made of: options, the office's connection, errors, output, the reader's language."""
