"""The producers' count of documents against the service's.

    received + recovered =
        rejected + indexed + duplicate + dead letters + lost + in memory + spooled

Each term is counted by the service where it happens. Besides that law, what the producers were
told must be what it counts. Posts without an answer (a producer that left, a connection that
broke) may have been received in part: they widen the comparison, by at most what was sent in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from loadtest.posts import Post
from loadtest.verdicts import Verdict

_ENDS = ("rejected", "indexed", "duplicate", "dead_letter", "lost", "in_memory", "spooled")
Documents = Mapping[str, int]  # `documents` of /status


@dataclass(slots=True)
class Sent:
    """What producers sent and were told. `answered` are documents of posts that got an answer."""

    posts: int = 0
    documents: int = 0
    answered: int = 0
    received: int = 0
    accepted: int = 0
    rejected: int = 0
    trimmed: int = 0
    shed: int = 0
    pending: int = 0

    @property
    def unanswered(self) -> int:
        """Documents of posts whose fate nobody told."""
        return self.documents - self.answered

    def begin(self, documents: int) -> None:
        """Before the first byte is sent: a producer that is killed leaves it unanswered."""
        self.posts += 1
        self.documents += documents

    def end(self, post: Post, verdict: Verdict) -> None:
        self.answered += post.documents
        self.received += verdict.received
        self.accepted += verdict.accepted
        self.rejected += verdict.rejected
        self.trimmed += verdict.trimmed
        self.shed += verdict.outcome == "shed"
        self.pending += verdict.outcome == "pending"

    def add(self, other: "Sent") -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


def growth(before: Documents, after: Documents) -> dict[str, int]:
    """What one run added to each count of the service."""
    return {name: count - before.get(name, 0) for name, count in after.items()}


def is_settled(documents: Documents) -> bool:
    """Every document has its outcome."""
    return not documents["in_memory"] and not documents["spooled"]


def faults(sent: Sent, before: Documents, after: Documents) -> list[str]:
    """What does not add up; empty where every document is accounted for."""
    grown = growth(before, after)
    taken = grown["received"] - grown["rejected"]
    candidates = (
        "" if sent.posts else "no post was sent",
        _law(after),
        _unsettled(after),
        _range("received", grown["received"], sent.received, sent.unanswered),
        _range("rejected", grown["rejected"], sent.rejected, sent.unanswered),
        _range("accepted", taken, sent.accepted, sent.unanswered),
        f"{grown['lost']} documents are lost" if grown["lost"] else "",
    )
    return [fault for fault in candidates if fault]


def _law(documents: Documents) -> str:
    came = documents["received"] + documents["recovered"]
    ended = sum(documents[end] for end in _ENDS)
    return "" if came == ended else f"the accounting law is broken: {came} came, {ended} are known"


def _unsettled(documents: Documents) -> str:
    if is_settled(documents):
        return ""
    return f"no outcome yet: {documents['in_memory']} in memory, {documents['spooled']} spooled"


def _range(name: str, counted: int, told: int, unanswered: int) -> str:
    if told <= counted <= told + unanswered:
        return ""
    unsure = f" to {told + unanswered}" if unanswered else ""
    return f"{name}: the service counts {counted}, the producers {told}{unsure}"
