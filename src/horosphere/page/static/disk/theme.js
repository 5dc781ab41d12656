// The page's colours as they are now, whatever chose them.
import { isDark } from "../appearance.js";

const NAMES = { ink: "#1d2329", soft: "#5a646e", line: "#cdd4da", accent: "#0072b2", card: "#ffffff" };
const NIGHT = { ink: "#e8edf2", soft: "#9aa7b3", line: "#36414c", accent: "#6cb8ea", card: "#161c22" };

export function coloursOf(element) {
  const style = getComputedStyle(element), dark = isDark();
  const own = Object.fromEntries(Object.entries(dark ? NIGHT : NAMES).map(
    ([name, fallback]) => [name, style.getPropertyValue(`--${name}`).trim() || fallback],
  ));
  return {
    ...own, dark,
    ground: dark ? "rgb(255 255 255 / .025)" : "rgb(255 255 255 / .75)",
    grid: dark ? "rgb(255 255 255 / .09)" : "rgb(20 30 40 / .085)",
    rim: own.soft,
  };
}

// Calls back when the theme changes.
export function watchTheme(changed) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  new MutationObserver(changed).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}
