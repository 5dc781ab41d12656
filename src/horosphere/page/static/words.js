// Numbers and lists as people read them.

const whole = new Intl.NumberFormat("en");
const share = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { style: "percent", maximumSignificantDigits: 2 });
const rules = new Intl.PluralRules("en", { type: "ordinal" });
const endings = { one: "st", two: "nd", few: "rd", other: "th" };

export const count = (n) => whole.format(n);
export const percent = (x) => share.format(x);
export const probability = (x) => (x > 0 && x < 0.001 ? "< 0.1%" : fine.format(x));
export const ordinal = (n) => `${n}${endings[rules.select(n)]}`;
export const distance = (x) => (x === 0 || Math.abs(x) >= 0.001 ? x.toFixed(x >= 100 ? 1 : 3) : x.toExponential(1));
export const weight = (x) => String(Number(x.toPrecision(3)));
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

export function list(words) {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

export function seconds(x) {
  if (x < 90) return plural(Math.max(1, Math.round(x)), "second");
  return plural(Math.round(x / 60), "minute");
}

export function bytes(n) {
  return n < 1e6 ? `${Math.round(n / 1e3)} kB` : `${(n / 1e6).toFixed(n < 1e7 ? 1 : 0)} MB`;
}

// What a person calls an item: its class where it has one, in words, else its id.
export function label(hit) {
  const named = hit.metadata?.class;
  return named === undefined ? hit.id : String(named).replaceAll("_", " ");
}
