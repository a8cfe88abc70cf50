"""One real Elasticsearch node on loopback, for as long as a `with` block lasts.

    with running_node("8.19.21", settings={"thread_pool.write.queue_size": "8"}) as url:
        ...

The server is the trimmed distribution that its makers publish for integration tests: the unchanged
server with its HTTP layer, without most modules. So `GET /` answers 405 and there is no
`_data_stream` API, though data streams work. Maven downloads it once into its local repository;
it is unpacked once into the cache (`INGEST_TEST_CACHE`, or a directory under /var/tmp).
"""

import contextlib
import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

VERSION_8 = "8.19.21"
VERSION_9 = "9.2.0"
COORDINATES = "org.elasticsearch.distribution.integ-test-zip:elasticsearch"
UNPACK = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:unpack"
JAVA_MIN = {"8": 17, "9": 21}
JVM_FLAGS = "-Xms512m -Xmx512m -XX:TieredStopAtLevel=1 -XX:-AlwaysPreTouch -XX:+UseSerialGC"
SETTINGS = {
    "network.host": "127.0.0.1",
    "transport.port": "0",
    "discovery.type": "single-node",
    "xpack.security.enabled": "false",
    "cluster.routing.allocation.disk.threshold_enabled": "false",
}
UNPRIVILEGED_ID = 65534
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 5
PR_SET_PDEATHSIG = 1


class MissingTool(Exception):
    """What a node needs and this machine doesn't have."""


class NodeFailed(Exception):
    """The node could not be unpacked or did not start; the text ends with its console."""


@contextlib.contextmanager
def running_node(version: str, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Starts a node and gives its URL. Raises MissingTool, NodeFailed."""
    java_home = find_java_home(JAVA_MIN[version.split(".")[0]])
    home = unpacked_server(version)
    directory = Path(tempfile.mkdtemp(prefix="ingest-node-", dir="/var/tmp"))
    try:
        port = _free_port()
        _write_config(home, directory, {"http.port": str(port), **(settings or {})})
        node = _start(home, java_home, directory)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(node, url, directory)
            yield url
        finally:
            _stop(node)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def find_java_home(release_min: int) -> Path:
    """The oldest JDK of at least this release. Raises MissingTool."""
    candidates = [Path(home) for home in (os.environ.get("JAVA_HOME"),) if home]
    if java := shutil.which("java"):
        candidates.append(Path(java).resolve().parent.parent)
    candidates += sorted(Path("/usr/lib/jvm").glob("*"))
    releases = [(release, home) for home in candidates if (release := _java_release(home))]
    fitting = [(release, home) for release, home in releases if release >= release_min]
    if not fitting:
        raise MissingTool(f"a JDK {release_min} or later (looked at JAVA_HOME and /usr/lib/jvm)")
    return min(fitting)[1]


def unpacked_server(version: str) -> Path:
    """The server's directory in the cache; unpacked there first if need be."""
    configured = os.environ.get("INGEST_TEST_CACHE")
    cache = Path(configured or f"/var/tmp/ingest-test-cache-{os.getuid()}")
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    home = cache / f"elasticsearch-{version}"
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            _unpack(version, cache, home)
    return home


def _java_release(home: Path) -> int | None:
    release = home / "release"
    if not release.is_file():
        return None
    found = re.search(r'^JAVA_VERSION="(\d+)', release.read_text(), re.MULTILINE)
    return int(found.group(1)) if found else None


def _unpack(version: str, cache: Path, home: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingTool("mvn, which downloads Elasticsearch")
    fresh = Path(tempfile.mkdtemp(prefix="unpack-", dir=cache))
    try:
        options = [f"-Dartifact={COORDINATES}:{version}:zip", f"-DoutputDirectory={fresh}"]
        command = [maven, "-q", "-B", UNPACK, *options]
        run = subprocess.run(command, cwd=fresh, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise NodeFailed(f"maven could not unpack {version}:\n{run.stdout[-4000:]}")
        subprocess.run(["chmod", "-R", "u+rwX,go+rX", fresh], check=True)
        (fresh / f"elasticsearch-{version}").rename(home)
    finally:
        shutil.rmtree(fresh)


def _start(home: Path, java_home: Path, directory: Path) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory / "tmp"),
        "ES_JAVA_HOME": str(java_home),
        "ES_PATH_CONF": str(directory / "config"),
        "ES_TMPDIR": str(directory / "tmp"),
        "ES_JAVA_OPTS": JVM_FLAGS,
    }
    other_user = UNPRIVILEGED_ID if os.getuid() == 0 else None  # the server refuses to run as root
    if other_user:
        subprocess.run(["chown", "-R", f"{other_user}:{other_user}", directory], check=True)
    with open(directory / "console.log", "wb") as console:
        return subprocess.Popen(
            ["bash", home / "bin/elasticsearch"],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            user=other_user,
            group=other_user,
            extra_groups=[] if other_user else None,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )


def _write_config(home: Path, directory: Path, settings: Mapping[str, str]) -> None:
    directory.chmod(0o755)
    for name in ("config", "data", "logs", "tmp"):
        (directory / name).mkdir()
    shutil.copy(home / "config/log4j2.properties", directory / "config")
    jvm_options = (home / "config/jvm.options").read_text().splitlines(keepends=True)
    left_out = ("-Xlog", "HeapDump", "ErrorFile", "UseG1GC")  # files that nobody would read
    kept = [line for line in jvm_options if not any(name in line for name in left_out)]
    (directory / "config/jvm.options").write_text("".join(kept))
    paths = {"path.data": f"{directory}/data", "path.logs": f"{directory}/logs"}
    lines = [f"{name}: {value}\n" for name, value in {**SETTINGS, **paths, **settings}.items()]
    (directory / "config/elasticsearch.yml").write_text("".join(lines))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_until_ready(node: subprocess.Popen[bytes], url: str, directory: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while node.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/_cluster/health?wait_for_status=yellow", timeout=5):
                return
        except OSError:
            time.sleep(0.25)
    console = (directory / "console.log").read_text(errors="replace")
    raise NodeFailed(f"no Elasticsearch at {url} (exit status {node.poll()}):\n{console[-4000:]}")


def _stop(node: subprocess.Popen[bytes]) -> None:
    """Kills the launcher and the server, which are a session of their own; the data goes anyway."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            os.killpg(node.pid, 0)  # raises when the last of them has gone
            time.sleep(0.05)


def _die_with_parent() -> None:
    """A killed test run (or thread) takes the launcher along; the server ends with that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
