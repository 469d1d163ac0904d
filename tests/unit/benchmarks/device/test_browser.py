"""What the benchmark of the browser makes of its times."""

from benchmarks.device.browser import STAGES, _rates


def test_frames_a_second_are_of_the_stages_that_run() -> None:
    ms = {
        "detect": 60.0,
        "detect_small": 30.0,
        "crop": 5.0,
        "head": 20.0,
        "encode": 5.0,
        "local_tail": 15.0,
        "edgecnn": 10.0,
    }
    assert set(ms) == set(STAGES)
    assert _rates({name: {"p50_ms": value} for name, value in ms.items()}) == {
        "local_every_frame_searched": 10.0,
        "local_edgecnn_every_frame_searched": 13.3,
        "cloud_every_frame_searched": 11.1,
        "local_every_third_searched_small": 20.0,
        "local_edgecnn_every_third_searched_small": 40.0,
        "cloud_every_third_searched_small": 25.0,
    }
