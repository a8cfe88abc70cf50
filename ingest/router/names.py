"""Names of indices and data streams: what Elasticsearch accepts, and the way there from any text.

Elasticsearch ("Create index API", path parameters) wants lower case; none of \\ / * ? " < > | , # :
or space; not starting with - _ +; not . or ..; at most 255 bytes of UTF-8. On top of these, names
starting with a dot are refused here, because system and hidden indices live there, and so is what
can not be printed (control characters, surrogates, code points that are not assigned yet).
"""

from collections.abc import Iterable

NAME_BYTES_MAX = 255
# Elasticsearch's own limit for dataset and namespace (reroute processor). Three such parts leave
# room for what a backing index adds to the name: `.ds-` in front, `-2024.05.06-000001` behind.
PART_BYTES_MAX = 100
# The types whose `TYPE-*-*` Elasticsearch's built-in index templates turn into data streams.
DATA_STREAM_TYPES = ("logs", "metrics", "traces", "synthetics")

_FORBIDDEN = frozenset('\\/*?"<>|,#: ')
_FORBIDDEN_AT_START = "-_+."
_NAME_OF_NOTHING = "unnamed"


def find_fault(name: str) -> str | None:
    """Why `name` can not be the name of an index or data stream; None when it can."""
    if not name:
        return "is empty"
    if (size := len(name.encode(errors="surrogatepass"))) > NAME_BYTES_MAX:
        return f"is {size} bytes long; the limit is {NAME_BYTES_MAX}"
    for character in name:
        if not _is_allowed(character):
            return f"has {character!a}, which is not allowed in names"
    if name[0] in _FORBIDDEN_AT_START:
        return f"starts with '{name[0]}'; names may not start with one of - _ + ."
    if name != name.lower():
        return "has upper-case letters; names are lower case"
    return None


def is_data_stream_name(name: str) -> bool:
    """Whether a built-in template (`logs-*-*` …) would make a data stream of this name.

    Also true for `logs-a-b-c`, and for daily names like `logs-2024-05-06`.
    """
    kind, *parts = name.split("-")
    return kind in DATA_STREAM_TYPES and len(parts) >= 2


def clean_name(name: str) -> str:
    """The valid name next to `name`: never refused by `find_fault`, unchanged if it was valid.

    (But parts of data-stream-shaped names are cut at PART_BYTES_MAX.) Different texts may become
    the same name: "A", "a" and "-a" do.
    """
    characters = (each if _is_allowed(each) else "_" for each in name.lower())
    text = "".join(characters).lstrip(_FORBIDDEN_AT_START)
    if is_data_stream_name(text):
        text = "-".join(_cut(part, PART_BYTES_MAX) for part in text.split("-"))
    return _cut(text, NAME_BYTES_MAX) or _NAME_OF_NOTHING


def clean_name_of(pieces: Iterable[tuple[str, bool]]) -> str:
    """A valid name of pieces of text, each with whether it comes from data.

    Where the name is data-stream-shaped without their help, `-` in texts from data becomes `_`:
    it separates the parts, and `logs-my-app-default` would be the dataset "my".
    """
    texts = [(text[:NAME_BYTES_MAX], is_data) for text, is_data in pieces]
    shaped = clean_name("".join(_dashless(text) if is_data else text for text, is_data in texts))
    if is_data_stream_name(shaped):
        return shaped
    return clean_name("".join(text for text, _ in texts))


def find_fault_of(pieces: Iterable[tuple[str, bool]]) -> str | None:
    """Why these pieces (as for `clean_name_of`) make no valid name as they are; None if they do."""
    texts = list(pieces)
    name = "".join(text for text, _ in texts)
    shaped = "".join(_dashless(text) if is_data else text for text, is_data in texts)
    if is_data_stream_name(shaped) and shaped != name:
        return "has '-' in a value, which separates the parts of a data stream's name"
    return find_fault(name)


def _is_allowed(character: str) -> bool:
    return character.isprintable() and character not in _FORBIDDEN


def _dashless(text: str) -> str:
    return text.replace("-", "_")


def _cut(text: str, bytes_max: int) -> str:
    return text.encode()[:bytes_max].decode(errors="ignore")
