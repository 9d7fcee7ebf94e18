"""What the name of a file says: its format, how it is compressed, and why a file of another kind is not read.

Light to import, as the settings are.
"""

from dataclasses import dataclass

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
"""What a whole file may be compressed with, by its last ending, as pyarrow calls it."""

TEXT_FORMATS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
TABLE_FORMATS = (".parquet", ".arrow", ".feather")  # compressed inside, and read from any place: never as a whole
FORMATS = (*TEXT_FORMATS, *TABLE_FORMATS)

DESCRIBES = "describes a dataset and holds no rows"
HIDDEN = "hidden: its name begins with a dot"
SPECIAL = "no file of bytes: a pipe, a socket or a device"
DUPLICATE_LINK = "a link to what stands under its own name"
LINK_OUT = "a link that leads out of the source's folder"
_DESCRIPTIONS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "croissant.json")
_COMPRESSED_TABLE = "compressed as a whole, and its format inside already: unpack it"
_OTHER = "a format that is not read: save it as JSON lines (.jsonl), CSV or Parquet"
_BY_ENDING = {
    "an archive: unpack it into the folder": (".zip", ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".7z", ".rar"),
    "compressed in a way that is not read: unpack it, or compress it as .gz or .zst": (
        ".xz", ".lzma", ".lz4", ".br", ".sz", ".snappy", ".z", *COMPRESSIONS,
    ),
    "a spreadsheet: save its sheet as CSV": (".xlsx", ".xls", ".xlsm", ".ods"),
    "plain text without columns: save its rows as JSON lines (.jsonl)": (".txt", ".text", ".log"),
    "a document, not rows": (".md", ".markdown", ".rst", ".html", ".htm", ".pdf", ".docx"),
    "a program, which is never run": (".py", ".ipynb", ".sh", ".js", ".exe", ".so"),
    "Python objects, whose reading would run code: save them as Parquet": (
        ".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill",
    ),
}  # fmt: skip
_REASONS = {ending: reason for reason, endings in _BY_ENDING.items() for ending in endings}


@dataclass(frozen=True, slots=True)
class FileName:
    """The name of a file of a source, taken apart."""

    folders: tuple[str, ...]  # those it lies in, below the source's own
    stem: str  # without folders and endings
    format: str | None  # one of FORMATS; None where it is none that is read
    compression: str | None = None  # one of the keys of COMPRESSIONS


def parse_name(name: str) -> FileName:
    """Take a name apart, its folders separated by "/". Endings count in capitals, too."""
    *folders, last = name.split("/")
    stem, ending = _split(last)
    compression = ending if ending in COMPRESSIONS else None
    if compression:
        stem, ending = _split(stem)
    known = ending in (TEXT_FORMATS if compression else FORMATS) and bool(stem)
    return FileName(tuple(folders), stem if known else last, ending if known else None, compression)


def why_not_read(name: str) -> str:
    """Return why a file whose name gives no format is not read, and what to do about it."""
    last = name.rpartition("/")[2]
    stem, ending = _split(last)
    inner = _split(stem)[1]
    if ending in COMPRESSIONS and inner in TABLE_FORMATS:
        return _COMPRESSED_TABLE
    if inner == ".tar":
        return _REASONS[".tar"]
    return _REASONS.get(ending, _OTHER)


def is_description(name: str) -> bool:
    """Return whether a file is one by which the `datasets` library describes a dataset."""
    return name.rpartition("/")[2] in _DESCRIPTIONS


def _split(name: str) -> tuple[str, str]:
    """Return what stands before the last ending of a name, and that ending in small letters with its dot."""
    stem, dot, ending = name.rpartition(".")
    return (stem, f".{ending.lower()}") if dot and stem else (name, "")
