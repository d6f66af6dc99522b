"""How commands, findings and messages of root's programs write sizes.

Pages have their own way, in the reader's language (web/formats.py). Limits are written so that they
can be typed in again (`size_text` in limits.py, `format_size` in config/setting.py).
"""

from __future__ import annotations


def short_size(number: float) -> str:
    """Bytes to about three digits, in units of 1024, as df -h writes them: 312M, 1.5G."""
    for unit in ("B", "K", "M", "G"):
        if number < 1000:
            return f"{number:.3g}{unit}"
        number /= 1024
    return f"{number:.3g}T"
