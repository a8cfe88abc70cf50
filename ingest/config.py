"""Every setting, once: type, default, unit (in the name), reason and memory price.

Command line over `INGEST_*` environment over a TOML file. The environment is read here, at the
edge, once; nothing else in the program looks at it. The README's table is generated from this
module (`make readme`).
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticUndefined
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from ingest.errors import ConfigError
from ingest.router.routes import Route, check_routes, key_of
from ingest.trimmer.field_rules import Oversize

KiB, MiB, GiB = 1 << 10, 1 << 20, 1 << 30
CLUSTER_BODY_BYTES_MAX = 100 * MiB  # Elasticsearch's http.max_content_length by default

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ElasticsearchSettings(BaseModel):
    """The cluster that documents are written to."""

    model_config = ConfigDict(extra="forbid")

    hosts: list[str] = Field(
        ["embedded"],
        min_length=1,
        description="URLs of the nodes, used in turn; `embedded` starts the engine that ships with "
        "the optional `noida-db` package, for trials",
    )
    username: str | None = Field(None, description="user name for basic authentication")
    password: SecretStr | None = Field(None, description="its password")
    password_file: Path | None = Field(None, description="a file that holds the password")
    api_key: SecretStr | None = Field(None, description="API key, encoded as Kibana shows it")
    api_key_file: Path | None = Field(None, description="a file that holds the API key")
    ca_file: Path | None = Field(None, description="PEM file of the authority that signed the cert")
    request_timeout_s: Seconds = Field(
        60, description="one bulk request may take this long; then it is sent again"
    )

    @property
    def is_embedded(self) -> bool:
        return self.hosts == ["embedded"]

    @model_validator(mode="after")
    def _check(self) -> "ElasticsearchSettings":
        if self.api_key and self.api_key_file:
            raise ValueError("give api_key or api_key_file, not both")
        if self.password and self.password_file:
            raise ValueError("give password or password_file, not both")
        for host in self.hosts:
            if host != "embedded" and not host.startswith(("http://", "https://")):
                raise ValueError(f"hosts: {host!r} is not a URL; write http://HOST:PORT")
            if "@" in host:
                raise ValueError(
                    "hosts: a URL is shown in places; give username and password apart"
                )
        if "embedded" in self.hosts and len(self.hosts) > 1:
            raise ValueError("hosts: 'embedded' can not be mixed with other hosts")
        return self


class Settings(BaseSettings):
    """All settings of `ingest serve`."""

    model_config = SettingsConfigDict(
        extra="forbid", env_prefix="INGEST_", env_nested_delimiter="__", validate_default=True
    )

    elasticsearch: Annotated[ElasticsearchSettings, NoDecode] = Field(
        default_factory=lambda: ElasticsearchSettings()
    )
    listen: str = Field("127.0.0.1:9280", description="where producers POST documents")
    admin: str = Field("127.0.0.1:9281", description="health, status and metrics")
    admin_token: SecretStr | None = Field(
        None,
        min_length=1,
        description="what /debug asks for as a Bearer token, unless on loopback without one",
    )
    workers: Positive = Field(
        default_factory=lambda: os.cpu_count() or 1,
        description="worker processes; each has its own buffers",
    )
    data_dir: Path = Field(
        Path("data"), description="the spool, dead letters, the embedded engine's data"
    )
    spool_quota_bytes: Positive = Field(
        20 * GiB, description="disk for the spools of all workers; beyond it, durable posts get 429"
    )
    spool_free_bytes_min: int = Field(
        1 * GiB, ge=0, description="what the spools leave free on their file system; 0: nothing"
    )
    spool_file_bytes: Positive = Field(
        64 * MiB, description="size of a spool file; freed when all in it is settled"
    )
    ack: Literal["memory", "durable", "indexed"] = Field(
        "durable", description="the ack level of requests that name none"
    )
    client_index: bool = Field(True, description="whether `?index=` may name the target")
    invalid_names: Literal["clean", "reject"] = Field(
        "clean",
        description="what is done with an index name made from data that is not allowed: made "
        "valid, or the document is rejected",
    )
    routes: list[Route] = Field([], description="`[[routes]]` tables, see “Routing rules”")

    mappings_dir: Path | None = Field(
        None, description="directory of index and component templates; default: those that ship"
    )
    apply_mappings: bool = Field(
        False, description="whether `serve` installs the templates at its start"
    )
    oversize: list[Oversize] = Field(
        [], description="`[[oversize]]` tables, see “Oversized fields”"
    )
    oversize_marker: str = Field(
        "ingest", description="object of a document that tells, in `oversize`, what was trimmed"
    )

    max_document_bytes: Positive = Field(
        1 * MiB, description="a longer line is refused, its neighbours are not"
    )
    buffer_bytes: Positive = Field(
        2 * MiB,
        description="one reused buffer; a JSON array must fit into one. Memory: times `buffers`, "
        "but only what was ever filled is resident",
    )
    buffers: Positive = Field(
        16, description="buffers of a worker = bodies that are being read at the same time"
    )
    max_pending_bytes: Positive = Field(
        48 * MiB,
        description="encoded and not yet delivered, a worker, with 1 KiB for each post; beyond it, "
        "senders wait",
    )
    buffer_wait_s: Seconds = Field(
        2, description="how long a sender waits for a buffer or for room before 429"
    )
    max_body_bytes: Positive = Field(
        1024 * GiB, description="bytes of one body after decompression"
    )
    max_decompression_ratio: Positive = Field(
        250, description="decompressed to compressed bytes, looked at beyond 1 MiB"
    )
    min_body_bytes_per_s: Positive = Field(
        1 * KiB, description="a slower sender gives its buffer up (408)"
    )
    body_grace_s: Seconds = Field(10, description="from when on `min_body_bytes_per_s` is asked")
    keep_alive_s: Seconds = Field(75, description="an idle connection is closed after this")
    max_connections: Positive = Field(
        10_000, description="open connections of a worker; more are answered 503 and closed"
    )

    flush_bytes: Positive = Field(
        4 * MiB, description="size of a bulk request; memory: times `max_in_flight`"
    )
    flush_documents: Positive = Field(10_000, description="documents of a bulk request")
    flush_interval_s: Seconds = Field(
        0.2, description="the longest that a document waits for others"
    )
    max_in_flight: Positive = Field(4, description="concurrent bulk requests of a worker")
    backoff_initial_s: Seconds = Field(
        0.2, description="ceiling of the first random pause before a repeat; doubles each time"
    )
    backoff_max_s: Seconds = Field(30, description="ceiling of the pause between repeats")
    ack_timeout_s: Seconds = Field(
        30, description="`ack=indexed`: after this 503 with `pending`; delivery goes on"
    )

    drain_s: Seconds = Field(30, description="how long a stop may take to deliver what is held")
    worker_stuck_s: Seconds = Field(
        60, description="a worker without a heartbeat for this long is replaced"
    )
    failpoint: str | None = Field(
        None, description="for tests: a worker kills itself at this step, as `name:passing`"
    )
    log_format: Literal["console", "json"] = Field("console", description="form of the log lines")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level"
    )

    @field_validator("elasticsearch", mode="before")
    @classmethod
    def _hosts_alone(cls, value: Any) -> Any:
        """`--elasticsearch A,B` and INGEST_ELASTICSEARCH=A,B are short for elasticsearch.hosts."""
        return {"hosts": value.split(",")} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_relations(self) -> "Settings":
        rising = (
            ("max_document_bytes", self.max_document_bytes),
            ("buffer_bytes", self.buffer_bytes),
            ("flush_bytes", self.flush_bytes),
        )
        (small, a), (middle, b), (large, c) = rising
        if not a < b:
            raise ValueError(f"{small} ({a}) must be less than {middle} ({b})")
        if not b <= c:
            raise ValueError(f"{middle} ({b}) must be at most {large} ({c})")
        if not c < CLUSTER_BODY_BYTES_MAX:
            raise ValueError(
                f"{large} ({c}) must be less than Elasticsearch's own limit of "
                f"{CLUSTER_BODY_BYTES_MAX} bytes a request"
            )
        if self.max_pending_bytes < self.flush_bytes:
            raise ValueError(
                f"max_pending_bytes ({self.max_pending_bytes}) must be at least "
                f"flush_bytes ({c}), or no batch could fill"
            )
        check_routes(self.routes)
        for key in ("listen", "admin"):
            _host_and_port(key, getattr(self, key))
        return self

    @property
    def listen_address(self) -> tuple[str, int]:
        return _host_and_port("listen", self.listen)

    @property
    def admin_address(self) -> tuple[str, int]:
        return _host_and_port("admin", self.admin)


def load(options: Mapping[str, Any], config_file: Path | None = None) -> Settings:
    """Settings from the command line's `options` over `INGEST_*` over the TOML file.

    Raises ConfigError naming the file, the key and the reason.
    """

    class Sources(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *sources: Any, **named: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            layers = (named["init_settings"], _Environment(settings_cls))
            if config_file is None:
                return layers
            return (*layers, TomlConfigSettingsSource(settings_cls, toml_file=config_file))

    if config_file is not None and not config_file.is_file():
        raise ConfigError(f"{config_file}: no such file; give --config an existing TOML file")
    try:
        if isinstance(hosts := options.get("elasticsearch"), str):  # a key from elsewhere must stay
            options = {**options, "elasticsearch": {"hosts": hosts.split(",")}}
        return Settings.model_construct(**dict(Sources(**options)))
    except ValidationError as error:
        raise ConfigError(_complaints(error, config_file)) from error
    except ConfigError as error:
        raise ConfigError(f"{config_file}: {error}" if config_file else str(error)) from error
    except SettingsError as error:
        raise ConfigError(f"environment: {error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{config_file}: not valid TOML: {error}") from error


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """Variables that look like ours and are not: a typing error would be silent."""
    known = {f"INGEST_{key}".upper() for key in Settings.model_fields}
    ours = (each for each in environment if each.startswith("INGEST_"))
    return sorted(each for each in ours if each.partition("__")[0] not in known)


class _Environment(EnvSettingsSource):
    """INGEST_ELASTICSEARCH=URL,URL is short for the hosts, beside INGEST_ELASTICSEARCH__…"""

    def __call__(self) -> dict[str, Any]:
        values = super().__call__()
        if isinstance(hosts := values.get("elasticsearch"), str):
            field = self.settings_cls.model_fields["elasticsearch"]
            nested = self.explode_env_vars("elasticsearch", field, self.env_vars)
            values["elasticsearch"] = {**nested, "hosts": hosts.split(",")}
        return values


def _complaints(error: ValidationError, config_file: Path | None) -> str:
    lines = []
    for each in error.errors(include_url=False, include_input=False):
        key = key_of(each["loc"])
        reason = each["msg"].removeprefix("Value error, ")
        lines.append(f"{key}: {reason}" if key else reason)
    origin = f"{config_file}: " if config_file else ""
    return origin + "; ".join(lines)


def _host_and_port(key: str, address: str) -> tuple[str, int]:
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{key}: {address!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def settings_table() -> str:
    """The README's table of settings, in Markdown."""
    rows = ["| setting | default | what it does |", "| --- | --- | --- |"]
    nested = [(f"elasticsearch.{k}", f) for k, f in ElasticsearchSettings.model_fields.items()]
    flat = [(k, f) for k, f in Settings.model_fields.items() if k != "elasticsearch"]
    for key, field in nested + flat:
        rows.append(f"| `{key}` | {_default_text(field.get_default())} | {field.description} |")
    return "\n".join(rows)


def _default_text(default: Any) -> str:
    if default is None:
        return "–"
    if default is PydanticUndefined:
        return "number of cores"
    if isinstance(default, list):
        return ", ".join(f"`{each}`" for each in default) or "none"
    if isinstance(default, int) and not isinstance(default, bool):
        for unit, name in ((GiB, "GiB"), (MiB, "MiB"), (KiB, "KiB")):
            if default >= unit and default % unit == 0:
                return f"`{default}` ({default // unit} {name})"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
