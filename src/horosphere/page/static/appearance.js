// Light or dark: what was chosen, else the system's.
import { find } from "./dom.js";

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

export function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // Then it holds until the page is left.
  }
  nameTheme();
}

export function nameTheme() {
  find("theme").textContent = isDark() ? "Light" : "Dark";
}
