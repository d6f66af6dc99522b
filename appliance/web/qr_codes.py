"""QR codes as SVG that stands in the page, so that no address with a secret is fetched for them."""

from __future__ import annotations

from markupsafe import Markup


def qr_svg(text: str, *, title: str = "") -> Markup:
    """The code, black on white in dark pages too, for cameras; its class is `qr`."""
    # Loaded when the first code is drawn: most of a hub's life there are none.
    import segno

    code = segno.make(text, error="m", micro=False)
    drawn = code.svg_inline(
        border=4, dark="#000", light="#fff", omitsize=True, svgclass="qr", lineclass=None,
        title=title or None,
    )  # fmt: skip
    # segno escapes the title; all else is numbers.
    return Markup(drawn)  # noqa: S704
