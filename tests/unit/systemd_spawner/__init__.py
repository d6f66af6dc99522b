"""Tests of the spawner daemon's parts."""
