"""What the doctor says of a hub that doesn't start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from appliance.config.rendered import HUB_FILE, dump_json
from appliance.config.schema import Config
from appliance.doctor import hub_layers
from appliance.places import Places


def test_a_database_that_is_gone_is_brought_back_or_begun_anew(tmp_path: Path) -> None:
    places = replace(Places.installed(), state=tmp_path)
    places.rendered.mkdir()
    (places.rendered / HUB_FILE).write_text(dump_json(Config(), secrets=True))
    walk: Any = SimpleNamespace(places=places)
    broken = hub_layers._why_not_started(walk)
    assert broken is not None
    assert broken.what == "the hub can't open its database"
    assert broken.why == f"there is no {tmp_path}/hub/hub.sqlite"
    assert "sudo appliance restore NAME" in broken.mend
    assert f"sudo mv {tmp_path}/hub {tmp_path}/hub.lost" in broken.mend
