from __future__ import annotations

import io
import json
import struct
import time
import zipfile
from typing import Any

import numpy as np
import pytest
from hostile import PAYLOADS, contents, locate, mutations, names, state_dicts, survives
from hypothesis import given
from hypothesis import strategies as st
from torch_files import (
    Call,
    Name,
    Persistent,
    dumps,
    ordered,
    save_legacy,
    save_zip,
    state_dict,
    storage,
    tensor,
)

from mvc.base.errors import FormatError
from mvc.formats import npz, safetensors, torch_legacy, torch_zip
from mvc.formats.base import BytesSource, Located


def f32(count: int) -> bytes:
    return np.arange(count, dtype="<f4").tobytes()


def both(value: Any, storages: dict[str, tuple[int, bytes]]) -> list[Located]:
    plain = {key: raw for key, (_, raw) in storages.items()}
    return [
        locate(torch_zip, save_zip(value, plain)),
        locate(torch_legacy, save_legacy(value, storages)),
    ]


def seen(located: Located, data: bytes, name: str) -> list[float]:
    """Return the elements of a float32 tensor or view, as PyTorch would give them."""
    views = {view.name: view for view in located.views}
    extents = {extent.name: extent for extent in located.extents}
    view = views.get(name)
    extent = extents[view.source if view else name]
    flat = np.frombuffer(data, "<f4", extent.length // 4, extent.offset)
    if view:
        strides = [4 * stride for stride in view.strides]
        flat = np.lib.stride_tricks.as_strided(flat[view.offset :], view.shape, strides)
    return [float(item) for item in flat.ravel()]


@given(state_dicts())
def test_every_tensor_of_a_generated_zip_is_found_with_its_bytes(arrays: Any) -> None:
    value, plain, _ = state_dict(arrays)
    data = save_zip(value, plain)
    located = locate(torch_zip, data)
    assert contents(located, data) == arrays
    assert located.views == ()
    assert torch_zip.matches(data[:512], BytesSource(data))
    assert not npz.matches(data[:512], BytesSource(data))


@given(state_dicts())
def test_every_tensor_of_a_generated_legacy_file_is_found_with_its_bytes(arrays: Any) -> None:
    value, _, counted = state_dict(arrays)
    data = save_legacy(value, counted)
    assert contents(locate(torch_legacy, data), data) == arrays
    assert torch_legacy.matches(data[:512], BytesSource(data))


def test_three_containers_give_the_same_tensors() -> None:
    arrays = {
        "w": ("float32", (2, 3), f32(6)),
        "n": ("int64", (), bytes(8)),
        "e": ("float16", (0, 2), b""),
    }
    value, plain, counted = state_dict(arrays)
    out = io.BytesIO()
    kwargs: Any = {k: np.frombuffer(raw, d).reshape(s) for k, (d, s, raw) in arrays.items()}
    np.savez(out, **kwargs)
    header, data = {}, b""
    for name, (label, shape, raw) in arrays.items():
        code = {"float32": "F32", "int64": "I64", "float16": "F16"}[label]
        span = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": code, "shape": shape, "data_offsets": span}
        data += raw
    text = json.dumps(header)
    files = {
        safetensors: struct.pack("<Q", len(text)) + text.encode() + data,
        npz: out.getvalue(),
        torch_zip: save_zip(value, plain),
        torch_legacy: save_legacy(value, counted),
    }
    for module, file in files.items():
        assert contents(locate(module, file), file) == arrays


def test_names_are_paths_joined_with_dots() -> None:
    ref = [storage(str(i), "float32", 1) for i in range(4)]
    value = {
        "model": ordered({"a.weight": tensor(ref[0], (1,))}),
        "optimizer": {"state": {0: {"exp_avg": tensor(ref[1], (1,))}}},
        "list": [tensor(ref[2], (1,)), (tensor(ref[3], (1,)),)],
        "epoch": 3,
    }
    expected = {"model.a.weight", "optimizer.state.0.exp_avg", "list.0", "list.1.0"}
    for located in both(value, {str(i): (1, f32(1)) for i in range(4)}):
        assert {extent.name for extent in located.extents} == expected


def test_a_whole_module_is_named_like_its_state_dict() -> None:
    inner = Call(
        Name("net", "Linear"),
        (),
        state={"_parameters": ordered({"weight": tensor(storage("0", "float32", 2), (2,))})},
    )
    outer = Call(
        Name("net", "Net"),
        (),
        state={
            "_buffers": {"mean": tensor(storage("1", "float32", 1), (1,))},
            "_modules": ordered({"fc": inner}),
            "extra": tensor(storage("2", "float32", 1), ()),
        },
    )
    for located in both(outer, {"0": (2, f32(2)), "1": (1, f32(1)), "2": (1, f32(1))}):
        assert {extent.name for extent in located.extents} == {"fc.weight", "mean", "extra"}


def test_a_key_that_only_looks_like_a_module_part_is_kept() -> None:
    value = {"_modules": {"a": tensor(storage("0", "float32", 1), (1,))}}
    assert locate(torch_zip, save_zip(value, {"0": f32(1)})).extents[0].name == "_modules.a"


def test_parameters_and_subclasses_are_seen_through() -> None:
    inner = tensor(storage("0", "float32", 2), (2,))
    parameter = Call(Name("torch._utils", "_rebuild_parameter"), (inner, True, ordered({})))
    subclass = Call(
        Name("torch._tensor", "_rebuild_from_type_v2"),
        (inner.func, Name("net", "Mine"), inner.args, {}),
    )
    for located in both({"p": parameter, "s": subclass}, {"0": (2, f32(2))}):
        assert located.extents[0].name == "p"
        assert [view.name for view in located.views] == ["s"]


def test_a_bare_tensor_is_called_tensor() -> None:
    data = save_zip(tensor(storage("0", "float32", 2), (2,)), {"0": f32(2)})
    assert set(contents(locate(torch_zip, data), data)) == {"tensor"}


def test_names_that_collide_are_numbered() -> None:
    ref = [storage(str(i), "float32", 1) for i in range(2)]
    value = {"a.b": tensor(ref[0], (1,)), "a": {"b": tensor(ref[1], (1,))}}
    located = locate(torch_zip, save_zip(value, {"0": f32(1), "1": f32(1)}))
    assert [extent.name for extent in located.extents] == ["a.b", "a.b#2"]


def test_a_quantised_tensor_is_found_with_its_scales() -> None:
    ref = Persistent(("storage", Name("torch", "QInt8Storage"), "0", "cpu", 4))
    scales = tensor(storage("1", "float64", 2), (2,))
    zeros = tensor(storage("2", "int64", 2), (2,))
    params = (Name("torch", "per_channel_affine"), scales, zeros, 0)
    value = {"q": Call(Name("torch._utils", "_rebuild_qtensor"), (ref, 0, (2, 2), (2, 1), params))}
    data = save_zip(value, {"0": b"abcd", "1": bytes(16), "2": bytes(16)})
    found = contents(locate(torch_zip, data), data)
    assert found["q"] == ("int8", (2, 2), b"abcd")
    assert set(found) == {"q", "q.scales", "q.zero_points"}


def test_an_untyped_storage_takes_the_type_of_its_tensor() -> None:
    ref = Persistent(("storage", Name("torch.storage", "UntypedStorage"), "0", "cpu", 4))
    value = {
        "f8": Call(
            Name("torch._utils", "_rebuild_tensor_v3"),
            (ref, 0, (4,), (1,), False, ordered({}), Name("torch", "float8_e4m3fn"), None),
        )
    }
    data = save_zip(value, {"0": b"abcd"})
    assert contents(locate(torch_zip, data), data)["f8"] == ("float8_e4m3fn", (4,), b"abcd")


BASE = storage("0", "float32", 12)
SHARED: dict[str, tuple[Call, list[int]]] = {
    "tied": (tensor(BASE, (3, 4)), list(range(12))),
    "flat": (tensor(BASE, (12,)), list(range(12))),
    "rows": (tensor(BASE, (2, 4), offset=4), list(range(4, 12))),
    "column": (tensor(BASE, (3,), (4,), 1), [1, 5, 9]),
    "transposed": (tensor(BASE, (4, 3), (1, 4)), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]),
    "expanded": (tensor(BASE, (2, 3), (0, 1)), [0, 1, 2, 0, 1, 2]),
    "scalar": (tensor(BASE, (), offset=7), [7]),
    "odd strides": (tensor(BASE, (1, 2), (99, 1), 3), [3, 4]),
}


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("first", [True, False])
def test_a_second_tensor_over_a_storage_is_a_view(name: str, first: bool) -> None:
    pairs = {name: SHARED[name][0], "w": tensor(BASE, (3, 4))}
    value = pairs if first else dict(reversed(pairs.items()))
    data = save_zip(value, {"0": f32(12)})
    located = locate(torch_zip, data)
    assert (len(located.extents), len(located.views)) == (1, 1)
    assert seen(located, data, name) == SHARED[name][1]
    assert seen(located, data, "w") == list(range(12))


