"""What of picamera2's interface the edge uses, without a camera: number 0 gives a picture of two
colours, 1 is in use, 2 hangs after three pictures, 3 breaks after them."""

import threading
import time

import numpy as np


class Picamera2:
    def __init__(self, camera_num=0):
        if camera_num == 1:
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        self._number, self._taken, self._started, self._config = camera_num, 0, False, None

    def create_video_configuration(self, main, controls):
        assert main["format"] == "BGR888"
        return {"size": main["size"], "rate": controls["FrameRate"]}

    def configure(self, config):
        self._config = config

    def start(self):
        assert self._config is not None
        self._started = True

    def capture_array(self, name="main"):
        assert name == "main"
        assert self._started
        time.sleep(1 / self._config["rate"])
        self._taken += 1
        if self._taken > 3 and self._number == 2:
            threading.Event().wait()
        if self._taken > 3 and self._number == 3:
            raise RuntimeError("Camera frontend has timed out!")
        width, height = self._config["size"]
        rgb = np.zeros((height, width, 3), np.uint8)
        rgb[:, :, 0], rgb[0, 0] = 200, self._taken % 256
        return rgb

    def stop(self):
        self._started = False

    def close(self):
        pass
