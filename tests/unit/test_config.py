"""Settings: three sources in order, each relation with its message, no secret in any text."""

import math
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from ingest.config import ElasticsearchSettings, Settings, load, settings_table
from ingest.errors import ConfigError

SECRET = "s3cret-value"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("INGEST_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ingest.toml"


def complaint(options: dict[str, Any], file: Path | None = None) -> str:
    with pytest.raises(ConfigError) as error:
        load(options, file)
    return str(error.value)


def test_defaults_are_valid() -> None:
    settings = load({})
    assert settings.elasticsearch.is_embedded
    assert settings.listen_address == ("127.0.0.1", 9280)
    assert settings.admin_address == ("127.0.0.1", 9281)
    assert settings.data_dir == Path("data")
    assert settings.workers >= 1
    assert settings.max_document_bytes < settings.buffer_bytes <= settings.flush_bytes


# Precedence


def test_command_line_over_environment_over_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('ack = "indexed"\nworkers = 3\nlisten = "h:3"\nflush_interval_s = 3')
    monkeypatch.setenv("INGEST_WORKERS", "2")
    monkeypatch.setenv("INGEST_LISTEN", "h:2")
    settings = load({"listen": "h:1"}, file)
    assert (settings.listen, settings.workers, settings.ack) == ("h:1", 2, "indexed")
    assert settings.flush_interval_s == 3


HOSTS = ["http://a:9200", "https://b:9200"]


def test_elasticsearch_is_short_for_its_hosts(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    text = ",".join(HOSTS)
    assert load({"elasticsearch": text}).elasticsearch.hosts == HOSTS
    file.write_text(f'elasticsearch = "{text}"')
    assert load({}, file).elasticsearch.hosts == HOSTS
    monkeypatch.setenv("INGEST_ELASTICSEARCH", text)
    assert load({}).elasticsearch.hosts == HOSTS


def password_of(settings: Settings) -> str | None:
    password = settings.elasticsearch.password
    return None if password is None else password.get_secret_value()


def test_nested_settings_come_from_each_source(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    file.write_text('[elasticsearch]\nhosts = ["http://file"]\nusername = "file"')
    monkeypatch.setenv("INGEST_ELASTICSEARCH__PASSWORD", SECRET)
    monkeypatch.setenv("INGEST_ELASTICSEARCH__REQUEST_TIMEOUT_S", "7.5")
    settings = load({"elasticsearch": "http://option"}, file)
    assert settings.elasticsearch.hosts == ["http://option"]
    assert settings.elasticsearch.username == "file"
    assert settings.elasticsearch.request_timeout_s == 7.5
    assert password_of(settings) == SECRET


def test_hosts_in_the_environment_leave_its_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_ELASTICSEARCH", "http://environment")
    monkeypatch.setenv("INGEST_ELASTICSEARCH__PASSWORD", SECRET)
    settings = load({})
    assert settings.elasticsearch.hosts == ["http://environment"]
    assert password_of(settings) == SECRET


def test_hosts_in_the_environment_leave_the_files_other_keys(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    file.write_text(f'[elasticsearch]\nhosts = ["http://file"]\npassword = "{SECRET}"')
    monkeypatch.setenv("INGEST_ELASTICSEARCH", "http://environment")
    settings = load({}, file)
    assert settings.elasticsearch.hosts == ["http://environment"]
    assert password_of(settings) == SECRET


def test_hosts_in_the_environment_may_be_a_json_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_ELASTICSEARCH__HOSTS", '["http://a", "http://b"]')
    assert load({}).elasticsearch.hosts == ["http://a", "http://b"]


def test_routes_come_from_the_file_or_as_json(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    file.write_text(
        '[[routes]]\nname = "a"\nwhen = "named"\ntarget = "x"\n[[routes]]\ntarget = "y"'
    )
    assert [route.target for route in load({}, file).routes] == ["x", "y"]
    monkeypatch.setenv("INGEST_ROUTES", '[{"target":"z"}]')
    assert [route.target for route in load({}, file).routes] == ["z"]


# Complaints

MiB = 1 << 20
BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"max_document_bytes": 2 * MiB},
        "max_document_bytes (2097152) must be less than buffer_bytes",
    ),
    ({"buffer_bytes": 5 * MiB}, "buffer_bytes (5242880) must be at most flush_bytes (4194304)"),
    (
        {"flush_bytes": 100 * MiB, "max_pending_bytes": 200 * MiB},
        "flush_bytes (104857600) must be less than Elasticsearch's own limit of 104857600",
    ),
    ({"max_pending_bytes": 3 * MiB}, "max_pending_bytes (3145728) must be at least flush_bytes"),
    ({"workers": 0}, "workers: "),
    ({"workers": -1}, "workers: "),
    ({"workers": "many"}, "workers: "),
    ({"max_in_flight": 0}, "max_in_flight: "),
    ({"flush_interval_s": 0}, "flush_interval_s: "),
    ({"drain_s": math.nan}, "drain_s: "),
    ({"drain_s": math.inf}, "drain_s: "),
    ({"ack": "never"}, "ack: "),
    ({"log_format": "xml"}, "log_format: "),
    ({"listen": "9280"}, "listen: '9280' is not HOST:PORT"),
    ({"listen": ":9280"}, "listen: ':9280' is not HOST:PORT"),
    ({"admin": "host:"}, "admin: 'host:' is not HOST:PORT"),
    ({"admin": "host:65536"}, "admin: 'host:65536' is not HOST:PORT"),
    ({"admin": "host:-1"}, "admin: 'host:-1' is not HOST:PORT"),
    ({"elasticsearch": "localhost:9200"}, "'localhost:9200' is not a URL; write http://HOST:PORT"),
    ({"elasticsearch": ""}, "'' is not a URL"),
    ({"elasticsearch": "embedded,http://a"}, "'embedded' can not be mixed with other hosts"),
    ({"elasticsearch": {"hosts": []}}, "elasticsearch"),
    (
        {"elasticsearch": {"password": "a", "password_file": "b"}},
        "password or password_file, not both",
    ),
    ({"elasticsearch": {"api_key": "a", "api_key_file": "b"}}, "api_key or api_key_file, not both"),
    ({"elasticsearch": {"request_timeout_s": 0}}, "elasticsearch.request_timeout_s: "),
    ({"elasticsearch": {"user": "x"}}, "elasticsearch.user: Extra inputs are not permitted"),
    ({"admin_token": ""}, "admin_token: "),
    ({"bufer_bytes": 1}, "bufer_bytes: Extra inputs are not permitted"),
    ({"routes": [{"target": "x", "wen": {}}]}, "routes"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[case[1][:40] for case in BAD])
def test_what_can_not_work_is_named(options: dict[str, Any], message: str) -> None:
    assert message in complaint(options)


def test_relations_hold_at_their_bounds() -> None:
    settings = load(
        {
            "max_document_bytes": 4 * MiB - 1,
            "buffer_bytes": 4 * MiB,
            "flush_bytes": 4 * MiB,
            "max_pending_bytes": 4 * MiB,
        }
    )
    assert settings.buffer_bytes == 4 * MiB


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("bufer_bytes = 1", "bufer_bytes: Extra inputs are not permitted"),
        ("[elasticsearch]\nuser = 1", "elasticsearch.user: Extra inputs are not permitted"),
        ("workers = 0", "workers: "),
        ('[[routes]]\ntarget = "x"\n[[routes]]\ntarget = "y"', "routes[1].when: can never hold"),
        ("workers = ", "not valid TOML"),
        ("\xff", "not valid TOML"),
    ],
)
def test_a_complaint_about_the_file_names_it(file: Path, content: str, message: str) -> None:
    file.write_bytes(content.encode("latin-1"))
    text = complaint({}, file)
    assert text.startswith(f"{file}: ")
    assert message in text


def test_a_missing_file_is_named(file: Path) -> None:
    assert str(file) in complaint({}, file)


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("INGEST_WORKERS", "", "workers"),
        ("INGEST_WORKERS", "x", "workers"),
        ("INGEST_BUFFER_BYTES", "2MiB", "buffer_bytes"),
        ("INGEST_CLIENT_INDEX", "perhaps", "client_index"),
        ("INGEST_ELASTICSEARCH__USER", "x", "elasticsearch.user"),
        ("INGEST_ROUTES", "no json", "routes"),
        ("INGEST_ELASTICSEARCH__HOSTS", "http://a", "elasticsearch"),
    ],
)
def test_a_bad_variable_is_a_complaint(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, key: str
) -> None:
    monkeypatch.setenv(name, value)
    assert key in complaint({})


