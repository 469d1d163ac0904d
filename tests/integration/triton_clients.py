"""PyPI's ``tritonclient`` against a server, in a process of its own: its messages have the same
names as ours, and one process cannot hold both.

    python -m tests.integration.triton_clients HTTP GRPC TOKEN FACES.npz

prints, for each of the four clients, what it got: JSON that ``test_oip`` reads.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from types import ModuleType
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from tests.integration.message_fields import fields_of

CLIENTS = {
    "http": tritonclient.http,
    "http asyncio": tritonclient.http.aio,
    "grpc": tritonclient.grpc,
    "grpc asyncio": tritonclient.grpc.aio,
}


class Scenario:
    """What one client asks, one after the other."""

    def __init__(self, module: ModuleType, address: str, token: str, faces: Any) -> None:
        self._module, self._faces = module, faces
        self._client = module.InferenceServerClient(address)
        self._headers = {"authorization": f"Bearer {token}"}

    async def run(self) -> dict[str, Any]:
        latents, crops = self._faces["latents"], self._faces["crops"]
        try:
            return {
                "live": await self._call("is_server_live"),
                "ready": await self._call("is_server_ready"),
                "model ready": await self._call("is_model_ready", "full"),
                "server": plain(await self._call("get_server_metadata")),
                "model": plain(await self._call("get_model_metadata", "tail-cloud")),
                "latents": await self._infer("tail-cloud", "latent", latents, request_id="7"),
                "low": await self._infer(
                    "tail-cloud", "latent", latents, parameters={"rate": "low"}
                ),
                "version": await self._infer(
                    "tail-cloud", "latent", latents, model_version=str(self._faces["version"])
                ),
                "float crops": await self._infer("full", "crop", crops.astype(np.float32)),
                "uint8 crops": await self._infer("full", "crop", crops),
                "one output": await self._infer(
                    "full", "crop", crops, outputs=[self._module.InferRequestedOutput("label")]
                ),
                "errors": {
                    "model": await self._infer("nobody", "latent", latents),
                    "version": await self._infer("full", "crop", crops, model_version="1"),
                    "input": await self._infer("full", "latent", latents),
                    "datatype": await self._infer(
                        "tail-cloud", "latent", latents.astype(np.float32)
                    ),
                    "shape": await self._infer("tail-cloud", "latent", latents[:, :7]),
                    "faces": await self._infer("tail-cloud", "latent", latents[[0] * 33]),
                    "values": await self._infer("full", "crop", crops.astype(np.float32) - 256),
                    "rate": await self._infer("full", "crop", crops, parameters={"rate": "finest"}),
                    "timeout": await self._infer("full", "crop", crops, timeout=1),
                    "token": await self._infer("full", "crop", crops, headers={}),
                },
            }
        finally:
            await waited(self._client.close())

    async def _call(self, name: str, *arguments: str) -> Any:
        return await waited(getattr(self._client, name)(*arguments, headers=self._headers))

    async def _infer(
        self, model: str, name: str, array: np.ndarray, **options: Any
    ) -> dict[str, Any]:
        datatype = "FP32" if array.dtype == np.float32 else "UINT8"
        tensor = self._module.InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array)
        options = {"headers": self._headers, **options}
        try:
            result = await waited(self._client.infer(model, [tensor], **options))
        except InferenceServerException as error:
            return {"status": error.status(), "message": error.message()}
        reply = plain(result.get_response())
        probabilities = result.as_numpy("probabilities")
        return {
            "probabilities": None if probabilities is None else probabilities.tolist(),
            "label": [word.decode() for word in result.as_numpy("label")],
            "version": reply["model_version"],
            "id": reply.get("id", ""),
        }


async def waited(value: Any) -> Any:
    """The value, of a client that answers at once or later."""
    return await value if inspect.isawaitable(value) else value


def plain(message: Any) -> Any:
    """A dict of a client's reply, which is one or a protobuf message."""
    if isinstance(message, dict):
        return message
    return MessageToDict(message, preserving_proto_field_name=True)


def protocol() -> dict[str, list[list[Any]]]:
    """The messages of the client's own copy of the protocol: see ``fields_of``."""
    file = FileDescriptorProto()
    service_pb2.DESCRIPTOR.CopyToProto(file)
    return fields_of(file.message_type)


async def main() -> None:
    http, grpc, token, faces = sys.argv[1:]
    answers: dict[str, Any] = {"protocol": protocol()}
    for name, module in CLIENTS.items():
        address = http if name.startswith("http") else grpc
        answers[name] = await Scenario(module, address, token, np.load(faces)).run()
    print(json.dumps(answers))


if __name__ == "__main__":
    asyncio.run(main())
