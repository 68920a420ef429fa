"""What files and tensors were probably called elsewhere."""

from __future__ import annotations

import time

from mvc.repo.likeness import Neighbours, counterparts, model_of, natural

LAYERS = {
    f"encoder.layer.{layer}.{part}": size
    for layer in range(12)
    for part, size in (
        ("attention.key.weight", 4096),
        ("attention.query.weight", 4096),
        ("mlp.weight", 9000),
        ("mlp.bias", 2000),
    )
}


def test_names_that_are_known_need_no_guess() -> None:
    assert counterparts(LAYERS, LAYERS) == {}


def test_a_prefix_that_came_or_went_is_seen_through() -> None:
    prefixed = {f"bert.model.{name}": size for name, size in LAYERS.items()}
    assert counterparts(prefixed, LAYERS) == {f"bert.model.{name}": name for name in LAYERS}
    assert counterparts(LAYERS, prefixed) == {name: f"bert.model.{name}" for name in LAYERS}


def test_one_prefix_may_stand_for_another_and_the_head_may_be_new() -> None:
    new = {f"module.{name}": size for name, size in LAYERS.items()} | {"module.head.weight": 3000}
    old = {f"bert.{name}": size for name, size in LAYERS.items()}
    found = counterparts(new, old)
    assert found == {f"module.{name}": f"bert.{name}" for name in LAYERS}


def test_slashes_and_the_ending_of_keras_make_no_difference() -> None:
    found = counterparts({"dense_1/kernel:0": 5000}, {"model.dense_1.kernel": 5000})
    assert found == {"dense_1/kernel:0": "model.dense_1.kernel"}


def test_what_a_prefix_leaves_open_is_no_answer() -> None:
    old = {"a.0.weight": 5000, "b.0.weight": 5000, "c.0.weight": 6000}
    assert counterparts({"x.0.weight": 5000}, old) == {}
    assert counterparts({"x.0.weight": 6000}, old) == {"x.0.weight": "c.0.weight"}


def test_a_grown_tensor_is_found_where_only_one_name_ends_so() -> None:
    old = LAYERS | {"embeddings.word.weight": 70_000}
    new = {f"bert.{name}": size for name, size in LAYERS.items()}
    new |= {"bert.embeddings.word.weight": 70_400}
    assert counterparts(new, old)["bert.embeddings.word.weight"] == "embeddings.word.weight"


def test_other_names_are_matched_by_size_and_order_of_their_numbers() -> None:
    names = {
        "attention.key.weight": "attn_k.weight",
        "attention.query.weight": "attn_q.weight",
        "mlp.weight": "ffn.weight",
        "mlp.bias": "ffn.bias",
    }
    new, expected = {}, {}
    for name, size in LAYERS.items():
        _, _, layer, rest = name.split(".", 3)
        new[f"blk.{layer}.{names[rest]}"] = size
        expected[f"blk.{layer}.{names[rest]}"] = name
    assert counterparts(new, LAYERS) == expected


def test_layers_may_be_counted_from_one() -> None:
    old = {f"h.{layer}.w": 5000 for layer in range(12)}
    new = {f"block{layer}/kernel": 5000 for layer in range(1, 13)}
    found = counterparts(new, old)
    assert found == {f"block{layer}/kernel": f"h.{layer - 1}.w" for layer in range(1, 13)}


def test_added_layers_leave_the_others_where_their_numbers_say() -> None:
    old = {f"h.{layer}.w": 5000 for layer in range(10)}
    new = {f"block{layer}/kernel": 5000 for layer in range(12)}
    assert counterparts(new, old) == {f"block{layer}/kernel": f"h.{layer}.w" for layer in range(10)}


def test_different_numbers_of_equal_tensors_are_not_matched() -> None:
    assert counterparts({"a": 5000, "b": 5000}, {"c": 5000}) == {}


def test_time_is_in_proportion_to_the_names() -> None:
    many = {f"model.layers.{n // 10}.experts.{n % 10}.w": 4096 for n in range(100_000)}
    renamed = {f"x.y.{n // 10}.e{n % 10}.kernel": 4096 for n in range(100_000)}
    start = time.process_time()
    assert len(counterparts(renamed, many)) == len(many)
    assert len(counterparts({f"a.{name}": size for name, size in many.items()}, many)) == len(many)
    assert time.process_time() - start < 15


def test_shards_belong_to_one_model() -> None:
    assert model_of("a/model-00002-of-00030.safetensors") == "a/model.safetensors"
    assert model_of("pytorch_model-00001-of-00002.bin") == "pytorch_model.bin"
    assert model_of("step-0001.pt") == "step-0001.pt"
    assert natural("layer.9") < natural("layer.10")


def near(path: str, size: int, *others: tuple[str, int]) -> list[str]:
    found = Neighbours()
    for other, other_size in others:
        found.add(other, other_size)
    return found.near(path, size)


def test_the_same_model_in_another_format_or_in_shards_comes_first() -> None:
    others = [("a/x.safetensors", 500), ("a/model.pt", 501), ("b/other.safetensors", 500)]
    assert near("a/model.safetensors", 500, *others)[0] == "a/model.pt"
    shards = [(f"model-0000{n}-of-00003.safetensors", 170) for n in (1, 2, 3)]
    found = near("model.safetensors", 500, ("old.safetensors", 500), *shards)
    assert found[0] in dict(shards)


def test_a_file_that_moved_comes_before_strangers() -> None:
    others = [("b/model.pt", 500), ("a/tokenizer.pt", 3), ("a/adapter.pt", 40)]
    assert near("a/model.pt", 500, *others)[0] == "b/model.pt"


def test_of_a_series_the_nearest_come_first() -> None:
    steps = [(f"run/step{n:04}.pt", 500) for n in range(0, 1000, 10)]
    found = near("run/step0505.pt", 500, *steps)
    assert found[:4] == [f"run/step{n:04}.pt" for n in (500, 510, 490, 520)]


def test_a_path_is_not_near_itself_and_its_size_may_change() -> None:
    found = Neighbours()
    found.add("a.pt", 100)
    found.add("b.pt", 900)
    found.add("b.pt", 100)
    assert found.near("a.pt", 100) == ["b.pt"]
    assert Neighbours().near("a.pt", 100) == []


def test_shards_are_told_from_models_beside_them() -> None:
    found = Neighbours()
    for path in ("m-00001-of-00002.bin", "m-00002-of-00002.bin", "m-00001-of-00001.gguf", "n.bin"):
        found.add(path, 10)
    assert found.shards("m-00001-of-00002.bin") == ["m-00001-of-00002.bin", "m-00002-of-00002.bin"]
    assert found.shards("n.bin") == ["n.bin"]


def test_thousands_of_files_stay_fast() -> None:
    found = Neighbours()
    start = time.process_time()
    for number in range(10_000):
        found.add(f"devices/car-{number}/model.safetensors", 500 + number % 7)
        found.near(f"devices/car-{number + 1}/model.safetensors", 500)
    assert time.process_time() - start < 15
