// A WebAssembly module of ours and its memory.

export class Wasm {
  constructor(exports) {
    this.call = exports;
  }

  static async from(bytes) {
    return new Wasm((await WebAssembly.instantiate(bytes, {})).instance.exports);
  }

  // The memory may have grown since, so a view is for once.
  bytes(at, length) {
    return new Uint8Array(this.call.memory.buffer, at, length);
  }

  view(at, length) {
    return new DataView(this.call.memory.buffer, at, length);
  }

  // Where a copy of `data` lies, for as long as the module lives.
  keep(data) {
    const at = this.call.allocate(data.length);
    if (!at) throw new Error("no memory");
    this.bytes(at, data.length).set(data);
    return at;
  }

  text(at) {
    const all = new Uint8Array(this.call.memory.buffer);
    return new TextDecoder().decode(all.slice(at, all.indexOf(0, at)));
  }
}
