"""What every source of probe images answers: which images there are, and where the bytes of each are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from dnd.config.targets import ProbeSettings
from dnd.io.rows import Entry, Refused
from dnd.probe import folders
from dnd.probe.folders import Status

SUFFIXES = (
    *(".avif", ".avifs", ".bmp", ".gif", ".heic", ".heics", ".heif", ".heifs", ".hif"),
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".mpo"),
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".png", ".apng", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    *(".tif", ".tiff", ".webp"),
)
"""Of image files, in lower case."""
UNREAD = (
    *(".jxl", ".jxr", ".svg", ".svgz", ".xcf", ".exr", ".hdr"),
    *(".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw"),
    *(".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f", ".jph", ".jps", ".psb"),
    *(".bw", ".blp", ".cur", ".dcx", ".dds", ".dib", ".emf", ".eps", ".fit", ".fits", ".flc", ".fli", ".ftc", ".ftu"),
    *(".gbr", ".icb", ".icns", ".ico", ".iim", ".im", ".msp", ".palm", ".pcd", ".pcx", ".ps", ".psd", ".pxr"),
    *(".qoi", ".ras", ".rgb", ".rgba", ".sgi", ".tga", ".vda", ".vst", ".wmf", ".xbm", ".xpm"),
)
"""Of images of other formats, which are told rather than passed over."""
CONVERT = "convert the image to PNG or JPEG, as `magick mogrify -format png *.jxl` does with a folder of photographs"
"""What to do about an image of a format that is not read."""


def unread(name: str) -> str | None:
    """Return why an image file is of no format that is read, None where it is, or is no image file."""
    suffix = folders.suffix(name)
    return f"{suffix} files are not read: {CONVERT}" if suffix in UNREAD else None


class Source(ABC):
    """The images of one probe, as its settings describe them. Nothing is read before a method is called."""

    def __init__(self, name: str, settings: ProbeSettings) -> None:
        self.name = name
        self.settings = settings

    @property
    def path(self) -> Path:
        """The path that the settings name."""
        assert self.settings.path is not None
        return self.settings.path

    @property
    def folder(self) -> Path:
        """The folder inside which the files of entries lie."""
        return self.path if self.path.is_dir() else self.path.parent

    @abstractmethod
    def files(self) -> Mapping[str, Status]:
        """Return the user's files that the images come from; nothing is read but their names.

        Raises
        ------
        ValueError
            There is none.
        """

    @abstractmethod
    def entries(self) -> Iterator[Entry | Refused]:
        """Yield the images, in the same order each time, and what cannot be one.

        Raises
        ------
        ValueError
            The settings do not fit what the files hold.
        """

    @abstractmethod
    def read(self, entry: Entry) -> bytes:
        """Return an image's bytes, unchanged. Quick where entries come in order.

        Raises
        ------
        OSError
            They cannot be read.
        """

    def revisions(self) -> dict[str, str]:
        """Return dataset of the hub, ``id`` or ``id@revision`` as asked -> the commit that the images are of."""
        return {}

    def error(self, key: str, problem: str) -> ValueError:
        """Return the error of a setting that cannot be followed."""
        return ValueError(f"probes.{self.name}.{key}: {problem}")

    def listing(self, suffixes: Collection[str], kind: str, told: Collection[str] = ()) -> dict[str, Status]:
        """Return the files at the settings' path, as ``folders.listing`` does.

        Parameters
        ----------
        told : further suffixes, of files that cannot be used but are to be told.

        Raises
        ------
        ValueError
            There is none.
        """
        statuses = folders.listing(self.path, {*suffixes, *told})
        if not statuses:
            raise self.error("path", f"{self.path} holds no {kind} ({', '.join(suffixes)})")
        return statuses


def why(error: BaseException) -> str:
    """Return the reason of an error in one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
