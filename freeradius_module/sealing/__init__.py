"""PINs and NAS secrets: how they are drawn, sealed and opened; and the key file."""
