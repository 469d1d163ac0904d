from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from splitfer.shared.codec.quantiser import Quantiser
from splitfer.shared.errors import ConfigError, WeightsError, WrongNumbersError
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.prior import DEFAULT_PRIOR, Prior
from splitfer.shared.vision.crop import Cropping
from splitfer.shared.weights import Weights, default_folder, shipped_folders, store
from splitfer.shared.weights.manifest import Manifest, fingerprint
from splitfer.shared.weights.runtime import Head

CROP = Cropping(1.2, 0.0, -0.1)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    # What a change means for the fingerprint is tests/security's matter.
    manifest.pop("meaning", None)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def replace_golden(folder: Path, **changed: NDArray[Any] | None) -> None:
    """Write other golden arrays and the hash that fits them."""
    with np.load(folder / "golden.npz") as old:
        arrays = {name: old[name] for name in old.files} | changed
    out = io.BytesIO()
    np.savez_compressed(out, **{k: v for k, v in arrays.items() if v is not None})
    replace_file(folder, "golden", out.getvalue())


def replace_file(folder: Path, key: str, data: bytes) -> None:
    entry = json.loads((folder / "manifest.json").read_text())[key]
    (folder / entry["file"]).write_bytes(data)
    edit(folder, lambda m: m[key].update(sha256=hashlib.sha256(data).hexdigest()))


def open_all(folder: Path) -> None:
    weights = Weights(folder)
    weights.head(1)
    for name in weights.manifest.tails:
        weights.tail(name, 1)


def test_exported_weights_load_and_pass_their_golden_checks(weights_folder: Path) -> None:
    open_all(weights_folder)
    assert Weights(weights_folder).manifest.fingerprint == weights_folder.name


