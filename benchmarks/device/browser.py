"""What each stage costs in a browser: ``python -m benchmarks browser``.

Chromium without a window and a Python edge on one core, on one face of the same frame: search,
crop, head, encoding, local tail, EdgeCNN. The browser's own throttling then slows it four and six
times; a browser that is slow searches smaller pictures. And the bytes that the page loads at the
first and at the second start, as the server's connections carry them.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.command import finish
from benchmarks.common.machine import describe_machine, machine_line
from benchmarks.device.edge import device_stages, run_rounds, spread
from benchmarks.device.face_frame import face_frame
from benchmarks.net.forwarder import Forwarder
from splitfer.shared.contracts import Limits
from splitfer.shared.errors import ConfigError
from splitfer.shared.vision.detection import SearchLimits
from splitfer.shared.vision.dlib_detector import DlibDetector
from splitfer.shared.vision.picture import to_grey
from splitfer.shared.weights import Weights, default_folder

# The browser's own, in device.js.
SEARCH_SIDE_PX, QUICK_SEARCH_SIDE_PX = 480, 320
SLOWED = (1, 4, 6)
STAGES = ("detect", "detect_small", "crop", "head", "encode", "local_tail", "edgecnn")
_PATIENCE_S = 60.0
_SERVING = re.compile(r"http [^:]+:(\d+)")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-proxy-server",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
)  # fmt: skip
_OPEN = """
    const done = arguments[arguments.length - 1];
    (async () => {
      const [{ Device }, ort, { loadFile, loadWeights }] = await Promise.all(
        ["device.js", "ort.mjs", "weights.js"].map((name) => import(`/edge/${name}`)));
      const bytes = async (name) => new Uint8Array(await (await fetch(`/edge/${name}`)).arrayBuffer());
      ort.env.wasm.numThreads = 1;
      ort.env.wasm.wasmBinary = await bytes("ort.wasm");
      const weights = await loadWeights("/edge/weights/", fetch);
      const [codec, frontal, classifiers] = await Promise.all(
        ["codec.wasm", "frontal.wasm", "frontal.bin"].map(bytes));
      const start = performance.now();
      window.device = await Device.open(ort, { codec, frontal, classifiers }, weights);
      window.openMs = performance.now() - start;
      const { manifest } = weights;
      if (device.lighterName !== "edgecnn") throw `the lighter network is ${device.lighterName}`;
      const lighter = manifest.tails.edgecnn;
      await device.addLighter(await loadFile("/edge/weights/", manifest, lighter, fetch));
      window.rgba = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
    })().then(() => done(openMs), (error) => done(String(error)));
"""  # noqa: E501  # JavaScript
_ROUNDS = """
    const done = arguments[arguments.length - 1];
    const [width, height, boxes, rounds, warmUp] = arguments;
    (async () => {
      const times = {};
      for (let round = -warmUp; round < rounds; round++) {
        const stages = {};
        let before = performance.now();
        const ended = (name) => {
          stages[name] = performance.now() - before;
          before = performance.now();
        };
        const grey = device.grey(rgba);
        device.find(grey, width, height);
        ended("detect");
        device.find(grey, width, height, 320);
        ended("detect_small");
        const crops = device.crops(grey, width, height, boxes);
        ended("crop");
        const { features, z } = await device.head(crops);
        ended("head");
        const payloads = device.payloads(z);
        ended("encode");
        const answers = await device.larger.run({ features });
        ended("local_tail");
        const others = await device.lighter.run({ crops });
        ended("edgecnn");
        const least = Math.min(payloads.length, answers.length, others.length);
        if (least < boxes.length) throw "a face is lost";
        if (round >= 0) for (const name in stages) (times[name] ??= []).push(stages[name]);
      }
      return times;
    })().then(done, (error) => done(String(error)));
"""


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement that the command line asks for."""
    if find_spec("selenium") is None or not (shutil.which("chromium")):
        raise ConfigError("no Chromium or no selenium: apt-get install chromium chromium-driver")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # what is started inherits it
    weights = Weights(default_folder())
    rgb, frame = face_frame()
    stages, inputs = device_stages(weights, 1, SEARCH_SIDE_PX, rgb)
    edgecnn = weights.tail("edgecnn", 1)
    stages["edgecnn"] = lambda: edgecnn.run(inputs.crops[:, None])
    detector = DlibDetector(SearchLimits(max(rgb.shape), Limits.smallest_face_px, 1))
    boxes = [box.as_list() for box in detector.detect(to_grey(rgb))]
    quick = DlibDetector(
        SearchLimits(QUICK_SEARCH_SIDE_PX, Limits.smallest_face_px, Limits.faces_per_frame)
    )
    stages["detect_small"] = lambda: quick.detect(to_grey(rgb))
    kept = {name: stages[name] for name in STAGES}
    python = run_rounds(kept, arguments.rounds, arguments.warm_up)
    with (
        tempfile.TemporaryDirectory() as folder,
        _server() as port,
        Forwarder(("127.0.0.1", port)) as forwarder,
        _chromium(Path(folder)) as driver,
    ):
        first, second = (_loaded(driver, forwarder) for _ in range(2))
        open_ms = _open(driver, rgb)
        browser = {str(times): _measured(driver, rgb, boxes, times, arguments) for times in SLOWED}
        version = driver.capabilities["browserVersion"]
    result: dict[str, Any] = {
        "frame": frame, "search_side_px": SEARCH_SIDE_PX, "rounds": arguments.rounds,
        "fingerprint": weights.manifest.fingerprint, "chromium": version,
        "python": {name: spread(python[name]) for name in STAGES},
        "browser_slowed": browser, "open_ms": round(open_ms, 1),
        "loaded_bytes": {"first": first, "second": second},
    }  # fmt: skip
    ours, theirs = (
        sum(of[name]["p50_ms"] for name in ("head", "encode"))
        for of in (browser["1"], result["python"])
    )
    result["head_and_encode_ratio"] = round(ours / theirs, 2)
    result["frames_per_s"] = {times: _rates(of) for times, of in browser.items()}
    return result | {"machine": describe_machine()}


