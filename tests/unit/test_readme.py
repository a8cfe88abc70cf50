"""The README says what the code does."""

from profiling.readme import README, with_settings


def test_the_table_of_settings_is_the_one_of_the_code() -> None:
    text = README.read_text()
    assert text == with_settings(text), "run `make readme`"
