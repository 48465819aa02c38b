// Shows what happens in the simulator. Whatever a device sends is hostile: it is only ever put into
// text nodes, never into markup, and the server's policy forbids scripts from elsewhere.
"use strict";

const MAX_ROWS = 300;
const MAX_DEVICE_ROWS = 500;
const byId = (id) => document.getElementById(id);
const devices = new Map();
let source = null;

const keyOf = (event) => event.product_key + "\u0000" + event.device_name;
const time = (ms) => new Date(ms).toLocaleTimeString(undefined, { hour12: false });

function cell(row, text, className) {
  const td = row.insertCell();
  td.textContent = text;
  if (className) td.className = className;
  return td;
}

async function ask(method, path, body) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const reply = await fetch("/api/v1/" + path, options);
  const value = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Error(value.error || "the simulator answers " + reply.status);
  return value;
}

// Draws the table and the choice of devices, at most once for each frame.
let drawing = false;
function drawDevices() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const known = [...devices.values()].sort((a, b) =>
      Number(b.online) - Number(a.online)
      || a.product_key.localeCompare(b.product_key) || a.device_name.localeCompare(b.device_name));
    const body = byId("devices");
    body.replaceChildren();
    for (const device of known.slice(0, MAX_DEVICE_ROWS)) {
      const row = body.insertRow();
      const state = device.disabled ? "disabled" : device.online ? "online" : "offline";
      cell(row, state, "fixed state " + state);
      cell(row, device.product_key);
      cell(row, device.device_name);
      cell(row, device.since ? time(device.since) : "", "fixed");
    }
    if (known.length > MAX_DEVICE_ROWS) {
      const row = body.insertRow();
      const more = cell(row, "and " + (known.length - MAX_DEVICE_ROWS) + " more");
      more.colSpan = 4;
    }
    byId("no-devices").hidden = known.length > 0;
    const online = known.filter((device) => device.online).length;
    byId("online-count").textContent = online + " of " + known.length + " online";
    drawChoice(known.slice(0, MAX_DEVICE_ROWS));
  });
}

function drawChoice(known) {
  const choice = byId("device");
  const wanted = known.map(keyOf);
  const labels = known.map((d) =>
    d.product_key + " / " + d.device_name + (d.online ? "" : " (offline)"));
  const same = choice.options.length === wanted.length
    && wanted.every((key, i) => choice.options[i].value === key && choice.options[i].text === labels[i]);
  if (same) return;
  const chosen = choice.value;
  choice.replaceChildren(...wanted.map((key, i) => new Option(labels[i], key)));
  if (wanted.includes(chosen)) choice.value = chosen;
}

function addMessage(event) {
  if (byId("pause").checked) return;
  byId("no-messages").hidden = true;
  const body = byId("messages");
  const row = body.insertRow(0);
  cell(row, time(event.time_ms), "fixed");
  cell(row, event.direction === "up" ? "from device" : "to device", "fixed");
  cell(row, event.product_key + " / " + event.device_name);
  cell(row, event.topic);
  cell(row, String(event.qos), "fixed");
  const shown = event.payload !== undefined ? event.payload : "hex " + event.payload_hex;
  const length = event.payload !== undefined ? new TextEncoder().encode(shown).length : event.payload_hex.length / 2;
  // A secret that was hidden makes the text shorter too, so only a long one is called cut.
  const cut = event.size > length && event.size > 4096 ? " … (" + event.size + " bytes)" : "";
  cell(row, shown + cut, "payload");
  while (body.rows.length > MAX_ROWS) body.deleteRow(-1);
}

function addLog(line) {
  const list = byId("log");
  const item = document.createElement("li");
  item.textContent = line;
  if (/^\S+ refused /.test(line)) item.className = "refused";
  list.prepend(item);
  while (list.children.length > MAX_ROWS) list.lastChild.remove();
}

// While the page loads what was before, what happens meanwhile waits here.
let waiting = null;

