"""What Prometheus reads: the engine's counts, and what the database and the queue know.

engine      the engine's counts as metrics
listener    serves them on loopback or a Unix socket, for `prepaid engine`
database    cards, sessions, queues and runs, read once
command     prepaid metrics: the same as text, or a file for node_exporter
"""
