// What is drawn on canvases: the picture with its boxes, and the small graphs.
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// On the picture, whatever the scheme: told apart also by who does not tell red from green.
const BOX = { cloud: "#40aaff", local: "#ffb020", image: "#60d678" };

export async function drawPicture(canvas, live) {
  const pen = canvas.getContext("2d");
  if (!live.picture) {
    pen.fillStyle = "#0c0e10";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    return;
  }
  const image = new Image();
  image.src = live.picture;
  await image.decode();
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  pen.drawImage(image, 0, 0);
  const size = Math.max(12, Math.round(canvas.width / 32));
  pen.font = `600 ${size}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  for (const [place, face] of live.faces.entries()) {
    const [x, y, w, h] = face.box.map((part, i) => part * (i % 2 ? canvas.height : canvas.width));
    pen.strokeStyle = pen.fillStyle = BOX[face.path];
    pen.lineWidth = Math.max(2, size / 6);
    pen.setLineDash(face.uncertain ? [size / 2, size / 3] : []);
    pen.strokeRect(x, y, w, h);
    const name = face.track ?? place + 1;
    const words = `${name} ${face.label}${face.uncertain ? "?" : ""} ${Math.round(100 * face.confidence)}%`;
    const wide = pen.measureText(words).width + size;
    const left = Math.max(0, Math.min(x, canvas.width - wide));
    const top = Math.max(0, y - 1.6 * size);
    pen.fillRect(left, top, wide, 1.6 * size);
    pen.fillStyle = "#101216";
    pen.fillText(words, left + size / 2, top + 0.8 * size);
  }
}

export function drawGraph(canvas, history, valueOf, unit, limit) {
  const scale = devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width) return;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const values = history.map(valueOf);
  const known = values.filter((value) => value !== null);
  const most = Math.max(1, ...known, limit && Math.max(...known, 0) > limit / 4 ? limit : 0);
  const top = 14, base = height - 2;
  const y = (value) => base - (base - top) * (value / most);
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = colour("quiet");
  pen.fillText(`${most.toFixed(0)} ${unit}`, 0, 9);
  pen.strokeStyle = colour("line");
  pen.beginPath();
  pen.moveTo(0, base + 0.5);
  pen.lineTo(width, base + 0.5);
  pen.stroke();
  if (limit && limit <= most) {
    pen.strokeStyle = colour("warn");
    pen.setLineDash([4, 4]);
    pen.beginPath();
    pen.moveTo(0, y(limit));
    pen.lineTo(width, y(limit));
    pen.stroke();
    pen.setLineDash([]);
    pen.fillStyle = colour("warn");
    pen.textAlign = "right";
    pen.fillText("deadline", width, y(limit) - 3);
    pen.textAlign = "left";
  }
  const wide = width / Math.max(60, history.length);
  history.forEach((one, place) => {
    const value = values[place];
    if (value === null) return;
    pen.fillStyle = colour(one.path ?? "quiet");
    const high = Math.max(1, base - y(value));
    pen.fillRect(place * wide, base - high, Math.max(1, wide - 1), high);
  });
}
