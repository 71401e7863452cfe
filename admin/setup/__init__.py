"""prepaid setup: puts the whole product on a provider's machine, and takes it out again."""
