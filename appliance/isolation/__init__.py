"""Tries whether users' servers are kept from each other and from the machine."""
