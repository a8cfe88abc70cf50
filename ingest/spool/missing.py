"""How many documents the damaged ranges of a directory held, as far as that can be known.

    [record 0-4][damaged ...][record 9-12]          5 to 8 are missing: the gap in the sequences
    [record 0-4][damaged ...] end of the file       the next file's base sequence ends the gap
    [record 0-4][damaged ...] end of the directory  what the range's own record headers tell

A gap counts only where a range is damaged: what could not be written leaves one, too, and was
delivered from memory. Documents of a damaged record may be settled already, if their worker died
before its cursor said so; they count as missing all the same, as intact ones would come again.
No I/O here.
"""


class Missing:
    """Follows a directory's files in their order. `first_sequence` is None where the sequence
    that the first record should have is not known.
    """

    def __init__(self, first_sequence: int | None) -> None:
        self._next = first_sequence
        self._told: int | None = None  # by the headers of the range that ends what was read
        self._documents = 0

    @property
    def next_sequence(self) -> int | None:
        """The sequence that the next record should have."""
        return self._next

    @property
    def is_open(self) -> bool:
        """Whether a damaged range is known whose end is not."""
        return self._told is not None

    def begin_file(self, base_sequence: int) -> None:
        """A file with a sound header: no record of an earlier file lies above its base."""
        self._reach(base_sequence, base_sequence)

    def meet_damage(self, told: int) -> None:
        """A range is damaged; its own record headers tell of so many documents."""
        self._told = (self._told or 0) + told

    def meet_record(self, first_sequence: int, count: int) -> None:
        """An intact record, new or not."""
        self._reach(first_sequence, first_sequence + count)

    def end(self) -> None:
        """There are no more files."""
        self._documents += self._told or 0
        self._told = None

    def take(self) -> int:
        """What has come to be known as missing since the last call."""
        taken, self._documents = self._documents, 0
        return taken

    def _reach(self, sequence: int, next_sequence: int) -> None:
        if self._told is not None:
            is_known = self._next is not None
            self._documents += max(sequence - (self._next or 0), 0) if is_known else self._told
        self._told = None
        self._next = max(self._next or 0, next_sequence)
