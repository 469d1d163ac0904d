// What a page remembers. Where the browser lets it keep nothing (storage is blocked or full), it
// remembers for as long as it is open.

const TOKEN = "splitfer-token";
const unkept = new Map();

function read(storage, key) {
  if (unkept.has(key)) return unkept.get(key);
  try {
    return window[storage].getItem(key);
  } catch {
    return null;
  }
}

function keep(storage, key, value) {
  try {
    window[storage].setItem(key, value);
    unkept.delete(key);
  } catch {
    unkept.set(key, value);
  }
}

// In this tab alone, and forgotten with it.
export const token = () => read("sessionStorage", TOKEN) ?? "";
export const keepToken = (value) => keep("sessionStorage", TOKEN, value);

// On this device, for the next visit.
export const chosen = (key) => read("localStorage", key);
export const keepChoice = (key, value) => keep("localStorage", key, value);