@pytest.mark.parametrize("name", ["transposed", "column", "expanded"])
def test_a_lone_strided_tensor_is_a_view_of_its_storage(name: str) -> None:
    data = save_zip({name: SHARED[name][0]}, {"0": f32(12)})
    located = locate(torch_zip, data)
    assert [extent.name for extent in located.extents] == [f"{name}.storage"]
    assert located.extents[0].shape == (12,)
    assert seen(located, data, name) == SHARED[name][1]


def test_neighbours_in_one_storage_are_extents_of_their_own() -> None:
    value = {"a": tensor(BASE, (2, 2)), "b": tensor(BASE, (5,), offset=6)}
    data = save_zip(value, {"0": f32(12)})
    located = locate(torch_zip, data)
    assert [extent.name for extent in located.extents] == ["a", "b"]
    assert seen(located, data, "b") == [6, 7, 8, 9, 10]


@st.composite
def tensors_of_twelve(draw: st.DrawFn) -> Call:
    rank = draw(st.integers(0, 3))
    shape = [draw(st.integers(0, 4)) for _ in range(rank)]
    strides = [draw(st.integers(0, 4)) for _ in range(rank)]
    return tensor(BASE, shape, strides, draw(st.integers(0, 11)))


@given(st.dictionaries(names, tensors_of_twelve(), max_size=5))
def test_arbitrary_tensors_over_one_storage_have_the_right_elements(value: Any) -> None:
    data = save_zip(value, {"0": f32(12)})
    located = locate(torch_zip, data)
    known = {extent.name for extent in located.extents} | {view.name for view in located.views}
    for name, call in value.items():
        _, offset, shape, strides, *_ = call.args
        flat = np.arange(100, dtype="<f4")[offset:]
        wide = np.lib.stride_tricks.as_strided(flat, shape, [4 * s for s in strides])
        if wide.size == 0 or wide.max() < 12:
            assert name in known
        if name in known:
            assert seen(located, data, name) == wide.ravel().tolist()


