"""Is this the answer that the post deserves? Every answer is compared with what was sent."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from loadtest.posts import Post

Outcome = Literal["answered", "shed", "pending"]
_ITEMS_MAX = 1000  # an answer lists no more
_SHED_STATUSES = (429, 503)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the service says that it did, and what is wrong with that (`failure`, else empty).

    *shed*: refused for want of room, to be repeated after `retry_after_s`; lines that were taken
    before stay accepted. *pending*: `ack=indexed` took longer than the service waits.
    """

    outcome: Outcome = "answered"
    received: int = 0
    accepted: int = 0
    rejected: int = 0
    trimmed: int = 0
    retry_after_s: float = 0.0
    failure: str = ""


def judge(post: Post, status: int, retry_after: str | None, content: bytes) -> Verdict:
    """The verdict on a complete HTTP answer; `retry_after` is that header's value."""
    try:
        answer = json.loads(content)
    except ValueError:
        return Verdict(failure=f"status {status}: the answer is not JSON")
    if not isinstance(answer, dict):
        return Verdict(failure=f"status {status}: the answer is not an object")
    wait_s = float(retry_after) if retry_after and retry_after.isdigit() else None
    if status in _SHED_STATUSES:
        failure = "" if wait_s is not None else f"status {status} without Retry-After"
        outcome: Outcome = "pending" if "pending" in answer else "shed"
        return _verdict(answer, failure, outcome, wait_s or 0.0)
    return _verdict(answer, _complaint(post, status, answer))


def _verdict(
    answer: dict[str, Any], failure: str, outcome: Outcome = "answered", wait_s: float = 0.0
) -> Verdict:
    received = int(answer.get("received", answer.get("next_position", 0)))
    rejected = int(answer.get("rejected", 0))
    return Verdict(
        outcome=outcome,
        received=received,
        accepted=int(answer.get("accepted", received - rejected)),
        rejected=rejected,
        trimmed=int(answer.get("trimmed", 0)),
        retry_after_s=wait_s,
        failure=failure,
    )


def _complaint(post: Post, status: int, answer: dict[str, Any]) -> str:
    if post.is_unreadable:
        is_right = status == 400 and "error" in answer
        return "" if is_right else f"status {status} for a body that can't be read"
    if "error" in answer:
        return f"status {status}: {answer['error'].get('type')}"
    received, accepted = answer.get("received"), answer.get("accepted")
    rejected = answer.get("rejected", 0)
    if received != post.documents:
        return f"received {received} of {post.documents}"
    if accepted + rejected != received:
        return f"received {received}, but accepted {accepted} and rejected {rejected}"
    if status != _right_status(answer):
        return f"status {status} with {accepted} accepted"
    return "" if post.refused is None else _refusal_complaint(post.refused, answer)


def _right_status(answer: dict[str, Any]) -> int:
    if not answer["accepted"]:
        return 400
    return 200 if answer["ack"] == "indexed" else 202


def _refusal_complaint(refused: tuple[int, ...], answer: dict[str, Any]) -> str:
    if answer["rejected"] != len(refused):
        return f"rejected {answer['rejected']}, not {len(refused)}"
    positions = tuple(item["position"] for item in answer["items"])
    if positions != refused[:_ITEMS_MAX]:
        others = len(set(positions) - set(refused))
        return f"{others} documents failed that nothing is wrong with"
    if answer["errors"] != bool(refused):
        return f"errors is {answer['errors']} with {len(refused)} rejected"
    return ""
