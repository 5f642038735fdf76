
// The state is what a person chose. The address holds all of it, except values that are the default.

const DEFAULTS = {
  query: "", task: find("task").value, method: "diffusion", versus: "", k: "10", n: "5", seed: "0", temperature: "1",
  guidance: "", mmr_lambda: "", strength: "0.5", reach: "all", cap_n: "2", cap_attribute: "",
};
/** Parts of the state that hold several values. A condition is [attribute, kind, ...texts]. */
const LISTS = ["like", "avoid", "where"];

/** A state with every value its default, but for those given. */
const stateWith = (values) => ({ ...DEFAULTS, like: [], avoid: [], where: [], ...values });

function addressOf(state) {
  const fields = new URLSearchParams();
  for (const [name, usual] of Object.entries(DEFAULTS)) if (state[name] !== usual) fields.set(name, state[name]);
  for (const name of LISTS) {
    for (const value of state[name]) fields.append(name, name === "where" ? JSON.stringify(value) : value);
  }
  const text = fields.toString();
  return text ? `?${text}` : location.pathname;
}

/** The state that an address holds. Unknown names, and conditions that cannot be read, are ignored. */
function stateOf(address) {
  const fields = new URLSearchParams(address);
  const state = stateWith({});
  for (const name of Object.keys(DEFAULTS)) if (fields.has(name)) state[name] = fields.get(name);
  for (const name of ["like", "avoid"]) state[name] = fields.getAll(name).filter(Boolean);
  state.where = fields.getAll("where").map(readCondition).filter(Boolean);
  return state;
}

const isEmpty = (state) => !state.query.trim() && !state.like.length;

const methodsOf = (state) => [...new Set([state.method, state.versus].filter(Boolean))];

/** The body of /v1/retrieve for one of the methods. */
function bodyOf(state, method) {
  const { task, like, avoid } = state;
  const body = { task, method, like, avoid, with_payload: true };
  for (const name of ["k", "n", "seed"]) body[name] = Number(state[name]);
  if (state.query.trim()) body.query = state.query;
  for (const name of ["temperature", "guidance", "strength"]) {
    if (state[name] !== DEFAULTS[name]) body[name] = Number(state[name]);
  }
  if (method === "mmr" && state.mmr_lambda) body.mmr_lambda = Number(state.mmr_lambda);
  const filter = filterOf(state.where, state.reach);
  if (filter) body.filter = filter;
  if (state.cap_attribute) body.max_per = { attribute: state.cap_attribute, n: Number(state.cap_n) };
  return body;
}