def _rates(stages: dict[str, dict[str, float]]) -> dict[str, float]:
    """Frames a second with one face, as far as the browser's own work decides: answered by itself,
    by its larger network and by EdgeCNN, and by a server that takes no longer than the next frame's
    work."""
    crop, head, encode, tail, edgecnn = (
        stages[n]["p50_ms"] for n in ("crop", "head", "encode", "local_tail", "edgecnn")
    )
    rates = {}
    for name, search_ms in (
        ("every_frame_searched", stages["detect"]["p50_ms"]),
        ("every_third_searched_small", stages["detect_small"]["p50_ms"] / 3),
    ):
        rates[f"local_{name}"] = round(1000 / (search_ms + crop + head + tail), 1)
        rates[f"local_edgecnn_{name}"] = round(1000 / (search_ms + crop + edgecnn), 1)
        rates[f"cloud_{name}"] = round(1000 / (search_ms + crop + head + encode), 1)
    return rates


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    columns = {"Python": result["python"]} | {
        f"x{times}": of for times, of in result["browser_slowed"].items()
    }
    lines = [
        f"One face of a {result['frame']}, weights {result['fingerprint']}",
        f"Chromium {result['chromium']}, one core, {result['rounds']} rounds",
        "",
        f"{'stage, ms (p50)':<20}" + "".join(f"{name:>9}" for name in columns),
    ]
    for name in STAGES:
        numbers = "".join(f"{of[name]['p50_ms']:>9.2f}" for of in columns.values())
        lines.append(f"{name.replace('_', ' '):<20}{numbers}")
    loaded = result["loaded_bytes"]
    lines += [
        "",
        f"head and encode: {result['head_and_encode_ratio']} times the Python edge's",
        *(
            f"slowed x{times}, frames/s: "
            + ", ".join(f"{rate} {name.replace('_', ' ')}" for name, rate in of.items())
            for times, of in result["frames_per_s"].items()
        ),
        f"loaded: {loaded['first'] / 1e6:.2f} MB the first time, {loaded['second']} bytes later",
        f"networks ready in {result['open_ms']} ms",
    ]
    return "\n".join([*lines, "", machine_line(result["machine"])])


@contextlib.contextmanager
def _server() -> Iterator[int]:
    """A server of the default weights; its HTTP port."""
    command = [sys.executable, "-m", "splitfer.cloud_server.cli", "serve", "--grpc-port", "0"]
    process = subprocess.Popen([*command, "--http-port", "0"], stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        for line in process.stderr:
            if "serving" in line and (found := _SERVING.search(line)):
                yield int(found[1])
                break
        else:
            raise ConfigError("the server did not start")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@contextlib.contextmanager
def _chromium(profile: Path) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(600)
    try:
        yield driver
    finally:
        driver.quit()


def _loaded(driver: Any, forwarder: Forwarder) -> int:
    """Bytes that came from the server until the camera runs."""
    before = forwarder.carried_bytes["down"]
    driver.get(f"http://{forwarder.address}/edge")
    driver.execute_script("wanted.value = 'local'; start.click()")
    end_s = time.monotonic() + _PATIENCE_S
    while driver.execute_script("return document.body.dataset.state") != "running":
        if time.monotonic() > end_s:
            words = driver.execute_script("return sentence.textContent")
            raise ConfigError(f"the page did not start: {words or 'is the edge built? make web'}")
        time.sleep(0.05)
    return forwarder.carried_bytes["down"] - before


def _open(driver: Any, rgb: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
    """The device's part, in the page's own thread, which is what the browser slows."""
    driver.execute_script("start.click()")  # the camera stops
    rgba = np.dstack((rgb, np.full(rgb.shape[:2], 255, np.uint8)))
    found = driver.execute_async_script(_OPEN, base64.b64encode(rgba.tobytes()).decode())
    if isinstance(found, str):
        raise ConfigError(f"the browser's edge cannot be opened: {found}")
    return float(found)


def _measured(
    driver: Any,
    rgb: np.ndarray[Any, np.dtype[np.uint8]],
    boxes: list[list[int]],
    times: int,
    arguments: argparse.Namespace,
) -> dict[str, dict[str, float]]:
    driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": times})
    height, width = rgb.shape[:2]
    rounds = max(1, arguments.rounds // times)
    found = driver.execute_async_script(_ROUNDS, width, height, boxes, rounds, arguments.warm_up)
    if isinstance(found, str):
        raise ConfigError(f"the browser's edge failed: {found}")
    return {name: spread(found[name]) for name in STAGES}


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=_at_least_one, default=100)
    parser.add_argument("--warm-up", type=_at_least_one, default=10)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return finish(parser.parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
