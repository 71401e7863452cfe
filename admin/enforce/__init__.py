"""The enforcer: disconnects sessions that must be off.  Commands `prepaid enforce` and `prepaid disconnect`."""
