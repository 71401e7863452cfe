"""The tests, and the private stack that they and `make up` run on."""
