// The picture with its hole, to be painted on pixel by pixel. Gradio hands over `element`, `props`,
// `trigger` and `watch`. The value is {picture: a PNG as data, hole: "0110...", 1 = hole, by rows,
// strokes: how many were told}; the page puts one there, and each stroke of a person's puts another
// one and triggers "input".
const PAINT = "rgba(225, 29, 110, 0.78)"; // seen well on skin, hair and backgrounds
const SIDE = 768; // of the canvas, about; it is shown smaller or larger
const REMEMBERED = 200; // holes

const find = (selector) => element.querySelector(selector);
const canvas = find("canvas");
const pen = canvas.getContext("2d");
const [brush, eraser, undo, redo] = [".brush", ".eraser", ".undo", ".redo"].map(find);
const size = find("input");

let picture = null; // an image, once it is decoded
let side = 0; // pixels of the model's on a side
let hole = []; // booleans
let strokes = 0; // that were told: an answer that knows of fewer comes too late for its hole
let before = [], after = []; // holes that undo and redo bring back
let stroke = null; // which pointer is down, and where it was last
let pointer = null; // where it is

const write = (cells) => cells.map(Number).join("");
const read = (text) => Array.from(text, (cell) => cell === "1");

function draw() {
  if (!picture) return;
  const times = canvas.width / side;
  pen.imageSmoothingEnabled = false;
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  pen.fillStyle = PAINT;
  hole.forEach((is, i) => {
    if (is) pen.fillRect((i % side) * times, Math.floor(i / side) * times, times, times);
  });
  if (pointer) {
    pen.strokeStyle = "white";
    for (const i of touched(pointer)) {
      pen.strokeRect((i % side) * times + 0.5, Math.floor(i / side) * times + 0.5, times - 1, times - 1);
    }
  }
}

// The pixel under a place and those whose middle the brush covers.
function touched(place) {
  const radius = size.valueAsNumber / 2, found = [];
  for (let y = Math.max(0, Math.floor(place.y - radius)); y < Math.min(side, place.y + radius + 1); y++) {
    for (let x = Math.max(0, Math.floor(place.x - radius)); x < Math.min(side, place.x + radius + 1); x++) {
      const under = x === Math.floor(place.x) && y === Math.floor(place.y);
      if (under || Math.hypot(x + 0.5 - place.x, y + 0.5 - place.y) < radius) found.push(y * side + x);
    }
  }
  return found;
}

function paint(from, to) {
  const adds = brush.getAttribute("aria-pressed") === "true";
  const steps = Math.max(1, Math.ceil(2 * Math.hypot(to.x - from.x, to.y - from.y)));
  for (let step = 0; step <= steps; step++) {
    const part = step / steps;
    const place = { x: from.x + part * (to.x - from.x), y: from.y + part * (to.y - from.y) };
    for (const i of touched(place)) hole[i] = adds;
  }
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return {
    x: ((event.clientX - box.left) / box.width) * side,
    y: ((event.clientY - box.top) / box.height) * side,
  };
}

// What can be done and read besides the picture.
function around() {
  undo.disabled = before.length === 0;
  redo.disabled = after.length === 0;
  const count = hole.filter(Boolean).length;
  canvas.ariaLabel = `The picture; ${count} of its ${hole.length} pixels are the hole`;
}

function remember(text) {
  before = [...before, text].slice(-REMEMBERED);
  after = [];
}

// What a person did is told.
function tell() {
  strokes += 1;
  props.value = { ...props.value, hole: write(hole), strokes };
  around();
  draw();
  trigger("input");
}

function back(from, to) {
  if (!from.length || stroke) return;
  to.push(write(hole));
  hole = read(from.pop());
  tell();
}

function show() {
  const value = props.value;
  if (!value?.hole) return;
  end(false);
  const late = value.strokes < strokes && value.hole.length === hole.length;
  const told = late ? write(hole) : value.hole;
  if (value.picture !== picture?.src) {
    [before, after] = [[], []];
    picture = null;
    const image = new Image();
    image.onload = () => {
      if (image.src !== props.value.picture) return;
      picture = image;
      draw();
    };
    image.src = value.picture;
  } else if (told !== write(hole)) remember(write(hole));
  hole = read(told);
  if (late) props.value = { ...value, hole: told, strokes };
  if (side !== Math.sqrt(hole.length)) {
    side = Math.sqrt(hole.length);
    canvas.width = canvas.height = Math.ceil(SIDE / side) * side;
    size.max = Math.max(12, side / 4);
    size.value = Math.max(1, Math.round(side / 10));
    size.nextElementSibling.value = size.value;
  }
  around();
  draw();
}

// The stroke counts, or is taken back.
function end(counts) {
  if (!stroke) return;
  const { was } = stroke;
  stroke = null;
  if (!counts) hole = read(was);
  else if (was !== write(hole)) {
    remember(was);
    tell();
  }
  draw();
}

canvas.addEventListener("pointerdown", (event) => {
  if (!picture || stroke || event.button !== 0 || !event.isPrimary) return;
  canvas.setPointerCapture(event.pointerId);
  pointer = place(event);
  stroke = { id: event.pointerId, at: pointer, was: write(hole) };
  paint(pointer, pointer);
  draw();
});
canvas.addEventListener("pointermove", (event) => {
  if (!event.isPrimary) return;
  pointer = place(event);
  if (stroke?.id === event.pointerId) {
    paint(stroke.at, pointer);
    stroke.at = pointer;
    if (!(event.buttons & 1)) end(true); // let go while another button was down
  }
  draw();
});
for (const [name, counts] of [["pointerup", true], ["pointercancel", false]]) {
  canvas.addEventListener(name, (event) => {
    if (stroke?.id !== event.pointerId) return;
    if (event.pointerType !== "mouse") pointer = null;
    end(counts);
  });
}
canvas.addEventListener("pointerleave", () => {
  if (!stroke) pointer = null;
  draw();
});
canvas.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
  event.preventDefault();
  if (event.shiftKey) back(after, before);
  else back(before, after);
});
for (const [button, other] of [[brush, eraser], [eraser, brush]]) {
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", "true");
    other.setAttribute("aria-pressed", "false");
  });
}
undo.addEventListener("click", () => back(before, after));
redo.addEventListener("click", () => back(after, before));
size.addEventListener("input", () => {
  size.nextElementSibling.value = size.value;
});
watch("value", show);
show();
