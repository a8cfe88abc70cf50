"""Row 6 at the level of the service: what rots in the spool of a worker that dies is counted.

Whoever adopts it: a sibling that the same supervisor watches, or the next service.
"""

import os
import signal
from pathlib import Path

import orjson

from tests.fakes import ScriptedElasticsearch
from tests.faults.rig import wait_until_gone
from tests.faults.side_by_side import side_by_side
from tests.service import Service, is_balanced

POSTS, DOCUMENTS = 8, 10
SENT = POSTS * DOCUMENTS


def body(post: int) -> bytes:
    return b"".join(b'{"n":%d,"post":"post-%d"}\n' % (n, post) for n in range(DOCUMENTS))


def rot(data_dir: Path, post: int) -> None:
    """One byte of the record that holds this post."""
    needle = b"post-%d" % post
    (file,) = (
        each for each in (data_dir / "spool").rglob("*.spool") if needle in each.read_bytes()
    )
    content = file.read_bytes()
    file.write_bytes(content.replace(needle, b"rost" + needle[4:], 1))


def start(tmp_path: Path, es: ScriptedElasticsearch) -> Service:
    return Service(tmp_path, es.url, workers=1, ack="durable", backoff_max_s=0.5)


def fill(service: Service) -> None:
    """A record a post."""
    for post in range(POSTS):
        assert service.post(body(post), index="load").status == 202
    assert service.documents()["spooled"] == SENT


def arrived(es: ScriptedElasticsearch) -> set[str]:
    return {orjson.loads(document.source)["post"] for document in es.documents()}


def test_damage_in_the_spool_of_a_dead_worker_ends_as_lost_and_not_as_spooled(
    tmp_path: Path,
) -> None:
    side_by_side(adopt_damage, [(0,), (2, 3), (1, 5), (POSTS - 1,)], tmp_path)


def adopt_damage(rotten: tuple[int, ...], directory: Path) -> None:
    lost = DOCUMENTS * len(rotten)
    with ScriptedElasticsearch() as es, start(directory, es) as service:
        es.stop()
        fill(service)
        for post in rotten:
            rot(directory, post)
        (pid,) = service.worker_pids
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(service, [pid])
        service.wait_until(lambda: service.metrics()["ingest_spool_adopted_total"] == 1)
        assert service.metrics()["ingest_spool_bytes"] > SENT * 20
        es.start()
        service.wait_until_settled()
        service.wait_until(lambda: service.documents()["lost"] == lost)
        documents = service.documents()
        metrics = service.metrics()
        came = arrived(es)
    assert is_balanced(documents)
    assert (documents["received"], documents["recovered"]) == (SENT, 0)
    assert (documents["indexed"], documents["lost"]) == (SENT - lost, lost)
    assert metrics['ingest_documents_lost_total{acked="true"}'] == lost
    assert came == {f"post-{post}" for post in range(POSTS) if post not in rotten}
    assert len(list((directory / "spool" / "quarantine").iterdir())) >= 1


def test_the_next_service_counts_what_it_finds_damaged(
    scripted_elasticsearch: ScriptedElasticsearch, tmp_path: Path
) -> None:
    es = scripted_elasticsearch
    es.stop()
    with start(tmp_path, es) as service:
        fill(service)
        pids = service.worker_pids
        os.killpg(service.process.pid, signal.SIGKILL)
        service.wait_for_end()
        wait_until_gone(service, pids)
    rot(tmp_path, 4)
    es.start()
    with start(tmp_path, es) as service:
        service.wait_until(lambda: service.documents()["recovered"] == SENT)
        documents = service.wait_until_settled()
    assert is_balanced(documents)
    assert (documents["received"], documents["recovered"]) == (0, SENT)
    assert (documents["indexed"], documents["lost"]) == (SENT - DOCUMENTS, DOCUMENTS)