function onEvent(event) {
  if (waiting) {
    waiting.push(event);
    return;
  }
  if (event.kind === "message") {
    addMessage(event);
  } else if (event.kind === "log") {
    addLog(event.line);
  } else if (event.kind === "presence") {
    const device = devices.get(keyOf(event))
      || { product_key: event.product_key, device_name: event.device_name };
    device.online = event.online;
    device.since = event.time_ms;
    devices.set(keyOf(event), device);
    drawDevices();
  } else if (event.kind === "lost") {
    addLog("… " + event.count + " happenings went by too fast to be shown");
    load();
  }
}

async function load() {
  const known = await ask("GET", "devices");
  const before = new Map(devices);
  devices.clear();
  for (const device of known) {
    const old = before.get(keyOf(device));
    device.since = device.since_ms || (old && !old.online ? old.since : undefined);
    devices.set(keyOf(device), device);
  }
  drawDevices();
}

function listen() {
  source = new EventSource("/api/v1/events");
  source.onopen = async () => {
    byId("link").textContent = "connected to the simulator";
    byId("link").className = "";
    waiting = [];
    try {
      await load();
      const lines = await ask("GET", "log?limit=100");
      const messages = await ask("GET", "messages?limit=100");
      byId("log").replaceChildren();
      lines.forEach(addLog);
      byId("messages").replaceChildren();
      messages.forEach(addMessage);
      const last = messages.length ? messages[messages.length - 1].number : 0;
      const shown = new Set(lines);
      waiting = waiting.filter((event) =>
        event.kind === "log" ? !shown.has(event.line) : event.kind !== "message" || event.number > last);
    } catch (error) {
      addLog("the page: " + error.message);
    }
    const meanwhile = waiting;
    waiting = null;
    meanwhile.forEach(onEvent);
  };
  source.onmessage = (message) => onEvent(JSON.parse(message.data));
  source.onerror = () => {
    byId("link").textContent = "the simulator is not there; trying again …";
    byId("link").className = "lost";
    // A browser tries again by itself, except after an answer that it takes for final.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
}

function chooseHow() {
  const how = byId("how").value;
  byId("topic-row").hidden = how === "properties";
  byId("qos-row").hidden = how !== "publish";
  byId("topic-label").textContent = how === "service" ? "Service" : "Topic";
  byId("topic-hint").textContent = {
    publish: "Without a leading slash: one of the device's own.",
    rrpc: "Empty: the system topic. Otherwise the custom topic, if the device asked for that.",
    service: "The service's identifier; the parameters are JSON.",
    properties: "",
  }[how];
  byId("topic").value = { publish: "user/get", rrpc: "", service: "reboot", properties: "" }[how];
  byId("payload-label").textContent = how === "properties" || how === "service" ? "Params" : "Payload";
}

async function send(event) {
  event.preventDefault();
  const [outcome, button] = [byId("outcome"), byId("submit")];
  const [key, name] = byId("device").value.split("\u0000");
  const path = "devices/" + encodeURIComponent(key) + "/" + encodeURIComponent(name) + "/";
  const [how, topic, payload] = [byId("how").value, byId("topic").value, byId("payload").value];
  outcome.className = "";
  outcome.textContent = how === "publish" ? "" : "waiting for the device …";
  button.disabled = true;
  try {
    let answer;
    if (how === "publish") {
      await ask("POST", path + "publish", { topic, payload, qos: Number(byId("qos").value) });
      outcome.textContent = "sent at " + time(Date.now());
    } else if (how === "rrpc") {
      answer = await ask("POST", path + "rrpc", topic ? { topic, payload } : { payload });
    } else {
      const where = how === "properties" ? "properties" : "services/" + encodeURIComponent(topic);
      let params;
      try {
        params = JSON.parse(payload);
      } catch {
        throw new Error("the parameters are not JSON");
      }
      answer = await ask("POST", path + where, { params });
    }
    if (answer) {
      outcome.textContent = "the device answers: "
        + (answer.payload !== undefined ? answer.payload : "hex " + answer.payload_hex);
    }
  } catch (error) {
    outcome.className = "bad";
    outcome.textContent = "not sent: " + error.message;
    if (how !== "publish") outcome.textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

byId("send").addEventListener("submit", send);
byId("how").addEventListener("change", chooseHow);
byId("clear").addEventListener("click", () => {
  byId("messages").replaceChildren();
  byId("no-messages").hidden = false;
});
chooseHow();
listen();
