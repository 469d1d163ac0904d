// Which of the device's own networks answers a frame: the larger one, or where that is too slow here
// the lighter one. Pure functions of what was measured; no clock is read here.

// Of the deadline: what the larger one may take for a frame's faces, and what it must take at most to
// be taken again. With the default deadline 50 and 30 ms: twice that is a tenth of a second.
const SLOW_SHARE = 0.1;
const QUICK_SHARE = 0.06;
const PATIENCE = 8; // frames in a row

export const newChoice = () => ({ lighter: false, beaten: 0 });

// `wanted`: auto, larger, lighter; `largerMs`: what the larger one takes, or would take, for a frame.
export function choose(choice, wanted, largerMs, deadlineMs) {
  if (wanted !== "auto") return { lighter: wanted === "lighter", beaten: 0 };
  const other = choice.lighter ? largerMs < QUICK_SHARE * deadlineMs : largerMs > SLOW_SHARE * deadlineMs;
  const beaten = other ? choice.beaten + 1 : 0;
  return beaten < PATIENCE ? { ...choice, beaten } : { lighter: !choice.lighter, beaten: 0 };
}
