
// Searching, the history of the browser, and the events of the form.

const results = find("results");
let current = new AbortController();
let isSearched = false;
let shownAddress = null;

/** Announces a text. One that the panels show too is for screen readers alone. */
function say(text, isShown = true) {
  find("status").textContent = text;
  find("status").classList.toggle("heard", !isShown);
}

/** Keeps the texts of ids, and the values of attributes that filters suggest. */
function learn({ items, task }) {
  for (const { id, text, payload } of items) {
    textOf.set(id, text);
    const held = tasks[task]?.entries === "sets" ? payload.items.map((item) => item.attributes) : [payload ?? {}];
    held.forEach(noteValues);
  }
}

async function outcomeOf(state, method, signal) {
  const started = performance.now();
  try {
    const answer = await ask("v1/retrieve", bodyOf(state, method), signal);
    learn(answer);
    return { answer, roundTrip: performance.now() - started };
  } catch (fault) {
    if (!(fault instanceof Fault)) throw fault;
    return { fault };
  }
}

function showEmpty() {
  document.title = "r4t_ray";
  isSearched = false;
  say("");
  results.removeAttribute("aria-busy");
  results.replaceChildren(make("div", { class: "none" }, make("h2", {}, "Describe what you would like to have"),
    make("p", {}, "A broad wish works best. Each column of the answer is another direction that it can take, " +
      "with the nearest entries of the catalogue."),
    make("p", {}, "Open an entry to see its attributes, to ask for more like it, or to avoid it.")));
}

function showLoading(methods) {
  say("Searching \u2026");
  results.setAttribute("aria-busy", "true");
  if (results.querySelector(".panel")) return;
  results.replaceChildren(...methods.map(() => make("div", { class: "panel loading", "aria-hidden": "true" },
    make("div", { class: "directions" }, Array.from({ length: 6 }, () => make("div", { class: "card" }))))));
}

/** Answers the state of the form by each chosen method, one after the other so that their times can be compared. */
async function run() {
  current.abort();
  const { signal } = (current = new AbortController());
  const state = readForm();
  const methods = methodsOf(state);
  isSearched = true;
  document.title = `${state.query.trim() || "more like these"} \u2013 r4t_ray`;
  showLoading(methods);
  const outcomes = [];
  try {
    for (const method of methods) outcomes.push(await outcomeOf(state, method, signal));
  } catch (error) {
    if (signal.aborted) return;
    throw error;
  }
  if (signal.aborted) return;
  showOutcomes(methods, outcomes);
}

function showOutcomes(methods, outcomes) {
  const shared = sharedIds(outcomes);
  results.removeAttribute("aria-busy");
  results.classList.toggle("compared", methods.length > 1);
  results.replaceChildren(...methods.map((method, at) => answerPanel(method, outcomes[at], shared)));
  showTerms();
  const parts = methods.map((method, at) => `${METHODS[method]}: ${extent(outcomes[at].answer)}`);
  if (methods.length > 1 && outcomes.every(({ answer }) => answer)) parts.push(`${shared.size} in both`);
  say(parts.join(" · "), methods.length > 1);
  markFields(outcomes);
  if (outcomes.some(({ fault }) => fault?.status === 401)) askForKey();
}

/** Marks the fields that errors name. */
function markFields(outcomes) {
  const wrong = new Set(outcomes.map(({ fault }) => fault?.where.split(".")[0]));
  for (const name of Object.keys(DEFAULTS)) {
    if (wrong.has(name)) find(name).setAttribute("aria-invalid", "true");
    else find(name).removeAttribute("aria-invalid");
  }
}

/** Searches for what the form shows, as a new entry of the history if its address is new. */
function search() {
  for (const name of ["like", "avoid"]) addWords(name);
  const state = readForm();
  showSummary();
  if (isEmpty(state)) {
    say("Type what you are looking for, or name what it should be like.");
    find("query").focus();
    return;
  }
  const address = addressOf(state);
  if (address !== location.search) history.pushState(null, "", address);
  shownAddress = location.search;
  run();
}

function addWords(name) {
  const word = find(`${name}-words`).value.trim();
  find(`${name}-words`).value = "";
  if (word && !terms[name].includes(word)) terms[name].push(word);
  showTerms();
}

/** Replaces the terms of "like" or "avoid", and searches again if there was an answer. */
function steer(name, wanted) {
  terms[name] = wanted;
  showTerms();
  again();
}

function removeConditions() {
  find("conditions").replaceChildren();
  find("query").focus();
  again();
}

/** Searches again if there was an answer. */
function again() {
  if (!isSearched) return;
  if (!isEmpty(readForm())) search();
  else {
    current.abort();
    showEmpty();
  }
}

function steerBy(name, { id }) {
  const other = name === "like" ? "avoid" : "like";
  terms[other] = terms[other].filter((term) => term !== id);
  steer(name, [...terms[name].filter((term) => term !== id), id]);
  find("terms").querySelector(`.${name} li:last-child button`).focus();
}

/** Shows an address: fills the form, and searches if it asks for something. */
function show(address) {
  const state = stateOf(address);
  shownAddress = address;
  fill(state);
  if (isEmpty(state)) {
    current.abort();
    showEmpty();
  } else run();
}

function askForKey() {
  find("key").hidden = false;
  find("key-text").focus();
}

/** Asks what the server searches, and then shows the address. */
async function start() {
  try {
    const index = await ask("v1/index");
    tasks = index.tasks;
    DEFAULTS.k = `${Math.min(10, ...Object.values(tasks).map(({ model }) => model.num_rows))}`;
    find("key").hidden = true;
  } catch (fault) {
    fill(stateOf(location.search));
    results.replaceChildren(faultPanel(fault, start));
    if (fault.status === 401) askForKey();
    return;
  }
  show(location.search);
  showCatalogue();
  if (!isSearched) find("query").focus();
}

function showCatalogue() {
  find("catalogue").textContent = pool() ? `${counted(pool().size, pool().entries.slice(0, -1))} in the catalogue` : "";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
form.addEventListener("input", (event) => {
  if (event.target.type === "range") {
    event.target.dataset.moved = "yes";
    showSlider(event.target);
  }
});
form.addEventListener("change", (event) => {
  if (["task", "method", "versus"].includes(event.target.name)) {
    showTask();
    showCatalogue();
    if (Number(find("k").value) > pool()?.model.num_rows) find("k").value = pool().model.num_rows;
    again();
  }
  showSummary();
});
find("key").addEventListener("submit", (event) => {
  event.preventDefault();
  keepKey(find("key-text").value);
  find("key-text").value = "";
  start();
});
for (const name of ["like", "avoid"]) {
  const add = () => {
    addWords(name);
    steer(name, terms[name]);
    find(`${name}-words`).focus();
  };
  find(`${name}-add`).addEventListener("click", add);
  find(`${name}-words`).addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.value.trim()) return;
    event.preventDefault();
    add();
  });
}
find("add-condition").addEventListener("click", () => {
  addCondition([pool().attributes[0], "is", ""]).querySelector("select").focus();
});
find("reset").addEventListener("click", () => {
  const { query, task, method, versus } = readForm();
  fill(stateWith({ query, task, method, versus }));
  again();
});
window.addEventListener("popstate", () => {
  if (location.search !== shownAddress) show(location.search); // not for a change of the fragment
});
find("options").open = matchMedia("(min-width: 64rem)").matches;
start();
