"""The writing side of one owned directory: which file takes the next record, and when files go."""

from pathlib import Path
from uuid import UUID

from ingest.spool.backlog import Backlog
from ingest.spool.directory import Directory, create_directory, list_directories
from ingest.spool.errors import SpoolUnavailable
from ingest.spool.file import SpoolFile, create_spool_file, make_header
from ingest.spool.format import FILE_HEADER_BYTES
from ingest.spool.quarantine import Quarantine
from ingest.spool.reclaimer import Reclaimer
from ingest.spool.record import Record
from ingest.spool.recovered import Recovered
from ingest.spool.settings import SpoolLimits, Surroundings
from ingest.spool.unsettled import Unsettled

_SALT_BYTES = 8


class Store:
    """Directory, cursor and the file that is being written. Used by the committer's thread alone,
    but for `bring_back`.
    """

    def __init__(
        self,
        data_dir: Path,
        directory_id: UUID,
        limits: SpoolLimits,
        surroundings: Surroundings,
        unsettled: Unsettled,
    ) -> None:
        self._data_dir = data_dir
        self._directory_id = directory_id
        self._limits = limits
        self._surroundings = surroundings
        self._files = surroundings.files
        self._unsettled = unsettled
        self._directory: Directory | None = None
        self._reclaimer: Reclaimer | None = None
        self._backlog: Backlog | None = None
        self._file: SpoolFile | None = None
        self._next_number = 1

    @property
    def disk_bytes(self) -> int:
        return self._reclaimer.disk_bytes if self._reclaimer else 0

    def open(self) -> None:
        """Makes and locks the directory unless that is done. Raises OSError, NetworkFileSystem."""
        if self._reclaimer:
            return
        directory = create_directory(self._files, self._data_dir, self._directory_id)
        reclaimer = Reclaimer(self._files, directory)
        try:
            reclaimer.cursor.prepare()
            directory.sync()
        except OSError:
            reclaimer.close()
            directory.close()
            raise
        self._directory, self._reclaimer = directory, reclaimer
        quarantine = Quarantine(self._files, directory.path)
        self._backlog = Backlog(self._files, reclaimer, self._unsettled, quarantine)

    def file_for(self, record: Record) -> SpoolFile:
        """The file that takes this record; begins one when there is none or it is full."""
        if self._file and self._file.fits(0, record.size):
            return self._file
        return self.begin_file(record.first_sequence)

    def begin_file(self, base_sequence: int) -> SpoolFile:
        """A fresh file, durable in its directory. Raises OSError."""
        directory, reclaimer = self._opened()
        self.seal()  # first, so that this needs no more descriptors than before
        header = make_header(
            self._next_number,
            directory.id,
            base_sequence,
            self._surroundings.wall_clock_s(),
            self._surroundings.random_bytes(_SALT_BYTES),
        )
        self._next_number += 1
        file = create_spool_file(self._files, directory.path, header, self._limits.own_file_bytes)
        reclaimer.keep(file.number, file.name, FILE_HEADER_BYTES)
        self._file = file
        try:
            directory.sync()
        except OSError:
            self.seal()
            raise
        return file

    def note_growth(self) -> None:
        """The file has grown by what was just proven."""
        if self._file and self._reclaimer:
            self._reclaimer.keep(self._file.number, self._file.name, self._file.proven_bytes)

    def seal(self) -> None:
        """The next record goes into a new file."""
        if self._file:
            file, self._file = self._file, None
            file.seal()

    def take_back(self) -> None:
        """Cuts off what a failed write left; where that fails too, the file ends here."""
        if self._file is None:
            return
        try:
            self._file.undo()
        except OSError:
            self.seal()

    def seal_if_drained(self) -> None:
        """Lets go of a file whose records are all settled, so that its room can be given back."""
        if self._file and not self._file.is_empty and not self._unsettled.documents:
            self.seal()

    def advance(self) -> None:
        """Persists the low-water mark and removes the files below it. Raises OSError."""
        if self._reclaimer:
            end = self._file
            number = end.number if end else self._next_number
            offset = end.proven_bytes if end else FILE_HEADER_BYTES
            self._reclaimer.advance(self._unsettled.low_water(number, offset))

    @property
    def is_freeing(self) -> bool:
        """Whether removed files have room to give back."""
        return self._reclaimer is not None and self._reclaimer.is_freeing

    def free(self, written_bytes: int) -> None:
        """A step of that, in proportion to what was written meanwhile."""
        if self._reclaimer:
            self._reclaimer.free(written_bytes)

    def free_bytes(self) -> int | None:
        """What the file system has left; None when it does not say."""
        try:
            return self._files.free_bytes(self._data_dir)
        except OSError:
            return None

    def others_bytes(self) -> int:
        """What all other spool directories hold, whoever owns them; 0 when that can't be seen."""
        try:
            paths = list_directories(self._files, self._data_dir)
            return sum(
                self._files.content_bytes(path)
                for path in paths
                if path.name != str(self._directory_id)
            )
        except OSError:
            return 0

    def bring_back(self) -> Recovered | None:
        """See `Backlog`. One other thread may call it."""
        return self._backlog.bring_back() if self._backlog else None

    def close(self) -> None:
        """Removes the directory if everything is settled, else leaves it to be adopted."""
        if self._directory is None or self._reclaimer is None:
            return
        self.seal()
        try:
            self.advance()
            self._reclaimer.close()
            if not self._unsettled.documents:
                self._directory.remove()
        finally:
            self._reclaimer.close()
            self._directory.close()

    def _opened(self) -> tuple[Directory, Reclaimer]:
        if self._directory is None or self._reclaimer is None:
            raise SpoolUnavailable("the spool directory could not be opened")
        return self._directory, self._reclaimer
