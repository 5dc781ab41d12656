// A value as it is read.
export const shown = (value) => (typeof value === "number" ? String(+value.toPrecision(6)) : String(value).replaceAll("_", " "));
