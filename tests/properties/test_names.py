"""Whatever the text, a cleaned name is one that Elasticsearch takes and no system index."""

from hypothesis import example, given
from hypothesis import strategies as st

from ingest.router.names import clean_name, clean_name_of, find_fault, find_fault_of

any_text = st.text(st.characters(), max_size=400)  # with control characters and surrogates
nasty_text = st.text(st.sampled_from('.-_+ A"*\\/?<>|,#:\n\0é日İΣ𝄞\ud800x'), max_size=300)
texts = any_text | nasty_text


def elasticsearch_takes(name: str) -> bool:
    """The documented rules, written without a look at `router.names`; hidden indices are out."""
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return False
    return (
        1 <= size <= 255
        and name == name.lower()
        and not name.startswith(("-", "_", "+", "."))
        and not set(name) & set('\\/*?"<>|,#:')
        and not any(ord(each) <= 0x20 or 0x7F <= ord(each) < 0xA0 for each in name)
    )


@given(texts)
@example("İ" * 200)
@example("ΑΣ")
@example("." + "é" * 128)
def test_a_cleaned_name_is_valid(text: str) -> None:
    assert elasticsearch_takes(clean_name(text))


@given(texts)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean_name(clean_name(text)) == clean_name(text)


@given(texts)
def test_a_name_without_fault_is_valid(text: str) -> None:
    if find_fault(text) is None:
        assert elasticsearch_takes(text)


@given(texts)
def test_cleaning_leaves_no_fault(text: str) -> None:
    assert find_fault(clean_name(text)) is None


@given(st.text("abc.0é", min_size=1, max_size=100).filter(lambda text: text[0] != "."))
def test_cleaning_keeps_valid_names(text: str) -> None:
    assert clean_name(text) == text


@given(st.sampled_from(["logs-", "metrics-", "a-", ""]), texts, texts)
def test_names_of_pieces_are_valid(start: str, first: str, second: str) -> None:
    pieces = [(start, False), (first, True), ("-", False), (second, True)]
    assert elasticsearch_takes(clean_name_of(pieces))
    if find_fault_of(pieces) is None:
        assert elasticsearch_takes("".join(text for text, _ in pieces))


@given(texts.filter(bool), texts.filter(bool))
def test_data_never_changes_the_number_of_a_data_streams_parts(first: str, second: str) -> None:
    pieces = [("logs-", False), (first, True), ("-", False), (second, True)]
    kind, dataset, namespace = clean_name_of(pieces).split("-")
    assert kind == "logs"
    assert 1 <= len(dataset.encode()) <= 100
    assert 1 <= len(namespace.encode()) <= 100