# Secrets


def test_secrets_stay_out_of_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_ELASTICSEARCH__API_KEY", SECRET)
    settings = load({"elasticsearch": {"password": SECRET}})
    assert (
        SECRET
        not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"elasticsearch": {"password": SECRET, "password_file": "x"}},
        {"elasticsearch": {"passwort": SECRET}},
        {"elasticsearch": {"password": [SECRET]}},
        {"elasticsearch": {"password": SECRET}, "workers": 0},
    ],
)
def test_secrets_stay_out_of_complaints(options: dict[str, Any]) -> None:
    assert SECRET not in complaint(options)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    text = complaint({"elasticsearch": f"http://elastic:{SECRET}@host:9200"})
    assert "give username and password apart" in text
    assert SECRET not in text


def test_settings_travel_to_workers_with_their_secrets() -> None:
    settings = load({"elasticsearch": {"password": SECRET}, "workers": 3})
    received = pickle.loads(pickle.dumps(settings))
    assert received == settings
    assert password_of(received) == SECRET


# The README's table


def test_the_table_tells_of_every_setting() -> None:
    rows = settings_table().splitlines()
    keys = {row.split("`")[1] for row in rows[2:]}
    nested = {f"elasticsearch.{key}" for key in ElasticsearchSettings.model_fields}
    assert keys == nested | (set(Settings.model_fields) - {"elasticsearch"})
    for row in rows:
        cells = row.strip("|").split(" | ")
        assert len(cells) == 3
        assert all(cell.strip() not in ("", "None") for cell in cells)


def test_the_table_shows_sizes_for_people() -> None:
    table = settings_table()
    assert "| `buffer_bytes` | `2097152` (2 MiB) |" in table
    assert "| `client_index` | `true` |" in table
    assert "Undefined" not in table
