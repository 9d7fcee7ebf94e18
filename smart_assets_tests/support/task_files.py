"""Files of rows in every format and compression."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from smart_assets.tasks.file_names import COMPRESSIONS, parse_name


def content_of(name: str, values: list[dict[str, str]]) -> bytes:
    """The bytes of a file of rows in the format and the compression of its name."""
    parsed = parse_name(name)
    table = pa.Table.from_pylist(values)
    sink = pa.BufferOutputStream()
    if parsed.format == ".parquet":
        pq.write_table(table, sink)
        return sink.getvalue().to_pybytes()
    if parsed.format in (".arrow", ".feather"):
        writer = pa.ipc.new_stream if parsed.format == ".arrow" else pa.ipc.new_file
        with writer(sink, table.schema) as stream:
            stream.write_table(table, max_chunksize=2)
        return sink.getvalue().to_pybytes()
    if parsed.format in (".csv", ".tsv"):
        comma = "," if parsed.format == ".csv" else "\t"
        quoted = [[f'"{text.replace(chr(34), chr(34) * 2)}"' for text in row.values()] for row in values]
        text = "\n".join(comma.join(fields) for fields in [["prompt", "response"], *quoted])
    else:
        text = json.dumps(values) if parsed.format == ".json" else "\n".join(map(json.dumps, values))
    if parsed.compression is None:
        return text.encode()
    with pa.CompressedOutputStream(sink, COMPRESSIONS[parsed.compression]) as stream:
        stream.write(text.encode())
    return sink.getvalue().to_pybytes()
