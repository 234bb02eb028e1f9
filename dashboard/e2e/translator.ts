/** A translator as browsers have one: it replaces every text of the page, and every later text too (react#11538). */

import type { Page } from "@playwright/test";

/** Translate the page from now on. The translation of a text is the text in guillemets. */
export async function translateLive(page: Page): Promise<void> {
  await page.evaluate(() => {
    const observer = new MutationObserver(() => translate());
    function translate() {
      observer.disconnect();
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT, (node) =>
        isTranslatable(node) ? NodeFilter.FILTER_ACCEPT : NodeFilter.FILTER_REJECT,
      );
      const texts: Node[] = [];
      while (walker.nextNode()) texts.push(walker.currentNode);
      for (const text of texts) {
        const [outer, inner] = [document.createElement("font"), document.createElement("font")];
        inner.textContent = `«${text.nodeValue}»`;
        outer.append(inner);
        text.parentNode?.replaceChild(outer, text);
      }
      observer.observe(document.body, { subtree: true, childList: true, characterData: true });
    }
    function isTranslatable(node: Node): boolean {
      const excluded = node.parentElement?.closest("font, script, style, [translate=no]");
      return !excluded && Boolean(node.nodeValue?.trim());
    }
    translate();
  });
}

/** The text without the marks of the translator. */
export function originalOf(text: string): string {
  return text.replaceAll(/[«»]/g, "");
}