def test_a_legacy_window_of_a_storage_counts_from_its_offset() -> None:
    part = storage("0", "float32", 12, (("view", 4, 3),))
    data = save_legacy({"v": tensor(part, (2,), offset=1)}, {"0": (12, f32(12))})
    assert seen(locate(torch_legacy, data), data, "v") == [5, 6]
    data = save_legacy({"v": tensor(part, (3,), offset=1)}, {"0": (12, f32(12))})
    assert "outside its storage" in locate(torch_legacy, data).notes[0]


BAD = {
    "past the end": tensor(BASE, (13,)),
    "offset past the end": tensor(BASE, (3,), offset=10),
    "negative offset": tensor(BASE, (3,), offset=-1),
    "negative stride": tensor(BASE, (2,), (-1,), 5),
    "negative dimension": tensor(BASE, (-2,), (1,)),
    "bool dimension": Call(
        Name("torch._utils", "_rebuild_tensor_v2"), (BASE, 0, (True,), (1,), False, None)
    ),
    "two ranks": tensor(BASE, (2, 2), (1,)),
    "a product above 2^64": tensor(BASE, (2**40, 2**40)),
    "wrong numel": tensor(storage("0", "float32", 13), (3,)),
    "wrong type": tensor(storage("0", "float64", 12), (3,)),
    "no such storage": tensor(storage("1", "float32", 12), (3,)),
    "an unknown storage type": tensor(
        Persistent(("storage", Name("torch", "NewStorage"), "0", "cpu", 12)), (3,)
    ),
    "no storage": Call(Name("torch._utils", "_rebuild_tensor_v2"), (1, 0, (3,), (1,))),
    "a name that is no text": tensor(Persistent(("storage", "torch", "0", "cpu", 12)), (3,)),
}