def test_a_head_is_loaded_once(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a device wants it, and the check of its local tail."""
    made: list[Head] = []
    monkeypatch.setattr(store, "Head", lambda *given: made.append(Head(*given)) or made[-1])
    weights = Weights(weights_folder)
    head = weights.head(1)
    weights.tail("local", 1)
    assert (len(made), weights.head(1)) == (1, head)
    assert weights.head(2) is not head


def test_the_first_weights_still_load_and_give_their_own_symbols(old_weights_folder: Path) -> None:
    open_all(old_weights_folder)
    weights = Weights(old_weights_folder)
    assert json.loads((old_weights_folder / "manifest.json").read_text())["schema_version"] == 1
    assert weights.manifest.label_sets == (LabelSet.FER2013,)
    assert [rate.name for rate in weights.manifest.rates] == ["full"]
    assert weights.payload_codec.names == ("raw",)
    golden = weights.golden
    symbols = weights.quantiser.symbols(weights.head(1).run(golden.crops)[1], 0)
    assert np.ptp(symbols) > 100
    assert np.count_nonzero(symbols != golden.latents) <= 1


def test_rates_by_name_and_their_temperatures(weights_copy: Path) -> None:
    warm = {"fer2013": {"temperature": 1.5}}
    edit(weights_copy, lambda m: m["rates"][2].update(answers={"cloud": warm}))
    edit(weights_copy, lambda m: m["rates"][0].update(answers={}))
    edit(weights_copy, lambda m: m["tails"]["cloud"]["answers"]["fer2013"].update(temperature=0.9))
    weights = Weights(weights_copy)
    assert [weights.rate_index(name) for name in ("high", "default", "low", "")] == [0, 1, 2, 1]
    assert weights.temperature("cloud", 2) == 1.5
    assert weights.temperature("cloud", 0) == 0.9, "the tail's own where the rate has none"
    with pytest.raises(ConfigError, match=r"no 'tiny'; there are high, default, low"):
        weights.rate_index("tiny")


def test_other_weights_have_another_fingerprint(
    weights_folder: Path, other_weights_folder: Path
) -> None:
    theirs = Weights(other_weights_folder).manifest.fingerprint
    assert theirs == other_weights_folder.name
    assert theirs != Weights(weights_folder).manifest.fingerprint


@pytest.mark.parametrize("name", ["head.onnx", "local.onnx", "cloud.onnx", "golden.npz"])
def test_one_altered_byte_is_found(weights_copy: Path, name: str) -> None:
    data = bytearray((weights_copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (weights_copy / name).write_bytes(data)
    with pytest.raises(WeightsError, match=rf"{name} is not the file .* \(sha256 differs\)"):
        open_all(weights_copy)


@pytest.mark.parametrize("name", ["head.onnx", "local.onnx", "cloud.onnx", "golden.npz"])
def test_a_missing_file_is_named(weights_copy: Path, name: str) -> None:
    (weights_copy / name).unlink()
    with pytest.raises(WeightsError, match=rf"cannot read .*{name}"):
        open_all(weights_copy)


def test_no_folder_and_no_manifest(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(WeightsError, match="no weights in"):
            Weights(folder)


def test_other_labels_are_refused(weights_copy: Path) -> None:
    edit(weights_copy, lambda m: m.update(labels=sorted(LABELS, reverse=True)))
    with pytest.raises(WeightsError, match="has labels"):
        Weights(weights_copy)


def test_an_unknown_tail_names_those_there_are(weights_folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"no tail 'vgg' .* there are local, cloud"):
        Weights(weights_folder).tail("vgg", 1)


def test_a_default_that_is_not_there(weights_copy: Path) -> None:
    edit(weights_copy, lambda m: m.update(default_tail="vgg"))
    with pytest.raises(WeightsError, match="names no tail 'vgg'"):
        Weights(weights_copy)


def test_no_local_tail(weights_copy: Path) -> None:
    edit(weights_copy, lambda m: m["tails"].pop("local"))
    with pytest.raises(WeightsError, match="names no tail 'local'"):
        Weights(weights_copy)


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("fingerprint", lambda m: m.update(fingerprint="../../etc")),
        ("head.sha256", lambda m: m["head"].update(sha256="abc")),
        ("colour", lambda m: m.update(colour="red")),
        ("golden.colour", lambda m: m["golden"].update(colour="red")),
        ("crop.scale", lambda m: m["crop"].update(scale="large")),
        ("crop.detail_px", lambda m: m["crop"].update(detail_px=0)),
        ("crop.reduce", lambda m: m["crop"].update(reduce="nearest")),
        (
            "tails.cloud.answers.fer2013.temperature",
            lambda m: m["tails"]["cloud"]["answers"]["fer2013"].update(temperature=0),
        ),
        (
            r"tails.cloud.answers.moon.\[key\]",
            lambda m: m["tails"]["cloud"]["answers"].update(moon={}),
        ),
        ("tails.cloud.answers", lambda m: m["tails"]["cloud"].update(answers={})),
        ("tails.cloud.temperature", lambda m: m["tails"]["cloud"].update(temperature=1)),
        ("tails", lambda m: m["tails"]["cloud"].update(answers={"crowd": {"temperature": 1}})),
        ("priors", lambda m: m.update(priors={"fer2013": [0.2] * 7})),
        ("priors", lambda m: m.update(priors={"fer2013": [0.5, 0.5]})),
        ("priors.fer2013.5", lambda m: m.update(priors={"fer2013": [0.2] * 5 + [0.0, 0.0]})),
        ("tails.cloud.path", lambda m: m["tails"]["cloud"].update(path="moon")),
        ("default_tail", lambda m: m.pop("default_tail")),
        ("schema_version", lambda m: m.update(schema_version=99)),
        ("symbol_limit", lambda m: m.update(symbol_limit=129)),
        ("rates", lambda m: m.update(rates=[])),
        ("rates", lambda m: m.update(rates=m["rates"] * 6)),
        ("rates.1.gains", lambda m: m["rates"][1].update(gains=[1.0] * 7)),
        ("rates.1.gains.0", lambda m: m["rates"][1].update(gains=[0.0] * 8)),
        ("rates.0.name", lambda m: m["rates"][0].update(name="")),
        ("rates", lambda m: m["rates"][0].update(name="low")),
        ("rates", lambda m: m["rates"][0].update(answers={"vgg": {}})),
        ("default_rate", lambda m: m.update(default_rate="tiny")),
    ],
)
def test_a_bad_manifest_names_the_key(
    weights_copy: Path, place: str, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(weights_copy, change)
    with pytest.raises(WeightsError, match=rf"manifest\.json: {place}: "):
        Weights(weights_copy)


def test_entropy_tables_belong_to_the_weights(coded_weights_folder: Path, tmp_path: Path) -> None:
    assert Weights(coded_weights_folder).payload_codec.names == ("entropy", "raw")
    copy = Path(shutil.copytree(coded_weights_folder, tmp_path / "copy"))
    edit(copy, lambda m: m["rates"].pop(0))
    with pytest.raises(WeightsError, match=r"tables are for 3 rates of limit 15, .* 2 of 15"):
        _ = Weights(copy).payload_codec
    replace_file(copy, "entropy", b"none")
    with pytest.raises(WeightsError, match=r"entropy\.bin: not entropy tables"):
        _ = Weights(copy).payload_codec
    (copy / "entropy.bin").write_bytes(b"altered")
    with pytest.raises(WeightsError, match="is not the file that its manifest names"):
        _ = Weights(copy).payload_codec


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]"])
def test_a_manifest_that_is_not_json(weights_copy: Path, data: bytes) -> None:
    (weights_copy / "manifest.json").write_bytes(data)
    with pytest.raises(WeightsError, match=r"manifest\.json"):
        Weights(weights_copy)


@pytest.mark.parametrize(
    "name", ["../other/head.onnx", "/etc/passwd", "a/b", "..\\head.onnx", "", "head.onnx\n"]
)
def test_file_names_do_not_leave_the_folder(weights_copy: Path, name: str) -> None:
    edit(weights_copy, lambda m: m["head"].update(file=name))
    with pytest.raises(WeightsError, match=r"head\.file"):
        Weights(weights_copy)


def test_a_folder_in_place_of_a_file(weights_copy: Path) -> None:
    edit(weights_copy, lambda m: m["head"].update(file=".."))
    with pytest.raises(WeightsError, match="cannot read"):
        Weights(weights_copy).head(1)


def test_wrong_latents_are_found(weights_copy: Path) -> None:
    with np.load(weights_copy / "golden.npz") as golden:
        latents = golden["latents"]
    one_step = latents.copy()
    one_step.flat[0] += 1 if one_step.flat[0] < 255 else -1
    replace_golden(weights_copy, latents=one_step)
    Weights(weights_copy).head(1)  # a single step is within the tolerance

    many = latents.copy()
    many.flat[:20] ^= 1
    replace_golden(weights_copy, latents=many)
    with pytest.raises(WeightsError, match=r"wrong latents .* 20 of 12544 symbols .* up to 1"):
        Weights(weights_copy).head(1)

    far = latents.copy()
    far.flat[0] ^= 64
    replace_golden(weights_copy, latents=far)
    with pytest.raises(WeightsError, match="by up to 64"):
        Weights(weights_copy).head(1)


def test_wrong_latents_of_another_rate_are_found(weights_copy: Path) -> None:
    """Numbers that round alike at one rate need not at a finer one."""
    with np.load(weights_copy / "golden.npz") as golden:
        z = golden["z"]
    replace_golden(weights_copy, z=z + np.float32(0.3))
    with pytest.raises(WeightsError, match="wrong latents"):
        Weights(weights_copy).head(1)


@pytest.mark.parametrize("tail", ["local", "cloud"])
@pytest.mark.parametrize("off", [0.01, float("nan")])
def test_wrong_logits_are_found(weights_copy: Path, tail: str, off: float) -> None:
    with np.load(weights_copy / "golden.npz") as golden:
        logits = golden[f"logits_{tail}"]
    logits[0, 3] += off
    replace_golden(weights_copy, **{f"logits_{tail}": logits})
    with pytest.raises(WeightsError, match=f"tail '{tail}' gives wrong logits"):
        Weights(weights_copy).tail(tail, 1)


def test_golden_arrays_that_are_missing_or_of_another_shape(weights_copy: Path) -> None:
    replace_golden(weights_copy, logits_local=np.zeros((2, 6), np.float32))
    with pytest.raises(WeightsError, match="wrong shapes"):
        Weights(weights_copy).head(1)
    with np.load(weights_copy / "golden.npz") as golden:
        logits, z = np.zeros((2, 7), np.float32), golden["z"]
    replace_golden(weights_copy, logits_local=logits, z=z[:, :7])
    with pytest.raises(WeightsError, match="wrong shapes"):
        Weights(weights_copy).head(1)
    replace_golden(weights_copy, logits_local=None)
    with pytest.raises(WeightsError, match="golden file cannot be read"):
        Weights(weights_copy).head(1)
    replace_file(weights_copy, "golden", b"not an archive")
    with pytest.raises(WeightsError, match="golden file cannot be read"):
        Weights(weights_copy).head(1)


def test_a_tail_in_the_heads_place_is_refused(weights_copy: Path) -> None:
    replace_file(weights_copy, "head", (weights_copy / "cloud.onnx").read_bytes())
    with pytest.raises(WeightsError, match="not a head"):
        Weights(weights_copy).head(1)


def test_a_model_that_is_none(weights_copy: Path) -> None:
    replace_file(weights_copy, "head", b"not an ONNX file")
    with pytest.raises(WeightsError):
        Weights(weights_copy).head(1)


def failing(data: bytes, fault: str) -> bytes:
    """A network that loads, and fails or gives too many numbers when it runs."""
    model = onnx.load_model_from_string(data)
    last = model.graph.output[-1]
    for node in model.graph.node:
        for at, name in enumerate(node.output):
            if name == last.name:
                node.output[at] = "before"
    nodes = {
        "table": [
            helper.make_node("Gather", ["table", "beyond"], ["none"]),
            helper.make_node("Add", ["before", "none"], [last.name]),
        ],
        "shape": [helper.make_node("Concat", ["before", "before"], [last.name], axis=1)],
    }[fault]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.zeros(100, np.float32), "table"),
            numpy_helper.from_array(np.array([179]), "beyond"),
        ]
    )
    del model.graph.value_info[:]
    kind = last.type.tensor_type.elem_type
    last.CopyFrom(helper.make_tensor_value_info(last.name, kind, None))
    made: bytes = model.SerializeToString()
    return made


@pytest.mark.parametrize("fault", ["table", "shape"])
@pytest.mark.parametrize("file", ["head.onnx", "local.onnx", "paper.onnx", "edgecnn.onnx"])
def test_a_network_that_fails_when_it_runs_is_refused_in_one_line(
    tmp_path: Path, file: str, fault: str
) -> None:
    """The hash is right: whoever made the file made a mistake."""
    folder = Path(shutil.copytree(default_folder(), tmp_path / "new"))
    data = failing((folder / file).read_bytes(), fault)
    (folder / file).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    entries = [manifest["head"], *manifest["tails"].values()]
    (entry,) = (one for one in entries if one["file"] == file)
    entry["sha256"] = hashlib.sha256(data).hexdigest()
    manifest |= {"fingerprint": "0123456789abcdef", "meaning": None}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    weights, name = Weights(folder), file.removesuffix(".onnx")
    look = weights.head if name == "head" else partial(weights.tail, name)
    with pytest.raises(WeightsError, match=f"{file} fails on the golden input: ") as raised:
        look(1)
    assert "\n" not in str(raised.value)
    assert not isinstance(raised.value, WrongNumbersError)


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(store, "_HERE", tmp_path)
    with pytest.raises(WeightsError, match="no default weights"):
        default_folder()
    (tmp_path / "DEFAULT").write_text("0123456789abcdef\n")
    assert default_folder() == tmp_path / "0123456789abcdef"


def test_shipped_folders_begin_with_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(store, "_HERE", tmp_path)
    for name in ("a", "b", "c", "__pycache__"):
        (tmp_path / name).mkdir()
        if name in "abc":
            (tmp_path / name / "manifest.json").touch()
    (tmp_path / "DEFAULT").write_text("b\n")
    assert [folder.name for folder in shipped_folders()] == ["b", "a", "c"]


def test_a_folder_with_a_space_in_its_name(weights_folder: Path, tmp_path: Path) -> None:
    open_all(Path(shutil.copytree(weights_folder, tmp_path / "some weights")))


def test_the_fingerprint_follows_what_a_latent_means() -> None:
    tensors = {"a": np.zeros(3, np.float32), "b": np.ones(2, np.float32)}
    ones = np.ones((2, 8), np.float32)
    quantisers = [
        Quantiser(ones, 15),
        Quantiser(ones, 14),
        Quantiser(ones[:1], 15),
        Quantiser(np.nextafter(ones, 2), 15),
    ]
    same = fingerprint(dict(reversed(tensors.items())), LABELS, CROP)
    assert same == fingerprint(tensors, LABELS, CROP)
    others = {
        fingerprint(tensors | {"a": np.full(3, 1e-7, np.float32)}, LABELS, CROP),
        fingerprint(tensors | {"a": np.zeros(3, np.float64)}, LABELS, CROP),
        fingerprint(tensors | {"a": np.zeros((3, 1), np.float32)}, LABELS, CROP),
        fingerprint({"a": tensors["a"], "c": tensors["b"]}, LABELS, CROP),
        fingerprint(tensors, LABELS[::-1], CROP),
        fingerprint(tensors, LABELS, Cropping(1.2, 0.0, -0.2)),
        fingerprint(tensors, LABELS, replace(CROP, detail_px=56)),
        fingerprint(tensors, LABELS, replace(CROP, reduce="lanczos"), quantisers[0]),
        *(fingerprint(tensors, LABELS, CROP, quantiser) for quantiser in quantisers),
        fingerprint(tensors, LABELS, CROP, quantisers[0], "a" * 64),
    }
    assert len(others | {same}) == 14


def test_tails_of_both_label_sets_pass_their_golden_checks(
    crowd_weights_folder: Path, weights_folder: Path
) -> None:
    open_all(crowd_weights_folder)
    both, one = Weights(crowd_weights_folder), Weights(weights_folder)
    assert both.manifest.fingerprint == one.manifest.fingerprint
    assert both.manifest.label_sets == (LabelSet.CROWD, LabelSet.FER2013)
    assert (both.label_set(None), one.label_set(None)) == (LabelSet.CROWD, LabelSet.FER2013)
    assert both.temperature("cloud", 0) == both.temperature("cloud", 0, LabelSet.CROWD) == 0.5
    assert both.temperature("cloud", 0, LabelSet.FER2013) == 1.0
    symbols, steps = both.golden.latents, both.quantiser.steps(1)
    np.testing.assert_allclose(
        both.tail("cloud", 1).logits(symbols, steps, LabelSet.FER2013),
        one.tail("cloud", 1).logits(symbols, steps),
        atol=1e-4,
    )


@pytest.mark.parametrize("label_set", ["crowd", "fer2013"])
@pytest.mark.parametrize("tail", ["local", "cloud"])
def test_wrong_golden_logits_of_any_label_set_are_found(
    crowd_weights_folder: Path, tmp_path: Path, tail: str, label_set: str
) -> None:
    folder = Path(shutil.copytree(crowd_weights_folder, tmp_path / "copy"))
    replace_golden(folder, **{f"logits_{tail}_{label_set}": np.full((2, 7), 3, np.float32)})
    with pytest.raises(WeightsError, match=rf"'{tail}' gives wrong logits here \({label_set}\)"):
        open_all(folder)


def test_a_tail_and_its_manifest_agree_on_the_label_sets(
    crowd_weights_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(crowd_weights_folder, tmp_path / "copy"))
    edit(folder, lambda m: m["tails"]["cloud"]["answers"].pop("crowd"))
    with pytest.raises(WeightsError, match=r"cloud\.onnx answers crowd, fer2013, .* says fer2013"):
        Weights(folder).tail("cloud", 1)


def test_label_sets_and_priors_that_are_not_there_are_named(
    crowd_weights_folder: Path, weights_folder: Path
) -> None:
    one, both = Weights(weights_folder), Weights(crowd_weights_folder)
    with pytest.raises(ConfigError, match=r"labels: .* do not answer crowd; they answer fer2013$"):
        one.label_set(LabelSet.CROWD)
    with pytest.raises(ConfigError, match=r"prior: .* fer2013 .* they answer natural only"):
        one.prior(Prior.BALANCED, LabelSet.FER2013)
    assert one.prior(None, LabelSet.FER2013) is Prior.NATURAL
    for label_set in LabelSet:
        assert both.prior(Prior.BALANCED, label_set) is Prior.BALANCED
        assert both.prior(Prior.NATURAL, label_set) is Prior.NATURAL
        assert both.prior(None, label_set) is DEFAULT_PRIOR


SECOND = {
    "schema_version": 2,
    "rates": [
        {
            "name": "high",
            "gains": [1.0] * 8,
            "bytes_mean": 9,
            "temperature": {"cloud": 1.5},
            "accuracy": {"cloud": {"Test": 0.7}},
            "log_loss": {"cloud": {"Test": 0.8}},
            "together": {"cloud": {"accuracy": {"Test": 0.75}, "log_loss": {"Test": 0.7}}},
        },
        {"name": "low", "gains": [0.5] * 8, "bytes_mean": 5, "accuracy": {"cloud": {"Test": 0.6}}},
    ],
    "default_rate": "high",
}


def test_a_manifest_of_schema_2_is_one_of_fer2013(weights_copy: Path) -> None:
    def to_second(manifest: dict[str, Any]) -> None:
        manifest.update(SECOND)
        del manifest["priors"]
        for entry in manifest["tails"].values():
            del entry["answers"]
            entry |= {"temperature": 0.9, "accuracy": {"Test": 0.65}}

    edit(weights_copy, to_second)
    weights = Weights(weights_copy)
    manifest, one = weights.manifest, LabelSet.FER2013
    assert (manifest.label_sets, manifest.priors) == ((one,), {})
    assert manifest.tails["local"].answers[one].accuracy == {"Test": 0.65}
    high, low = manifest.rates
    assert high.answers["cloud"][one].log_loss == {"Test": 0.8}
    assert high.together["cloud"][one].accuracy == {"Test": 0.75}
    assert low.answers["cloud"][one].accuracy == {"Test": 0.6}
    assert (weights.temperature("cloud", 0), weights.temperature("cloud", 1)) == (1.5, 0.9)
    again = Manifest.model_validate_json(manifest.model_dump_json())
    assert again == manifest


@pytest.mark.parametrize("change", [
    {"tails": 3}, {"tails": {"local": 3}}, {"rates": 3}, {"rates": [3]}, {"tails": {"local": {}}},
    {"rates": [{"temperature": 3}]}, {"rates": [{"together": 3}]},
    {"rates": [{"accuracy": {"vgg": {}}}]},
])  # fmt: skip
def test_nonsense_of_an_earlier_schema_is_refused(
    weights_copy: Path, change: dict[str, Any]
) -> None:
    edit(weights_copy, lambda m: m.update({"schema_version": 2, **change}))
    with pytest.raises(WeightsError, match=r"manifest\.json: "):
        Weights(weights_copy)


@pytest.mark.parametrize("folder", shipped_folders(), ids=lambda folder: folder.name)
def test_every_shipped_folder_is_of_fer2013_still(folder: Path) -> None:
    open_all(folder)
    weights = Weights(folder)
    said = json.loads((folder / "manifest.json").read_text())
    if said["schema_version"] < 3:
        assert weights.manifest.label_sets == (LabelSet.FER2013,)
        for name, entry in said["tails"].items():
            measured = weights.manifest.tails[name].answers[LabelSet.FER2013]
            assert measured.temperature == entry["temperature"]
            assert measured.accuracy == entry["accuracy"]
