"""`smart export --for`: each trainer's form by its documented schema, and what it cannot hold is counted and named."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
import yaml

from smart_assets.cli.main import app
from smart_assets.core.errors import SmartError
from smart_assets.documents.trainers import trl
from smart_assets.documents.trainers.write import LEFT_OUT, TRAINERS, find_trainer, write_for
from smart_assets_tests.support.exported_subsets import (
    ANSWERED,
    ASKING,
    CALL,
    OSLO,
    ROWS,
    SYSTEM,
    TOOL_ROWS,
    TOOLS,
    USER,
    WARM,
    WHERE,
    row_of,
    stored,
    subset_of,
)


def written(folder: Path, name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    trainer = find_trainer(name)
    write_for(trainer, subset_of(rows), folder)
    path = folder / trainer.rows_file
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_an_unknown_trainer_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(SmartError, match="for 'unsloth'; there are axolotl, llamafactory, open-instruct, trl"):
        find_trainer("unsloth")


def test_the_help_names_every_trainer() -> None:
    command: Any = typer.main.get_command(app)
    [option] = [param for param in command.commands["export"].params if param.name == "trainer"]
    assert all(name in option.help for name in TRAINERS)


def test_what_is_written_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SmartError, match=r"out\.jsonl: what is written for TRL is a folder"):
        write_for(find_trainer("trl"), subset_of(ROWS), tmp_path / "out.jsonl")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(SmartError, match="is a folder with files in it"):
        write_for(find_trainer("trl"), subset_of(ROWS), tmp_path / "full")


@pytest.mark.parametrize("name", TRAINERS)
def test_equal_subsets_give_equal_bytes_and_rows_keep_what_they_are_known_by(tmp_path: Path, name: str) -> None:
    for place in ("one", "other"):
        rows = written(tmp_path / place, name, [*ROWS, *TOOL_ROWS])
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) >= 3
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()
    assert [(row["id"], row["task"], row["template"], row["source"]) for row in rows] == [
        (f"{number:032x}", "weather", "", "small") for number in range(1, 6)
    ]
    readme = (tmp_path / "one" / "README.md").read_text()
    assert "`" + TRAINERS[name].rows_file in readme
    assert TRAINERS[name].command in readme


def test_axolotl_learns_the_response_alone(tmp_path: Path) -> None:
    first, _, third, fourth, fifth = written(tmp_path / "out", "axolotl", [*ROWS, *TOOL_ROWS])
    assert first["messages"] == [USER, WARM]
    assert third["messages"] == [USER, {**WHERE, "train": False}, OSLO, WARM]
    assert json.loads(fourth["tools"]) == TOOLS
    [call] = fifth["messages"][-1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == CALL["function"]["arguments"]
    [dataset] = yaml.safe_load((tmp_path / "out" / "axolotl.yaml").read_text())["datasets"]
    assert (tmp_path / "out" / dataset["path"]).is_file()
    assert (dataset["type"], dataset["ds_type"], dataset["field_messages"]) == ("chat_template", "json", "messages")
    assert (dataset["message_field_training"], dataset["roles_to_train"]) == ("train", ["assistant"])


def test_llama_factory_has_alternating_turns_of_role_and_content(tmp_path: Path) -> None:
    rows = written(tmp_path / "out", "llamafactory", [*ROWS, *TOOL_ROWS])
    assert rows[1]["messages"] == [SYSTEM, USER, WARM]
    assert rows[0]["tools"] == ""
    fourth = rows[3]["messages"]
    assert [turn["role"] for turn in fourth] == ["system", "user", "function_call", "tool", "assistant"]
    assert json.loads(fourth[2]["content"]) == [CALL["function"]]
    assert all(turn.keys() == {"role", "content"} for row in rows for turn in row["messages"])
    assert [tool["function"]["parameters"]["properties"] for tool in json.loads(rows[3]["tools"])] == [
        {"city": {"type": "string"}},
        {},
    ]
    document = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    lines = yaml.safe_load((tmp_path / "out" / "llamafactory.yaml").read_text())
    dataset = document[lines["dataset"]]
    assert lines["mask_history"]
    assert dataset["formatting"] == "sharegpt"
    assert (tmp_path / "out" / lines["dataset_dir"] / dataset["file_name"]).is_file()


def test_open_instruct_reads_messages_and_flags(tmp_path: Path) -> None:
    rows = written(tmp_path / "out", "open-instruct", [*ROWS, *TOOL_ROWS])
    assert rows[2]["messages"] == [USER, WHERE, OSLO, WARM]
    assert rows[3]["messages"] == [SYSTEM, USER, ASKING, ANSWERED, WARM]
    words = (tmp_path / "out" / "open_instruct.flags").read_text().split()
    mixer = words.index("--dataset_mixer_list")
    assert (tmp_path / "out" / words[mixer + 1]).is_file()
    assert words[mixer + 2] == "1.0"
    assert "last_turn_tulu_tokenize_and_truncate_v1" in words


def test_trl_reads_prompt_and_completion(tmp_path: Path) -> None:
    rows = written(tmp_path / "plain", "trl", ROWS)
    assert (rows[2]["prompt"], rows[2]["completion"]) == ([USER, WHERE, OSLO], [WARM])
    [dataset] = yaml.safe_load((tmp_path / "plain" / "trl.yaml").read_text())["datasets"]
    assert (tmp_path / "plain" / dataset["data_files"]).is_file()
    assert "tools" not in rows[0]


def test_turns_with_calls_have_no_nulls_under_trl(tmp_path: Path) -> None:
    import datasets

    write_for(find_trainer("trl"), subset_of([*ROWS, *TOOL_ROWS]), tmp_path / "out")
    files = str(tmp_path / "out" / find_trainer("trl").rows_file)
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded[3]["prompt"] == [SYSTEM, USER, ASKING, ANSWERED]
    assert loaded[4]["completion"] == [ASKING]
    assert loaded[0]["prompt"] == [USER]
    assert pq.read_schema(files).field("prompt").type == pa.list_(pa.json_())


def test_rows_of_trl_are_one_type_though_calls_come_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = written(tmp_path / "whole", "trl", [*ROWS, *TOOL_ROWS, *ROWS])
    monkeypatch.setattr(trl, "_BATCH_ROWS", 2)
    assert written(tmp_path / "parts", "trl", [*ROWS, *TOOL_ROWS, *ROWS]) == whole
    assert len(whole) == 8


def calling(content: str = "", arguments: object = None) -> dict[str, Any]:
    function = CALL["function"] | ({} if arguments is None else {"arguments": arguments})
    return {"role": "assistant", "content": content, "tool_calls": [{**CALL, "function": function}]}


@pytest.mark.parametrize(
    ("name", "turns", "reason"),
    [
        pytest.param("llamafactory", [USER, OSLO], "turns that do not alternate", id="two users"),
        pytest.param("llamafactory", [WHERE, OSLO], "turns that do not alternate", id="assistant first"),
        pytest.param("llamafactory", [USER, WHERE], "turns that do not alternate", id="two answers"),
        pytest.param("llamafactory", [USER, WHERE, SYSTEM, OSLO], "a system turn that is not the first", id="system"),
        pytest.param("llamafactory", [{**SYSTEM, "role": "developer"}, USER], "a turn of a role", id="developer"),
        pytest.param("llamafactory", [USER, calling("Wait."), ANSWERED], "both text and tool calls", id="text, calls"),
        pytest.param("axolotl", [USER, calling(arguments="now"), ANSWERED], "arguments of a tool call", id="no JSON"),
    ],
)
def test_rows_that_a_trainer_cannot_hold_are_left_out_counted_and_named(
    tmp_path: Path, name: str, turns: list[dict[str, Any]], reason: str
) -> None:
    export = write_for(find_trainer(name), subset_of([*ROWS, row_of(9, messages=stored(turns))]), tmp_path / "out")
    assert export.rows == 3
    [sentence] = export.sentences()
    assert sentence.startswith("1 row left out, with ")
    assert reason in sentence
    [name, task, why] = (tmp_path / "out" / LEFT_OUT).read_text().rstrip("\n").split("\t")
    assert (name, task) == (f"{9:032x}", "weather")
    assert reason in why
    assert sentence in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("name", ["axolotl", "open-instruct", "trl"])
@pytest.mark.parametrize("turns", [[USER, OSLO], [WHERE, OSLO], [{**SYSTEM, "role": "developer"}, USER]])
def test_the_others_hold_them(tmp_path: Path, name: str, turns: list[dict[str, Any]]) -> None:
    export = write_for(find_trainer(name), subset_of([row_of(9, messages=stored(turns))]), tmp_path / "out")
    assert (export.rows, export.sentences()) == (1, [])
    assert not (tmp_path / "out" / LEFT_OUT).exists()


def test_parts_that_a_trainer_has_no_place_for_are_counted(tmp_path: Path) -> None:
    export = write_for(find_trainer("llamafactory"), subset_of([*ROWS, *TOOL_ROWS]), tmp_path / "out")
    assert export.sentences() == [
        "LLaMA-Factory has no place for ids of tool calls of 2 rows",
        "LLaMA-Factory has no place for names of turns of 1 row",
    ]


def test_a_trainer_that_can_hold_no_row_is_given_nothing(tmp_path: Path) -> None:
    rows = [row_of(9, messages=stored([USER, OSLO]))]
    with pytest.raises(SmartError, match="LLaMA-Factory can hold no row of smart-20: 1 row left out, with turns"):
        write_for(find_trainer("llamafactory"), subset_of(rows), tmp_path / "out")
    assert not (tmp_path / "out").exists()