@pytest.mark.parametrize("call", BAD.values(), ids=BAD.keys())
def test_a_bad_tensor_stays_literal_with_a_note(call: Call) -> None:
    located = locate(torch_zip, save_zip({"bad": call}, {"0": f32(12)}))
    assert "bad" not in {extent.name for extent in located.extents}
    assert located.views == ()
    assert "bad" in " ".join(located.notes)


def test_a_storage_without_a_tensor_is_an_extent() -> None:
    data = save_zip({"a": storage("0", "float32", 12)}, {"0": f32(12), "addr/1": b"xyz"})
    found = contents(locate(torch_zip, data), data)
    assert found["storage.0"] == ("float32", (12,), f32(12))
    assert found["storage.addr/1"] == ("uint8", (3,), b"xyz")


def test_two_sizes_of_one_storage_are_refused() -> None:
    value = [storage("0", "float32", 12), storage("0", "float32", 11)]
    with pytest.raises(FormatError, match="two sizes"):
        locate(torch_zip, save_zip(value, {"0": f32(12)}))


def test_big_endian_is_flagged() -> None:
    value = {"w": tensor(BASE, (12,)), "b": tensor(storage("1", "uint8", 1), (1,))}
    data = save_zip(value, {"0": f32(12), "1": b"a"}, extra={"byteorder": b"big"})
    flags = {extent.name: extent.big_endian for extent in locate(torch_zip, data).extents}
    assert flags == {"w": True, "b": False}


def test_any_top_folder_will_do() -> None:
    data = save_zip({"w": tensor(BASE, (12,))}, {"0": f32(12)}, top="run 3 / é".replace("/", "-"))
    assert set(contents(locate(torch_zip, data), data)) == {"w"}


def test_two_top_folders_are_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/data.pkl", dumps({}))
        archive.writestr("b/data.pkl", dumps({}))
    with pytest.raises(FormatError, match="exactly one top folder"):
        locate(torch_zip, out.getvalue())


def test_compressed_storages_stay_literal() -> None:
    data = save_zip({"w": tensor(BASE, (12,))}, {"0": f32(12)}, compression=zipfile.ZIP_DEFLATED)
    located = locate(torch_zip, data)
    assert located.extents == ()
    assert located.notes[0] == "1 compressed storages stay as they are."


def test_a_torchscript_archive_has_attributes_and_constants() -> None:
    net = Call(Name("__torch__", "Net"), (), state={"w": tensor(BASE, (12,))})
    constant = dumps((tensor(storage("0", "float32", 2), (2,)),))
    extra = {"constants.pkl": constant, "constants/0": f32(2), "code/__torch__.py": b"class Net:"}
    data = save_zip(net, {"0": f32(12)}, extra=extra)
    located = locate(torch_zip, data)
    assert located.format == "torchscript"
    assert set(contents(located, data)) == {"w", "constants.0"}


