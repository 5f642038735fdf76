
// The form shows the state, and what the server's tasks allow.

const form = find("request");
const AUTO = { guidance: "the model's", mmr_lambda: "the server's" };
const HINTS = {
  temperature: "How much chance goes into the directions: the higher, the more the sets of different seeds differ.",
  diversity: "0 keeps to the most likely directions, 1 is as trained, more is more varied. Above 1 the seed matters.",
  guidance: "How closely the directions keep to the query: the higher, the closer and the less varied.",
  unguided: " The model here takes no guidance.",
  items: "Only items that pass all filters are found.",
  sets: "Filters look at the items of each set.",
  none: "The items of this catalogue have no attributes to filter by.",
};
/** Task -> what GET /v1/index says about it. */
let tasks = {};
/** Terms that steer the set, and the texts of those that are ids. */
const terms = { like: [], avoid: [] };
const textOf = new Map();

const pool = () => tasks[find("task").value];

function showSlider(slider) {
  const isAuto = slider.name in AUTO && !slider.dataset.moved;
  const text = isAuto ? AUTO[slider.name] : slider.value;
  find(`${slider.id}-value`).textContent = text;
  slider.setAttribute("aria-valuetext", text);
}

/** Moves a slider. Without a text its value is the default of the model or the server, near the middle if unknown. */
function setSlider(slider, text) {
  if (text) slider.dataset.moved = "yes";
  else delete slider.dataset.moved;
  slider.value = text || (slider.name === "guidance" ? pool()?.model.guidance ?? 0 : 0.6);
  showSlider(slider);
}

/** Fills the form from a state. */
function fill(state) {
  for (const name of Object.keys(DEFAULTS)) {
    const field = find(name);
    if (field.type === "range") setSlider(field, state[name]);
    else field.value = state[name];
    if (field.options && field.value !== state[name]) field.value = DEFAULTS[name]; // an address with no such option
  }
  for (const name of ["like", "avoid"]) terms[name] = [...state[name]];
  find("conditions").replaceChildren();
  state.where.forEach(addCondition);
  showTask();
  find("cap_attribute").value = state.cap_attribute;
  showTerms();
  showSummary();
}

/** The state that the form shows. Fields that the task does not have are left at their defaults. */
function readForm() {
  const state = stateWith({ like: [...terms.like], avoid: [...terms.avoid] });
  for (const name of Object.keys(DEFAULTS)) {
    const field = find(name);
    if (!field.disabled && !(name in AUTO && !field.dataset.moved)) state[name] = field.value;
  }
  state.where = [...find("conditions").children].map((row) => row.condition()).filter(conditionFilter);
  return state;
}

function addCondition(condition) {
  const row = conditionRow(pool()?.attributes ?? [], condition, () => {
    showSummary();
    find("add-condition").focus();
  });
  find("conditions").append(row);
  return row;
}

/** Adapts hints, limits and fields to the chosen task. */
function showTask() {
  const { attributes = [], entries = "items", model } = pool() ?? {};
  const lists = (name) => form.dataset[name].split(" ").includes(model?.solver);
  find("temperature-hint").textContent = lists("noiseless") ? HINTS.diversity : HINTS.temperature;
  find("guidance-hint").textContent = HINTS.guidance + (lists("unguided") ? HINTS.unguided : "");
  find("guidance").disabled = lists("unguided");
  if (model) find("k").max = model.num_rows;
  find("filters-hint").textContent = attributes.length ? HINTS[entries] : HINTS.none;
  find("add-condition").hidden = !attributes.length;
  for (const [id, isShown] of Object.entries({
    "reach-field": attributes.length && entries === "sets", cap: attributes.length && entries === "items",
    "mmr-slider": [find("method").value, find("versus").value].includes("mmr"),
  })) {
    find(id).hidden = !isShown;
    for (const field of find(id).querySelectorAll("input, select")) field.disabled = !isShown;
  }
  const chosen = find("cap_attribute").value;
  find("cap_attribute").replaceChildren(make("option", { value: "" }, "(no limit)"),
    ...attributes.map((name) => make("option", { value: name }, name)));
  find("cap_attribute").value = attributes.includes(chosen) ? chosen : "";
  for (const option of find("versus").options) option.disabled = option.value === find("method").value;
}

/** The terms that steer the set, each with a button that removes it. */
function showTerms() {
  const titles = { like: "More like", avoid: "Avoid" };
  const chip = (name, term) => make("li", {}, make("span", { dir: "auto" }, textOf.get(term) ?? term),
    make("button", { "aria-label": `Remove ${textOf.get(term) ?? term} from ${titles[name]}`, onclick: () => {
      steer(name, terms[name].filter((other) => other !== term));
      find("query").focus();
    } }, "\u00d7"));
  const focused = [...find("terms").querySelectorAll("button")].indexOf(document.activeElement);
  find("terms").replaceChildren(...["like", "avoid"].filter((name) => terms[name].length).map((name) =>
    make("div", { class: `chips ${name}` }, make("span", { id: `${name}-title` }, titles[name]),
      make("ul", { "aria-labelledby": `${name}-title` }, terms[name].map((term) => chip(name, term))))));
  find("terms").querySelectorAll("button")[focused]?.focus();
}

/** Says in the summary how many options differ from their defaults. */
function showSummary() {
  const state = readForm();
  const names = Object.keys(DEFAULTS).filter((name) => !["query", "task", "method", "versus"].includes(name));
  const num = names.filter((name) => state[name] !== DEFAULTS[name]).length + state.where.length;
  find("options").firstElementChild.textContent = "Options and filters" + (num ? ` (${num} set)` : "");
}
