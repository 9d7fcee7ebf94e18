"""Tables as Dagster metadata."""

import dagster as dg
import pyarrow as pa

TABLE_ROWS = 100


def table(rows: pa.Table) -> dg.TableMetadataValue:
    """Return the first rows of a table as metadata."""
    records = [
        dg.TableRecord({name: value if value is not None else "" for name, value in row.items()})
        for row in rows.slice(0, TABLE_ROWS).to_pylist()
    ]
    kinds = {name: _column_kind(rows.schema.field(name).type) for name in rows.column_names}
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in kinds.items()])
    return dg.MetadataValue.table(records, schema)


def _column_kind(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "int"
    return "float" if pa.types.is_floating(kind) else "string"
