from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from smart_assets.training.formatting import ChatInstance
from smart_assets.training.loading import load_causal_lm, load_tokenizer
from smart_assets.training.loss import IGNORED, LOSSES, RowMean, TokenMean, batch_rows, takes_logits_to_keep
from smart_assets.training.rows import TokenRow, encode_rows
from smart_assets.training.settings import LossMean
from smart_assets_tests.support.row_encoders import encoder_of
from smart_assets_tests.support.tiny_model import SENTENCES, make_tiny_model


@pytest.fixture(scope="module")
def model_and_rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[TokenRow]]:
    folder = make_tiny_model(tmp_path_factory.mktemp("tiny"), chat=True)
    tokenizer = load_tokenizer(folder, trust_remote_code=False)
    instances = [ChatInstance(str(i), "t", text[: 4 * i], text[4 * i :], None) for i, text in enumerate(SENTENCES)]
    rows, dropped = encode_rows(encoder_of(tokenizer), instances, 512)
    assert not dropped
    return load_causal_lm(folder, "float32", trust_remote_code=False), rows


def naive_losses(model: Any, row: TokenRow) -> Any:
    """Of each response token, (r,), with all logits and one token at a time; written to be read."""
    import torch

    tokens = torch.tensor(row.tokens.tolist())
    logits = model(tokens[None]).logits[0]
    places = range(row.response_start, len(tokens))
    return torch.stack([-torch.log_softmax(logits[place - 1], dim=0)[tokens[place]] for place in places])


def naive_loss(model: Any, rows: list[TokenRow], loss: LossMean) -> Any:
    import torch

    losses = [naive_losses(model, row) for row in rows]
    if loss == "tokens":
        return torch.cat(losses).mean()
    return torch.stack([of_row.mean() for of_row in losses]).mean()


def gradients(model: Any, loss: Any) -> list[Any]:
    model.zero_grad()
    loss.backward()
    return [weight.grad.clone() for weight in model.parameters()]


@pytest.mark.parametrize("loss", ["rows", "tokens"])
@pytest.mark.parametrize(
    "keep_logits", [pytest.param(True, id="response logits"), pytest.param(False, id="all logits")]
)
@pytest.mark.parametrize("parts", [pytest.param(1, id="one micro-batch"), pytest.param(3, id="three micro-batches")])
def test_loss_and_gradients_are_those_of_the_naive_loop(
    model_and_rows: Any, loss: LossMean, keep_logits: bool, parts: int
) -> None:
    import torch

    model, rows = model_and_rows
    mean = LOSSES[loss]
    batches = [batch_rows(pad_id=2, keep_logits=keep_logits)([rows[part::parts]]) for part in range(parts)]
    labels = [batch.pop("labels") for batch in batches]
    outputs = [model(**batch) for batch in batches]
    shapes = [((of_batch != IGNORED).sum(),) if keep_logits else of_batch.shape for of_batch in labels]
    assert [output.logits.shape[:-1] for output in outputs] == shapes
    items = torch.stack([mean.items(of_batch) for of_batch in labels]).sum()
    assert items == (len(rows) if loss == "rows" else sum(len(row.tokens) - row.response_start for row in rows))
    fast = torch.stack([mean(*each, num_items_in_batch=items) for each in zip(outputs, labels, strict=True)]).sum()
    naive = naive_loss(model, rows, loss)
    torch.testing.assert_close(fast, naive)
    for one, other in zip(gradients(model, fast), gradients(model, naive), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mean", [RowMean(), TokenMean()], ids=["rows", "tokens"])
def test_loss_over_a_batch_alone_is_its_mean(model_and_rows: Any, mean: Any) -> None:
    import torch

    model, rows = model_and_rows
    batch = batch_rows(pad_id=2, keep_logits=True)([rows])
    labels = batch.pop("labels")
    outputs = model(**batch)
    whole = mean(outputs, labels, num_items_in_batch=1)
    torch.testing.assert_close(mean(outputs, labels), whole / mean.items(labels))


def test_a_long_response_counts_as_one_row_or_as_its_tokens() -> None:
    """Two rows, of one token at 3 nats and of three tokens at 1 nat: means of 2 and of 1.5."""
    import torch

    labels = torch.tensor([[IGNORED, 0, IGNORED, IGNORED], [IGNORED, 0, 0, 0]])
    certain = [[0.0, np.log(np.expm1(nats))] for nats in (3.0, 1.0, 1.0, 1.0)]  # the loss of token 0 is `nats`
    outputs = SimpleNamespace(logits=torch.tensor(certain))
    assert LOSSES["rows"](outputs, labels).item() == pytest.approx(2.0)
    assert LOSSES["tokens"](outputs, labels).item() == pytest.approx(1.5)


def test_a_batch_is_padded_right_and_padding_is_never_seen(model_and_rows: Any) -> None:
    _, rows = model_and_rows
    batch = batch_rows(pad_id=2, keep_logits=True)([rows])
    longest = max(len(row.tokens) for row in rows)
    for index, row in enumerate(rows):
        tokens, context = row.tokens.tolist(), row.response_start
        read, empty = len(tokens), longest - len(tokens)
        assert batch["input_ids"][index].tolist() == tokens + [2] * empty
        assert batch["attention_mask"][index].tolist() == [1] * read + [0] * empty
        assert batch["labels"][index].tolist() == [IGNORED] * context + tokens[context:] + [IGNORED] * empty
        predicts = [context - 1 <= position < read - 1 for position in range(longest)]
        assert batch["logits_to_keep"][index].tolist() == predicts


@pytest.mark.parametrize("loss", ["rows", "tokens"])
def test_a_micro_batch_without_rows_has_no_loss_and_no_gradient(model_and_rows: Any, loss: LossMean) -> None:
    model, _ = model_and_rows
    for keep_logits in (True, False):
        batch = batch_rows(pad_id=2, keep_logits=keep_logits)([[]])
        labels = batch.pop("labels")
        assert LOSSES[loss].items(labels) == 0
        found = LOSSES[loss](model(**batch), labels, num_items_in_batch=7)
        assert found.item() == 0
        assert all(not gradient.any() for gradient in gradients(model, found))


def test_models_from_elsewhere_give_all_their_logits(model_and_rows: Any) -> None:
    model, _ = model_and_rows
    foreign = type("Foreign", (type(model),), {"__module__": "modeling_foreign"})
    assert takes_logits_to_keep(model)
    assert not takes_logits_to_keep(foreign(model.config))
