"""A draft of the training-data summary that Article 53(1)(d) of Regulation (EU) 2024/1689 asks providers for.

Its sections are those of the Commission's template of 24 July 2025. What the store cannot know is a marked blank.
"""

from collections.abc import Sequence

from smart_assets.core.formatting import count
from smart_assets.core.safe_text import escaped, markdown_table
from smart_assets.documents.checkpoints import CheckpointRecord
from smart_assets.documents.sources import SourceRecord
from smart_assets.documents.subsets import SubsetRecord
from smart_assets.documents.terms import base_model, moment
from smart_assets.tasks.source_kind import PublicDataset

BLANK = "**TO BE FILLED IN**"


def training_summary(checkpoint: CheckpointRecord, subset: SubsetRecord) -> str:
    """Markdown; holds no prompt and no response."""
    return (
        "\n\n".join([_HEADING, _general(checkpoint, subset), _data_sources(subset.sources), _processing(checkpoint)])
        + "\n"
    )


_HEADING = f"""# Summary of training content (DRAFT)

> **DRAFT, not a legal document.** Written from what was recorded when the model was made, in the sections of the
> template for Article 53(1)(d) of Regulation (EU) 2024/1689. It covers the fine-tuning alone: what the base model was
> trained on is not recorded here. Lines with {BLANK} are for the provider; nobody has reviewed the others."""


def _general(checkpoint: CheckpointRecord, subset: SubsetRecord) -> str:
    base = base_model(checkpoint)
    revision = f" at revision {escaped(base.revision)}" if base.revision else ""
    read = max(source.read_at for source in subset.sources)[:10]
    return f"""## 1. General information

### 1.1 Provider identification

- Provider name and contact details: {BLANK}
- Authorised representative name and contact details (providers outside the Union): {BLANK}

### 1.2 Model identification

- Versioned model name: {escaped(checkpoint.name)}, content version `{checkpoint.manifest.content_version}`
- Model dependencies: a modification of {escaped(base.label)}{revision}; its own summary: {BLANK}
- Date of placement of the model on the Union market: {BLANK}

### 1.3 Modalities, overall training data size and other characteristics

- Modality: text
- Training data size: {count(subset.rows.num_rows, "row")} of {count(len(subset.tasks), "task")}; {_tokens(checkpoint)}
- Types of content: prompts with the responses that were trained on; described in more words: {BLANK}
- Latest date of data acquisition: the files were last read on {read}; when they were collected: {BLANK}
- Continuously trained on new data: no, this version is fixed
- Linguistic characteristics of the training data: {BLANK}
- Other relevant characteristics: {BLANK}"""


def _tokens(checkpoint: CheckpointRecord) -> str:
    """Return the size in tokens: the template's smallest range is below one billion."""
    counted = f"{checkpoint.result.response_tokens:,} tokens of responses by the model's tokenizer, prompts not counted"
    return f"{counted} (range in tokens: {BLANK})"


def _data_sources(sources: Sequence[SourceRecord]) -> str:
    public = [(source, source.dataset) for source in sources if source.dataset is not None]
    others = [source for source in sources if source.dataset is None]
    return f"""## 2. List of data sources

### 2.1 Publicly available datasets

{_public_tables(public)}

### 2.2 Private non-publicly available datasets obtained from third parties

#### 2.2.1 Datasets commercially licensed by rightsholders or their representatives

{BLANK}

#### 2.2.2 Private datasets obtained from other third parties

{BLANK}

### 2.3 Data crawled and scraped from online sources

Nothing was crawled by the software that made the model. Whether the files below hold crawled content: {BLANK}

### 2.4 User data

{BLANK}

### 2.5 Synthetic data

{BLANK}

### 2.6 Other sources of data

{_other_table(others)}"""


def _public_tables(datasets: list[tuple[SourceRecord, PublicDataset]]) -> str:
    if not datasets:
        return f"No dataset of the Hugging Face hub was read. Others among the files of 2.6: {BLANK}"
    hosts = sorted({dataset.host for _, dataset in datasets})
    tables = (_public_table(host, [pair for pair in datasets if pair[1].host == host]) for host in hosts)
    return "\n\n".join([*tables, f"Whether each is public, and what it holds: {BLANK}"])


def _public_table(host: str, datasets: list[tuple[SourceRecord, PublicDataset]]) -> str:
    columns = [
        f"dataset of the {host}",
        "configuration",
        "split",
        "commit",
        "licence as recorded",
        "rows in the subset",
    ]
    rows = [
        [source.label, dataset.subset or "default", dataset.split, source.revision, source.licence, source.rows]
        for source, dataset in datasets
    ]
    return markdown_table(columns, rows)


def _other_table(sources: list[SourceRecord]) -> str:
    if not sources:
        return "No local files were read."
    columns = ["source", "files", "licence as recorded", "rows in the subset"]
    rows = [[source.label, len(source.files) or source.where, source.licence, source.rows] for source in sources]
    heading = "Local files, each with its hash in `croissant.json`"
    if any(not source.files for source in sources):
        heading += "; and sources without files, each with its version there"
    return f"{heading}:\n\n{markdown_table(columns, rows)}\n\nWhich of the sections 2.1 to 2.5 each belongs to: {BLANK}"


def _processing(checkpoint: CheckpointRecord) -> str:
    result = checkpoint.result
    return f"""## 3. Data processing aspects

### 3.1 Respect of reservation of rights from text and data mining exception or limitation

- Signatory to the Code of Practice for general-purpose AI models: {BLANK}
- Measures to identify and respect reservations of rights: the software takes none; those of the provider: {BLANK}

### 3.2 Removal of illegal content

- Measures taken: the software takes none; those of the provider: {BLANK}

### 3.3 Other information

- Malformed and duplicate rows were rejected when the files were read; held-out rows and prompts near to them were not
  trained on.
- Rows left out (too long, or refused by the chat template): {len(result.dropped):,}; cut at the length limit:
  {len(result.truncated):,}.
- Made {moment(checkpoint.manifest)}."""
