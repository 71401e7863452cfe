"""What every command uses: options, the connection to the database, errors, output, the reader's language."""