def test_a_package_has_its_pickles_as_prefixes() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("net/.data/version", b"6")
        archive.writestr("net/models/m.pkl", dumps({"w": tensor(BASE, (12,))}))
        archive.writestr("net/.data/0.storage", f32(12))
    data = out.getvalue()
    assert torch_zip.matches(data[:512], BytesSource(data))
    assert contents(locate(torch_zip, data), data)["models.m.w"][2] == f32(12)


def test_an_ordinary_zip_or_pickle_is_not_pytorch() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/b/data.pkl", dumps({}))
    data = out.getvalue()
    assert not torch_zip.matches(data[:512], BytesSource(data))
    assert not torch_legacy.matches(dumps({"a": 1}), BytesSource(dumps({"a": 1})))


LEGACY = save_legacy({"w": tensor(BASE, (12,))}, {"0": (12, f32(12))})
ZIP = save_zip({"w": tensor(BASE, (3, 4)), "v": tensor(BASE, (3,), (4,))}, {"0": f32(12)})


def test_a_legacy_file_with_trailing_bytes_has_a_note() -> None:
    assert "4 bytes" in locate(torch_legacy, LEGACY + b"more").notes[0]


@pytest.mark.parametrize(
    "data",
    [
        LEGACY.replace(struct.pack("<q", 12), struct.pack("<q", 11)),
        LEGACY.replace(struct.pack("<q", 12), struct.pack("<q", -1)),
        LEGACY.replace(dumps(["0"]), dumps(["1"])),
        LEGACY.replace(dumps(["0"]), dumps(["0", "0"])),
        LEGACY.replace(dumps(["0"]), dumps({"0": 1})),
        LEGACY.replace(dumps(1001), dumps(1002)),
    ],
)
def test_a_contradicting_legacy_file_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        locate(torch_legacy, data)


@pytest.mark.parametrize(("module", "data"), [(torch_legacy, LEGACY), (torch_zip, ZIP)])
def test_a_file_cut_anywhere_is_refused(module: Any, data: bytes) -> None:
    for end in range(len(data)):
        with pytest.raises(FormatError):
            locate(module, data[:end])


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_a_malicious_pickle_in_a_file_runs_nothing(
    payload: bytes, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    survives(torch_legacy, LEGACY[: LEGACY.index(b"}(X\x01")] + payload + dumps([]))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", payload)
    survives(torch_zip, out.getvalue())
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_format_errors(data: bytes) -> None:
    survives(torch_zip, data)
    survives(torch_legacy, data)
    survives(torch_legacy, LEGACY[: len(LEGACY) // 2] + data)


@given(mutations(LEGACY))
def test_a_damaged_legacy_file_raises_only_format_errors(data: bytes) -> None:
    survives(torch_legacy, data)


@given(mutations(dumps({"w": tensor(BASE, (3, 4)), "v": tensor(BASE, (3,), (4,))})))
def test_a_damaged_pickle_in_a_zip_raises_only_format_errors(pickled: bytes) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", f32(12))
    survives(torch_zip, out.getvalue())


@given(mutations(ZIP))
def test_a_damaged_zip_raises_only_format_errors(data: bytes) -> None:
    survives(torch_zip, data)


def test_a_hundred_thousand_tensors_take_linear_time() -> None:
    arrays = {f"layer.{i}.weight": ("uint8", (2,), b"ab") for i in range(100_000)}
    value, plain, _ = state_dict(arrays)
    data = save_zip(value, plain)
    start = time.perf_counter()
    assert len(locate(torch_zip, data).extents) == 100_000
    assert time.perf_counter() - start < 60
