// What a page remembers; nothing where the browser lets it keep nothing.

const TOKEN = "splitfer-token";

function storage(name) {
  try {
    return window[name];
  } catch {
    return null; // cookies and the like are blocked
  }
}

// In this tab alone, and forgotten with it.
export const token = () => storage("sessionStorage")?.getItem(TOKEN) ?? "";
export const keepToken = (value) => storage("sessionStorage")?.setItem(TOKEN, value);

// On this device, for the next visit.
export const chosen = (key) => storage("localStorage")?.getItem(key) ?? null;
export const keepChoice = (key, value) => storage("localStorage")?.setItem(key, value);
