"""Names: what is valid, and what invalid ones become."""

import pytest

from ingest.router.names import (
    clean_name,
    clean_name_of,
    find_fault,
    find_fault_of,
    is_data_stream_name,
)


@pytest.mark.parametrize(
    "name",
    ["logs-web-default", "a", "1", "a.b_c-d+e", "größe", "日志", "x" * 255, "é" * 127, "a..", "@x"],
)
def test_names_that_elasticsearch_takes_are_valid(name: str) -> None:
    assert find_fault(name) is None


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param("Bad", "upper-case", id="upper case"),
        pytest.param("É", "upper-case", id="upper case beyond ASCII"),
        *[pytest.param(f"a{c}b", "not allowed", id=f"has {c!r}") for c in '\\/*?"<>|,#: \n\0\x7f'],
        pytest.param("a\ud800", "not allowed", id="half a surrogate pair"),
        pytest.param("a\u2028b", "not allowed", id="line separator"),
        *[pytest.param(f"{c}a", "starts with", id=f"starts with {c}") for c in "-_+."],
        pytest.param(".", "starts with", id="dot"),
        pytest.param("..", "starts with", id="two dots"),
        pytest.param("x" * 256, "256 bytes", id="256 bytes"),
        pytest.param("é" * 128, "256 bytes", id="128 letters of two bytes"),
    ],
)
def test_other_names_have_a_fault(name: str, fault: str) -> None:
    assert fault in (find_fault(name) or "")


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        pytest.param("logs-web-default", "logs-web-default", id="valid stays"),
        pytest.param("Web App", "web_app", id="upper case and space"),
        pytest.param('a\\b/c*d?e"f<g>h|i,j#k:l', "a_b_c_d_e_f_g_h_i_j_k_l", id="forbidden"),
        pytest.param("a\n\0b", "a__b", id="control characters"),
        pytest.param("-_+.a", "a", id="leading characters"),
        pytest.param(".security", "security", id="system index"),
        pytest.param("<logs-{now/d}>", "logs-{now_d}_", id="date math"),
        pytest.param("", "unnamed", id="empty"),
        pytest.param("..", "unnamed", id="dots only"),
        pytest.param("???", "unnamed", id="nothing but forbidden"),
        pytest.param("é" * 200, "é" * 127, id="cut on a code point"),
        pytest.param(
            f"logs-{'a' * 300}-{'b' * 300}", f"logs-{'a' * 100}-{'b' * 100}", id="parts are cut"
        ),
    ],
)
def test_cleaning(name: str, cleaned: str) -> None:
    assert clean_name(name) == cleaned


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("logs-web-default", True),
        ("metrics-web-default", True),
        ("traces-web-default", True),
        ("synthetics-web-default", True),
        ("logs-2024-05-06", True),
        ("logs-web", False),
        ("logs", False),
        ("audit-web-default", False),
        ("my-logs-web-default", False),
    ],
)
def test_names_that_a_builtin_template_makes_a_data_stream_of(name: str, expected: bool) -> None:
    assert is_data_stream_name(name) is expected


def test_dashes_from_data_do_not_move_the_parts_of_a_data_stream() -> None:
    pieces = [("logs-", False), ("My-App", True), ("-default", False)]
    assert clean_name_of(pieces) == "logs-my_app-default"
    assert "separates" in (find_fault_of(pieces) or "")


def test_dashes_from_data_stay_in_other_names() -> None:
    pieces = [("my-app", True), ("-2024.05.06", False)]
    assert clean_name_of(pieces) == "my-app-2024.05.06"
    assert find_fault_of(pieces) is None


def test_a_long_value_leaves_the_rest_of_a_data_streams_name() -> None:
    pieces = [("logs-", False), ("x" * 1_000_000, True), ("-default", False)]
    assert clean_name_of(pieces) == f"logs-{'x' * 100}-default"
