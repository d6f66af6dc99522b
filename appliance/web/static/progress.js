// Follows a start live: the hub's event stream moves the bar, names the stages and goes on when ready.

const card = document.querySelector("[data-progress]");
const bar = card.querySelector("progress");
const stages = card.querySelector(".stages");
const lost = card.querySelector("[data-lost]");
const slow = card.querySelector("[data-slow]");
const counter = card.querySelector("[data-seconds]");
const started = Date.parse(card.dataset.started);
const slowAfterSeconds = 30;
// The start by this machine's clock, but never later than now: the two clocks may differ.
const began = performance.now() - Math.max(0, Number.isNaN(started) ? 0 : Date.now() - started);

function seconds() {
  return Math.floor((performance.now() - began) / 1000);
}

const ticking = setInterval(() => {
  const now = seconds();
  if (counter) counter.textContent = (now === 1 ? counter.dataset.one : counter.dataset.many).replace("#", String(now));
  slow.hidden = now < slowAfterSeconds;
}, 1000);

// What the page came with is for those without scripts; the stream tells it from the beginning.
let toldBefore = [...stages.children];

function tell(message, inQueue) {
  for (const stage of toldBefore) stage.remove();
  toldBefore = [];
  const last = stages.lastElementChild;
  if (!message || last?.firstElementChild.textContent === message) return;
  // Places in line replace one another; a start that has its turn is past the line.
  if (inQueue && last && "queue" in last.dataset) {
    last.firstElementChild.textContent = message;
    return;
  }
  const stage = document.createElement("li");
  const words = document.createElement("span");
  const time = document.createElement("time");
  if (inQueue) stage.dataset.queue = "";
  words.textContent = message;
  time.textContent = `${seconds()} s`;
  stage.append(words, time);
  stages.append(stage);
}

function finish(event) {
  source.close();
  clearInterval(ticking);
  if (event.ready) {
    location.replace(card.dataset.next || event.url);
  } else {
    location.reload();
  }
}

const source = new EventSource(card.dataset.progress);
source.addEventListener("open", () => {
  lost.hidden = true;
});
source.addEventListener("message", ({ data }) => {
  const event = JSON.parse(data);
  if (typeof event.progress === "number") bar.value = Math.max(bar.value, event.progress);
  tell(event.message, "queue_position" in event);
  if (event.ready || event.failed) finish(event);
});
source.addEventListener("error", () => {
  lost.hidden = false;
  // A stream that the hub refused won't come back by itself; the page says how things stand.
  if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 2000);
});
// Who cancels or logs out is on the way to another page, whatever becomes of the start meanwhile.
document.addEventListener("submit", () => source.close());
