"""Our scoring of rows beside lm-eval's own: `python -m benchmarks.evaluation`.

Both ask the same model the same requests in this process, in turns: the responses of T0 rows, and the ranked choices of
BIG-Bench Hard. The peer is lm-eval's `HFLM` around the same weights, with as many rows at once. Answers are compared.
"""

import argparse
import random
import time
from pathlib import Path
from typing import Any

from benchmarks.training import read_rows, smollm2
from smart_assets.evaluation.job import EvaluationJob
from smart_assets.evaluation.language_model import LanguageModel, load_language_model
from smart_assets.evaluation.progress import RequestProgress
from smart_assets.evaluation.rows import Benchmark, prepare_rows
from smart_assets.evaluation.task_collections import read_collections
from smart_assets.training.formatting import ChatInstance

TURNS = 2


def main() -> None:
    """Print a Markdown table of both sides' seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rows", type=int, default=40, help="Of T0.")
    parser.add_argument("--rows-per-task", type=int, default=1, help="Of BIG-Bench Hard.")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    job = job_of(arguments)
    model = load_language_model(job, RequestProgress(lambda _: None), print)
    [bbh] = read_collections(job.evaluate, print)
    picked = read_rows(arguments.data, arguments.rows)
    t0 = [ChatInstance(str(at), "t0", row["prompt"], row["response"], None) for at, row in enumerate(picked)]
    print("| requests | number | lm-eval's seconds | ours | ratio | largest difference (nats) |")
    print("|---|---|---|---|---|---|")
    for name, benchmark in {"responses of T0": Benchmark("t0", t0), "choices of BBH": bbh.benchmark}.items():
        asked = requests(model, benchmark)
        sides = {"lm-eval": peer(model, arguments.batch_size), "ours": model.lm}
        answers: dict[str, Any] = {}
        seconds = dict.fromkeys(sides, 0.0)
        for side in [*sides] * TURNS:
            started = time.perf_counter()
            answers[side] = sides[side]._loglikelihood_tokens(asked)
            seconds[side] += (time.perf_counter() - started) / TURNS
        apart = max(abs(one - other) for (one, _), (other, _) in zip(*answers.values(), strict=True))
        ratio = seconds["lm-eval"] / seconds["ours"]
        print(
            f"| {name} | {len(asked)} | {seconds['lm-eval']:.1f} | {seconds['ours']:.1f} | {ratio:.2f} | {apart:.4f} |"
        )


def job_of(arguments: argparse.Namespace) -> EvaluationJob:
    """Return the evaluation of SmolLM2-135M-Instruct, remembering nothing."""
    base = smollm2().path
    return EvaluationJob.model_validate(
        {
            "model": base,
            "model_cache": base.parent,
            "out": "-",
            "prompt_format": "plain",
            "precision": arguments.precision,
            "device": arguments.device,
            "evaluate": {
                "held_out": False,
                "batch_size": arguments.batch_size,
                "choices": True,
                "collections": {
                    "bbh": {
                        "path": str(arguments.data / "bbh"),
                        "columns": {"prompt": "input", "response": "target"},
                        "max_rows_per_task": arguments.rows_per_task,
                    }
                },
            },
        }
    )


def requests(model: LanguageModel, benchmark: Benchmark) -> list[Any]:
    """Return what is asked, as tokens, in no order."""
    rows = prepare_rows(model, benchmark).scored
    found = [(None, *model.lm._encode_pair(row.example.context, text)) for row in rows for text in row.continuations]
    random.Random(0).shuffle(found)  # noqa: S311
    return found


def peer(model: LanguageModel, batch_size: int) -> Any:
    """Return lm-eval's own class around the same model."""
    from lm_eval.models.huggingface import HFLM

    own: Any = HFLM  # its decorator hides its type
    lm = own(pretrained=model.lm.model, tokenizer=model.tokenizer, batch_size=batch_size, softmax_dtype="float32")
    compute = lm._loglikelihood_tokens
    lm._loglikelihood_tokens = lambda asked: compute(asked, disable_tqdm=True)
    return lm


if __name__ == "__main__":
    main()
