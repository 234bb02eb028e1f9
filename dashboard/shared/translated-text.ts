/**
 * Keeps a page alive and current while a translator works on it (react#11538).
 *
 * A translator takes the page's texts out and puts elements of its own in their places. React does not know that: when it
 * removes or moves such a text the browser throws, and a change of it is not visible. So before React touches a text
 * that was taken out, the text is put back; the translator then translates it again. Imported first by each page.
 */

/** By the translator's element: the nodes that it stands for, in their order. */
const originals = new WeakMap<Node, Node[]>();
/** By a node that was taken out: the translator's element in its place. */
const substitutes = new WeakMap<Node, Node>();

const { appendChild, insertBefore, removeChild } = Node.prototype;
const nodeValue = Object.getOwnPropertyDescriptor(Node.prototype, "nodeValue") as Required<PropertyDescriptor>;

const observer = new MutationObserver(record);

/** Follow a translator's changes below this element, and undo them where React needs its own text back. */
export function surviveTranslators(root: Node): void {
  observer.observe(root, { childList: true, subtree: true });

  Node.prototype.removeChild = function <Child extends Node>(this: Node, child: Child): Child {
    if (child.parentNode !== this) bringBack(this, child);
    return child.parentNode === this ? (removeChild.call(this, child) as Child) : child;
  };

  Node.prototype.insertBefore = function <Child extends Node>(this: Node, child: Child, before: Node | null): Child {
    putBack(child);
    if (before && before.parentNode !== this) bringBack(this, before);
    const place = before?.parentNode === this ? before : null;
    return insertBefore.call(this, child, place) as Child;
  };

  Node.prototype.appendChild = function <Child extends Node>(this: Node, child: Child): Child {
    putBack(child);
    return appendChild.call(this, child) as Child;
  };

  Object.defineProperty(Node.prototype, "nodeValue", {
    ...nodeValue,
    set(this: Node, text: string | null) {
      if (this instanceof Text) putBack(this);
      nodeValue.set.call(this, text);
    },
  });
}

/** Make the node a child of this parent again, if a translator took it out or wrapped it. */
function bringBack(parent: Node, node: Node): void {
  putBack(node);
  const wrapper = childOf(parent, node);
  if (!wrapper || wrapper === node) return;
  insertBefore.call(parent, node, wrapper);
  if (!wrapper.hasChildNodes()) removeChild.call(parent, wrapper);
}

/** If a translator took the node out, put it back in place of the translator's element, with all others that it stands for. */
function putBack(node: Node): void {
  if (node.isConnected) return;
  record(observer.takeRecords());
  const substitute = substitutes.get(node);
  if (!substitute) return;
  for (const original of originals.get(substitute) ?? []) {
    substitutes.delete(original);
    if (substitute.parentNode) insertBefore.call(substitute.parentNode, original, substitute);
  }
  originals.delete(substitute);
  if (substitute.parentNode) removeChild.call(substitute.parentNode, substitute);
}

/** The child of the parent that contains the node; null if none does. */
function childOf(parent: Node, node: Node): Node | null {
  let child: Node | null = node;
  while (child && child.parentNode !== parent) child = child.parentNode;
  return child;
}

/** Note which nodes were taken out beside an element that the same change put in. React puts no `font` elements in. */
function record(changes: MutationRecord[]): void {
  const added = new Set<Node>();
  for (const { addedNodes, removedNodes, previousSibling, nextSibling } of changes) {
    for (const node of addedNodes) if (isTranslators(node)) added.add(node);
    const substitute = [...addedNodes, nextSibling, previousSibling].find((node) => node && added.has(node));
    if (!substitute) continue;
    for (const node of removedNodes) if (!isTranslators(node) && !node.isConnected) note(node, substitute);
  }
}

function note(node: Node, substitute: Node): void {
  substitutes.set(node, substitute);
  originals.set(substitute, [...(originals.get(substitute) ?? []), node]);
}

function isTranslators(node: Node): boolean {
  return node.nodeName === "FONT";
}
