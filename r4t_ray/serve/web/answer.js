
// The answer of one method, as a panel.

/** A number with two decimals; rounding gives no negative zero. */
const rounded = (value) => (Math.round(100 * value) / 100 || 0).toFixed(2);

const METHODS = Object.fromEntries([...find("method").options].map(({ value, text }) => [value, text]));
const PARTIAL = "A part of the index did not answer: items may be missing.";
const ONE_DIRECTION = "Its one direction is the query: groundedness and alignment are the query's.";

/** Attributes of an item as [name, text] pairs, or those of the items of a set. */
function payloadPairs(payload, isSet) {
  const text = (value) => [value].flat().map((one) => (typeof one === "object" ? JSON.stringify(one) : one)).join(", ");
  const pairs = (attributes) => Object.entries(attributes).map(([name, value]) => [name, text(value)]);
  if (!isSet) return pairs(payload ?? {});
  const lines = payload.items.map(({ id, attributes }) => {
    const inside = pairs(attributes).map((pair) => pair.join(" ")).join("; ");
    return inside ? `${id} (${inside})` : id;
  });
  return [["items", make("ul", {}, lines.map((line) => make("li", { dir: "auto" }, line)))]];
}

/** An item that opens: its score, id and attributes, and the buttons that steer. */
function itemRow(item, isShared) {
  const isSet = pool()?.entries === "sets";
  const steering = [["like", "More like this"], ["avoid", "Avoid this"]];
  const row = make("details", { class: "item" },
    make("summary", {}, make("span", { class: "text", dir: "auto" }, item.text),
      isShared ? make("span", { class: "tag" }, "in both") : null,
      make("span", { class: "score" }, rounded(item.score))));
  row.addEventListener("toggle", () => {
    if (row.children.length > 1) return;
    row.append(make("div", { class: "steer" }, steering.map(([name, text]) => make("button",
      { onclick: () => steerBy(name, item), "aria-label": `${text}: ${item.text}` }, text))),
      definitions([["score", item.score.toFixed(4)], ["id", item.id], ...payloadPairs(item.payload, isSet)]));
  });
  return make("li", {}, row);
}

const itemList = (items, shared) => make("ol", {}, items.map((item) => itemRow(item, shared.has(item.id))));

function directionCard(direction, shared, id) {
  const percent = 100 * direction.weight;
  const facts = [`share ${percent < 0.5 ? "below 1" : percent.toFixed(0)}%`];
  if (direction.groundedness !== null) facts.push(`grounded ${rounded(direction.groundedness)}`);
  return make("section", { class: "card", "aria-labelledby": id },
    make("h3", { id }, make("span", { class: "number" }, `${direction.index + 1} `),
      make("span", { dir: "auto" }, direction.label ?? "a direction")),
    make("p", { class: "facts" }, facts.join(" · ")),
    direction.items.length ? itemList(direction.items, shared) : make("p", { class: "quiet" }, "No item passes."));
}

function metricList({ vendi, groundedness, alignment }) {
  const rows = [["Diversity", vendi], ["Groundedness", groundedness], ["Alignment", alignment]];
  return make("dl", { class: "metrics" }, rows.map(([name, value]) => make("div", {}, make("dt", {}, name),
    make("dd", {}, make("span", {}, rounded(value)),
      make("meter", { min: 0, max: 1, value: Math.max(0, value), "aria-hidden": "true" })))));
}

function timingText(timings, roundTrip) {
  const stages = Object.entries(timings).filter(([name]) => name !== "total");
  const parts = stages.map(([name, ms]) => `${name} ${ms.toFixed(1)}`).join(", ");
  return `${Math.round(timings.total)} ms in the server (${parts}), ${Math.round(roundTrip)} ms to this page`;
}

/** What a person sees if nothing passes, with a button that removes the filters. */
const nothingFound = () => make("div", { class: "none" }, make("h3", {}, "Nothing passes"),
  make("p", {}, "No entry of the catalogue meets all filters and limits of this request."),
  find("conditions").children.length ? make("button", { onclick: removeConditions }, "Remove the filters") : null);

/** How much an answer holds, in words. Without an answer there was an error. */
function extent(answer) {
  if (!answer) return "an error";
  const { items, directions } = answer;
  return counted(items.length, "item") + (directions.length > 1 ? ` in ${directions.length} directions` : "");
}

/** A panel: the method, its measures and times, its directions as columns, and the merged list. */
function answerPanel(method, { answer, roundTrip, fault }, shared) {
  const title = make("h2", { id: `title-${method}` }, METHODS[method]);
  const panel = make("section", { class: "panel", "aria-labelledby": title.id, "data-method": method }, title);
  if (fault) panel.append(faultPanel(fault, run));
  if (!answer) return panel;
  const { items, directions } = answer;
  title.append(make("span", { class: "count" }, ` ${extent(answer)}`));
  if (items.length) panel.append(metricList(answer.set_metrics));
  panel.append(make("p", { class: "facts" }, timingText(answer.timings_ms, roundTrip)));
  if (answer.partial) panel.append(make("p", { class: "warning" }, PARTIAL));
  if (!items.length) panel.append(nothingFound());
  else if (["mmr", "none"].includes(method)) {
    panel.append(make("p", { class: "facts" }, ONE_DIRECTION), make("div", { class: "list" }, itemList(items, shared)));
  } else {
    panel.append(make("div", { class: "directions" },
      directions.map((direction) => directionCard(direction, shared, `${method}-${direction.index}`))),
      make("details", { class: "list merged" },
        make("summary", {}, `All ${counted(items.length, "item")} as one list, best first`), itemList(items, shared)));
  }
  return panel;
}

/** Ids that every one of several answers lists. */
function sharedIds(outcomes) {
  const [first, ...others] = outcomes.map(({ answer }) => new Set(answer?.items.map(({ id }) => id)));
  return new Set([...first].filter((id) => others.length && others.every((ids) => ids.has(id))));
}
