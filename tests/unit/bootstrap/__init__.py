"""Tests of bootstrap.py."""
