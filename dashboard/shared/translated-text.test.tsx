import { act, render as renderPlainly } from "@testing-library/react";
import { beforeAll, describe, expect, test } from "vitest";
import { surviveTranslators } from "./translated-text";

beforeAll(() => surviveTranslators(document.body));

interface Shown {
  count: number;
  name: string | null;
  list: readonly string[];
}

/** Every way in which React changes text: alone, among other texts, conditional, in a list, moved. */
function Page({ count, name, list }: Shown) {
  return (
    <main>
      <h1>{name ?? "no name"}</h1>
      <p>
        Attempt {count} of 5{name && <>: {name}</>}. {count > 2 ? "Last" : <b>Not last</b>} one
      </p>
      {count % 2 === 0 && "even"}
      <ul>
        {list.map((item) => (
          <li key={item}>
            {item} {count}
          </li>
        ))}
      </ul>
      {name}
      {list.length > 1 ? "several" : null} at the end
    </main>
  );
}

type Translator = (text: Text) => void;

const translation = (text: string) => {
  const font = document.createElement("font");
  font.append(Object.assign(document.createElement("font"), { textContent: `«${text}»` }));
  return font;
};

/** How translators are known to change a text. */
const TRANSLATORS: Record<string, Translator> = {
  "replaces a text": (text) => text.replaceWith(translation(text.data)),
  "puts its element before a text and takes the text out": (text) => {
    text.before(translation(text.data));
    text.remove();
  },
  "puts its element after a text and takes the text out": (text) => {
    text.after(translation(text.data));
    text.remove();
  },
  "wraps a text": (text) => {
    const font = document.createElement("font");
    text.before(font);
    font.append(text);
  },
  "replaces texts beside each other by one element": (text) => {
    const texts = [text];
    while (texts.at(-1)?.nextSibling instanceof Text) texts.push(texts.at(-1)?.nextSibling as Text);
    text.replaceWith(translation(texts.map((one) => one.data).join("")));
    for (const other of texts.slice(1)) other.remove();
  },
};

describe.each(Object.entries(TRANSLATORS))("a page stays current while a translator %s", (_, translateText) => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])("in the changes of seed %i", async (seed) => {
    const random = randomFrom(seed);
    const page = renderPlainly(<Page {...shownBy(random)} />);

    for (let change = 0; change < 8; change += 1) {
      await translateSome(page.container, translateText, random);
      const shown = shownBy(random);
      act(() => page.rerender(<Page {...shown} />));

      const { container, unmount } = renderPlainly(<Page {...shown} />);
      expect(originalOf(page.container)).toBe(container.textContent);
      unmount();
    }
  });
});

/** Translate some of the texts that are not translated, and let the observers hear of it. */
async function translateSome(root: Node, translateText: Translator, random: () => number): Promise<void> {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const texts: Text[] = [];
  while (walker.nextNode()) {
    const text = walker.currentNode as Text;
    if (!text.parentElement?.closest("font") && text.data.trim() && random() < 0.7) texts.push(text);
  }
  for (const text of texts) if (text.isConnected) translateText(text);
  await Promise.resolve();
}

function originalOf(root: Node): string {
  return (root.textContent ?? "").replaceAll(/[«»]/g, "");
}

function shownBy(random: () => number): Shown {
  const list = ["one", "two", "three", "four"].filter(() => random() < 0.6).sort(() => random() - 0.5);
  return { count: Math.floor(random() * 5), name: random() < 0.5 ? null : `name ${Math.floor(random() * 3)}`, list };
}

/** Mulberry32: the same numbers for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
