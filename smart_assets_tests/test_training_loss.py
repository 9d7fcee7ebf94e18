from typing import Any

import pytest

from smart_assets.training.formatting import Instance
from smart_assets.training.loading import load_causal_lm, load_tokenizer
from smart_assets.training.loss import IGNORED, batch_rows, response_loss, takes_logits_to_keep
from smart_assets.training.rows import TokenRow, encode_rows
from smart_assets_tests.row_encoders import encoder_of
from smart_assets_tests.tiny_model import SENTENCES, make_tiny_model


@pytest.fixture(scope="module")
def model_and_rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[TokenRow]]:
    folder = make_tiny_model(tmp_path_factory.mktemp("tiny"), chat=True)
    tokenizer = load_tokenizer(folder, trust_remote_code=False)
    instances = [Instance(str(i), "t", text[: 4 * i], text[4 * i :], None) for i, text in enumerate(SENTENCES)]
    rows, dropped = encode_rows(encoder_of(tokenizer), instances, 512)
    assert not dropped
    return load_causal_lm(folder, "float32", trust_remote_code=False), rows


def naive_loss(model: Any, row: TokenRow) -> Any:
    """The sum over the response tokens, one row at a time and with all logits; written to be read."""
    import torch

    tokens = torch.tensor(row.tokens.tolist())
    logits = model(tokens[None]).logits[0]
    total = torch.tensor(0.0)
    for position in range(row.response_start, len(tokens)):
        total = total - torch.log_softmax(logits[position - 1], dim=0)[tokens[position]]
    return total


def gradients(model: Any, loss: Any) -> list[Any]:
    model.zero_grad()
    loss.backward()
    return [weight.grad.clone() for weight in model.parameters()]


@pytest.mark.parametrize(
    "keep_logits", [pytest.param(True, id="response logits"), pytest.param(False, id="all logits")]
)
def test_loss_and_gradients_are_those_of_the_naive_loop(model_and_rows: Any, keep_logits: bool) -> None:
    import torch

    model, rows = model_and_rows
    batch = batch_rows(pad_id=2, keep_logits=keep_logits)([rows])
    labels = batch.pop("labels")
    outputs = model(**batch)
    learnt = int((labels != IGNORED).sum())
    assert outputs.logits.shape[:-1] == ((learnt,) if keep_logits else labels.shape)
    loss = response_loss(outputs, labels, num_items_in_batch=torch.tensor(learnt))
    oracle = torch.stack([naive_loss(model, row) for row in rows]).sum() / learnt
    torch.testing.assert_close(loss, oracle)
    for fast, naive in zip(gradients(model, loss), gradients(model, oracle), strict=True):
        torch.testing.assert_close(fast, naive, rtol=1e-4, atol=1e-6)


def test_loss_over_a_batch_alone_is_its_mean(model_and_rows: Any) -> None:
    import torch

    model, rows = model_and_rows
    batch = batch_rows(pad_id=2, keep_logits=True)([rows])
    labels = batch.pop("labels")
    outputs = model(**batch)
    mean = response_loss(outputs, labels)
    torch.testing.assert_close(mean, response_loss(outputs, labels, num_items_in_batch=1) / (labels != IGNORED).sum())


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


def test_a_micro_batch_without_rows_has_no_loss_and_no_gradient(model_and_rows: Any) -> None:
    model, _ = model_and_rows
    for keep_logits in (True, False):
        batch = batch_rows(pad_id=2, keep_logits=keep_logits)([[]])
        labels = batch.pop("labels")
        loss = response_loss(model(**batch), labels, num_items_in_batch=7)
        assert loss.item() == 0
        assert all(not gradient.any() for gradient in gradients(model, loss))


def test_models_from_elsewhere_give_all_their_logits(model_and_rows: Any) -> None:
    model, _ = model_and_rows
    foreign = type("Foreign", (type(model),), {"__module__": "modeling_foreign"})
    assert takes_logits_to_keep(model)
    assert not takes_logits_to_keep(foreign(model.config))
