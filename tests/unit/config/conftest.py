"""Property tests here read YAML again and again, which is slow on a busy machine: fewer,
unhurried."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("config", deadline=None, max_examples=40)
settings.load_profile("config")
