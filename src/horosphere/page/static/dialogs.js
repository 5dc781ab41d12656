// Shortcuts, the same request from a program, and the server's token.
import * as api from "./api.js";
import { find, make, say } from "./dom.js";
import { request } from "./state.js";

const KEYS = [
  ["Ctrl V", "search with the image in the clipboard"],
  ["u", "choose an image"],
  ["/", "find an item by its id"],
  ["↑ ↓ ← →", "walk through the neighbours and the columns"],
  ["Enter", "search with the neighbour in focus"],
  ["m, l", "more like it, less like it: it moves to the query"],
  ["[ ]", "one neighbour fewer, one more"],
  ["w", "the trained weights"],
  ["c", "confusions, and back to neighbours"],
  ["t", "light or dark"],
  ["Esc", "clear the query"],
  ["?", "this list"],
];

export function openHelp() {
  find("help-list").replaceChildren(...KEYS.flatMap(([keys, words]) => [make("dt", {}, make("kbd", {}, keys)), make("dd", {}, words)]));
  find("help").showModal();
}

// For a shell: in single quotes nothing is special but the single quote.
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export async function openProgram(state) {
  const [path, body] = request(state);
  const fill = (...headers) => {
    const lines = [`curl -s ${quoted(location.origin + path)}`, ...headers.map((header) => `-H ${header}`), `-d ${quoted(JSON.stringify(body))}`];
    find("copy-curl").textContent = lines.join(" \\\n  ");
  };
  const type = "'Content-Type: application/json'";
  fill(type);
  find("copy-json").textContent = JSON.stringify(body, null, 2);
  find("copy").showModal();
  // In double quotes the shell puts the token in, which the page does not know.
  if (await api.wantsToken().catch(() => false)) fill(type, '"Authorization: Bearer $TOKEN"');
}

export function startCopying() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = find(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "Copied";
        say("Copied.");
        setTimeout(() => (button.textContent = "Copy"), 1500);
      } catch {
        getSelection().selectAllChildren(source);
        say("The browser does not let the page copy: the text is selected, copy it by hand.");
      }
    });
  }
}

// Opens until a token is right. A token in the address is taken, and taken out of it.
export async function openSession() {
  const words = new URLSearchParams(location.hash.slice(1));
  const given = words.get("token");
  if (given !== null) {
    words.delete("token");
    history.replaceState(null, "", `#${words}`);
    try {
      return await api.openSession(given);
    } catch (error) {
      if (!(error instanceof api.Refused)) throw error;
    }
  }
}

let asking = null;

// One dialog for all who need a token; it stays until one is right, for without it there is nothing to see.
export function askToken() {
  asking ??= new Promise((resolve) => {
    const dialog = find("token");
    const error = find("token-error");
    error.hidden = true;
    let open = false;
    dialog.onclose = () => (open ? resolve() : dialog.showModal());
    find("token-form").onsubmit = async (event) => {
      event.preventDefault();
      try {
        await api.openSession(find("token-word").value);
        open = true;
        find("token-word").value = "";
        dialog.close();
      } catch (problem) {
        error.textContent = problem.message;
        error.hidden = false;
      }
    };
    dialog.showModal();
  }).finally(() => (asking = null));
  return asking;
}
