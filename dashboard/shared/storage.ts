/** The browser's storage, or one in memory where the browser refuses it: a person or an organisation may forbid site data. */

/** `find` names the storage. Merely naming it throws where site data are forbidden, so it is a function. */
export function storageOr(find: () => Storage): Storage {
  try {
    const storage = find();
    // Some browsers offer a storage that refuses to store.
    storage.setItem(PROBE, "");
    storage.removeItem(PROBE);
    return storage;
  } catch {
    return new MemoryStorage();
  }
}

const PROBE = "tenantry.probe";

class MemoryStorage implements Storage {
  readonly #items = new Map<string, string>();

  get length(): number {
    return this.#items.size;
  }

  key(index: number): string | null {
    return [...this.#items.keys()][index] ?? null;
  }

  getItem(key: string): string | null {
    return this.#items.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.#items.set(key, String(value));
  }

  removeItem(key: string): void {
    this.#items.delete(key);
  }

  clear(): void {
    this.#items.clear();
  }
}

/** Emptied when the tab is closed. */
export const TAB_STORAGE = storageOr(() => window.sessionStorage);

/** Kept by the browser. Nothing secret may be stored in it. */
export const LASTING_STORAGE = storageOr(() => window.localStorage);

/** Whether what is stored is still there after the browser went to another site and came back. */
export function isLasting(storage: Storage): boolean {
  return !(storage instanceof MemoryStorage);
}
