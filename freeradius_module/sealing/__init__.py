"""How PINs and NAS secrets are drawn, sealed and opened, and the key file."""
