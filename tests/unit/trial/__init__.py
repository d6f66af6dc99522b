"""Tests of trial mode."""
