"""Run the bench: python -m tests.bench --short"""

from .run import main

main()
