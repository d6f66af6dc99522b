"""Where packages come from."""

from __future__ import annotations

from pathlib import Path

from appliance.config.schema import Config
from appliance.environments.network import package_network, pip_variables
from appliance.environments.records import Record, Records
from appliance.places import Places


def test_pips_settings_become_variables(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://index.example/simple\n"
        "extra-index-url =\n  https://one.example\n  https://two.example\n[install]\ntimeout = 9\n"
    )
    broken = tmp_path / "broken.conf"
    broken.write_text("index-url = x\n")
    assert pip_variables([file, broken, tmp_path / "none"]) == {
        "PIP_INDEX_URL": "https://index.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://one.example https://two.example",
        "PIP_TIMEOUT": "9",
    }


def test_the_appliances_proxy_counts_and_the_callers_more(tmp_path: Path) -> None:
    config = Config.model_validate({"network": {"proxy": "http://proxy.example:3128"}})
    places = Places.of_trial(tmp_path)
    found = package_network(config, places, {"PIP_CONFIG_FILE": "/dev/null"})
    assert found["https_proxy"] == "http://proxy.example:3128"
    found = package_network(config, places, {"https_proxy": "http://other.example"})
    assert found["https_proxy"] == "http://other.example"
    # Whichever spelling the caller has, no program finds the other proxy by the other one.
    found = package_network(config, places, {"HTTPS_PROXY": "http://other.example"})
    assert found["https_proxy"] == found["HTTPS_PROXY"] == "http://other.example"


def test_the_appliances_authorities_count_more_than_the_systems(tmp_path: Path) -> None:
    config = Config.model_validate({"network": {"ca_file": "/etc/ssl/school-ca.pem"}})
    places = Places.of_trial(tmp_path)
    shell = dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt")
    found = package_network(config, places, shell)
    own = str(places.rendered / "authorities.pem")
    assert found["PIP_CERT"] == found["SSL_CERT_FILE"] == own
    # uv knows nothing of the system's by itself.
    found = package_network(None, places, {"SSL_CERT_FILE": "/etc/shell.pem"})
    assert found["SSL_CERT_FILE"] == "/etc/shell.pem"


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    records = Records(Places.of_trial(tmp_path))
    record = Record("data", "numpy\n", "numpy==2.0\n", "Data", "/usr/bin/python3")
    records.write(record)
    assert records.read("data") == record
    assert records.names() == ["data"]
    records.delete("data")
    assert records.names() == []
    assert records.read("") == Record()
