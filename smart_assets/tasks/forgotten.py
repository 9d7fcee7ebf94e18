"""The rows that are to be forgotten: by their ids, which are hashes of what they say, and by their tasks."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from smart_assets.tasks.rows import content_hash


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What no source may give. A refused row has no id of its own: it goes by `refusal_id`.

    An id is of a row in its task. What the row says is known by `text_id`, under whatever task it comes back.
    """

    ids: frozenset[str] = frozenset()  # 32 hex digits each
    tasks: frozenset[str] = frozenset()  # whole tasks, also rows of theirs that are yet to come
    texts: frozenset[str] = frozenset()  # 32 hex digits each

    def __bool__(self) -> bool:
        return bool(self.ids or self.tasks or self.texts)

    def covers(self, ids: pa.ChunkedArray, tasks: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return which rows are to be forgotten.

        Args:
            ids: (rows,) 32 hex digits each, null for a refused row whose text is not forgotten.
            tasks: (rows,) null where a refused row names none.

        Returns:
            (rows,) booleans.
        """
        return pc.or_(pc.is_in(ids, value_set=_strings(self.ids)), pc.is_in(tasks, value_set=_strings(self.tasks)))


NOTHING = Forgotten()


@lru_cache(maxsize=8)
def _strings(values: frozenset[str]) -> pa.Array:
    """Return values in no order, once for all that a plan asks of them."""
    return pa.array(list(values), pa.string())


def text_id(prompt: str, response: str, messages: str | None) -> str:
    """Return the id of what a row says, whatever its task: 128 bits over its texts, in hex."""
    return content_hash("text", prompt, response, messages or "")


def refusal_id(excerpt: str) -> str:
    """Return the id by which a refused row is forgotten: 128 bits over its excerpt, in hex."""
    return content_hash("refused", excerpt)
