"""A load test of a real service, whole: producers, thresholds, accounting, results, exit codes."""

import csv
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from loadtest import result
from loadtest.posts import KINDS
from loadtest.result import Result
from tests.fakes import ScriptedElasticsearch
from tests.service import Service

SECONDS = 5
USERS = 24  # at least one of each kind
HAR = {
    "log": {
        "entries": [
            {
                "startedDateTime": "2026-03-01T10:00:00.000Z",
                "request": {
                    "method": "POST",
                    "url": "https://shop.example/ingest?index=replayed",
                    "postData": {"mimeType": "application/json", "text": '[{"n":1},{"n":2}]'},
                },
                "response": {"status": 200, "content": {"size": 40_000, "text": "x" * 40_000}},
            }
        ]
    }
}
LOCUSTFILE = "loadtest/locustfile.py"
BROKEN_LOCUSTFILE = """
from loadtest.locustfile import ChosenShape, SmallProducer


class BrokenProducer(SmallProducer):
    def __init__(self, environment):
        raise RuntimeError("no posts today")
"""


@dataclass(frozen=True)
class Run:
    """A run that has ended."""

    code: int
    output: str
    folder: Path

    @property
    def result(self) -> Result:
        return result.read(self.folder)


def run(folder: Path, thresholds: str, *options: str) -> Run:
    limits = folder / "thresholds.toml"
    limits.write_text(thresholds)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "loadtest.run", "--elasticsearch=null", "--shape=soak"),
            *(f"--seconds={SECONDS}", f"--users={USERS}", "--documents-per-body=100"),
            *("--workers=1", "--pace=0.5", f"--thresholds={limits}"),
            *(f"--results={folder / 'results'}", *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    (results,) = (folder / "results").iterdir()
    return Run(done.returncode, done.stdout, results)


def run_good(folder: Path) -> Run:
    """Every kind of producer, a replayed recording, limits that any machine keeps."""
    (folder / "recording.har").write_text(json.dumps(HAR))
    limits = "error_ratio_max = 0.0\ndead_letters_max = 0\ndocuments_per_s_min = 1\n"
    return run(folder, limits, f"--har={folder / 'recording.har'}")


def run_bad(folder: Path) -> Run:
    """One buffer, which slow senders hold while others wait in vain; a rate nobody reaches."""
    limits = "error_ratio_max = 0.0\ndocuments_per_s_min = 1e12\n"
    return run(folder, limits, "--", "--buffers=1", "--buffer-wait-s=0.1")


def run_broken(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A producer that fails by itself, before it has posted anything."""
    file = folder / "broken.py"
    file.write_text(BROKEN_LOCUSTFILE)
    with ScriptedElasticsearch() as es, Service(folder / "data", es.url) as service:
        target = ("--host", service.url, "--admin", service.admin)
        return locust("-f", str(file), *target, "--run-time=2", "--shape=soak", *options)


class Runs(NamedTuple):
    good: Run
    bad: Run
    broken: subprocess.CompletedProcess[str]
    broken_in_another_process: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """At the same time: most of a run is waiting, for its seconds to pass."""
    with ThreadPoolExecutor() as pool:
        futures = (
            pool.submit(run_good, tmp_path_factory.mktemp("good")),
            pool.submit(run_bad, tmp_path_factory.mktemp("bad")),
            pool.submit(run_broken, tmp_path_factory.mktemp("broken")),
            pool.submit(run_broken, tmp_path_factory.mktemp("broken"), "--processes=1"),
        )
        return Runs(*(future.result() for future in futures))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def good(runs: Runs) -> Run:
    return runs.good


@pytest.fixture(scope="module")
def bad(runs: Runs) -> Run:
    return runs.bad


def test_kept_thresholds_exit_with_zero(good: Run) -> None:
    assert good.code == 0, good.output
    assert "✓ every document is accounted for" in good.output
    assert "✗" not in good.output


def test_every_kind_of_producer_was_answered_as_it_deserves(good: Run) -> None:
    kinds = good.result.kinds
    assert set(kinds) == {*KINDS, "replay"}
    assert all(figures.posts and not figures.failures for figures in kinds.values())
    assert kinds["malformed"].rejected
    assert not kinds["bulk"].rejected


def test_producers_and_service_count_the_same(good: Run) -> None:
    kinds, service = good.result.kinds, good.result.service
    unanswered = sum(figures.unanswered for figures in kinds.values())
    told = sum(figures.received for figures in kinds.values())
    assert unanswered == kinds["disconnect"].unanswered > 0
    assert told <= service["received"] <= told + unanswered
    assert service["received"] == service["rejected"] + service["indexed"]


def test_everything_about_a_run_is_in_one_folder(good: Run) -> None:
    names = {path.name for path in good.folder.iterdir()}
    assert names >= {"report.html", "load_stats.csv", "memory.csv", "result.json"}
    assert "configuration.json" in names
    configuration = json.loads((good.folder / "configuration.json").read_bytes())
    assert good.folder.name.endswith(configuration["commit"])
    assert configuration["users"] == USERS
    with (good.folder / "load_stats.csv").open() as file:
        counts = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}
    assert counts["bulk"] == good.result.kinds["bulk"].posts
    assert "<html" in (good.folder / "report.html").read_text()
    assert "stopped" in (good.folder / "service.log").read_text()


def test_a_violated_threshold_exits_with_one_and_is_shown(bad: Run) -> None:
    assert bad.code == 1
    (shown,) = [line for line in bad.output.splitlines() if line.startswith("✗")]
    assert "documents/s" in shown


def test_shed_posts_are_counted_apart_and_are_no_failures(bad: Run) -> None:
    kinds = bad.result.kinds
    assert sum(figures.shed for figures in kinds.values())
    assert not sum(figures.failures for figures in kinds.values())
    assert bad.result.faults == []
    with (bad.folder / "load_stats.csv").open() as file:
        assert "SHED" in {row["Type"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("option", ["--har", "--thresholds"])
def test_a_file_that_is_missing_exits_with_two_before_any_load(tmp_path: Path, option: str) -> None:
    missing = tmp_path / "missing"
    command = [sys.executable, "-m", "loadtest.run", f"--results={tmp_path}", option, str(missing)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert str(missing) in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_producer_that_fails_by_itself_fails_the_run(runs: Runs) -> None:
    for broken in (runs.broken, runs.broken_in_another_process):
        assert "RuntimeError: no posts today" in broken.stderr
        assert "✗ the load itself failed" in broken.stdout
        assert broken.returncode == 1


def test_a_service_that_is_not_there_fails_before_any_load() -> None:
    nowhere = "http://127.0.0.1:1"
    done = locust("-f", LOCUSTFILE, "--host", nowhere, "--admin", nowhere, "--run-time", "1")
    assert done.returncode == 1
    assert "Connection refused" in done.stderr


def locust(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "locust", "--headless", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
