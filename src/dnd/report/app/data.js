"use strict";
/**
 * Data files. Each is a classic script that calls `dnd.put(key, value)`: fetch and modules don't work on file://.
 * Everything of the page hangs on the one name `dnd`.
 */
window.dnd = {};

(() => {
  const { useLayoutEffect, useState } = htmPreact;
  const MOST = 120; // blocks of evidence to keep
  const MEASURES = ["explains", "explains_low", "explains_high", "confidence", "score", "bimodality"]; // null without

  const takers = new WeakMap(); // script element -> what takes its value
  const early = new Map(); // values of scripts that index.html itself names
  const files = new Map(); // address -> promise of the value, least recently used first

  /** Called by every data file. */
  dnd.put = (key, value) => {
    const take = takers.get(document.currentScript);
    if (take) take(value);
    else early.set(key, value);
  };

  /** The address of a file in the folder `base`, which alone may lead upwards. */
  dnd.address = (path, base = "") => {
    const name = (part) => (/^\.*$/.test(part) ? "_" : encodeURIComponent(part));
    const up = (part) => (part === ".." ? part : encodeURIComponent(part));
    return base.split("/").map(up).join("/") + path.split("/").map(name).join("/");
  };

  function fetched(address) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const failed = () => reject(new Error(`The file ${decodeURIComponent(address)} is missing or damaged.`));
      takers.set(script, resolve);
      script.src = address;
      script.onerror = failed;
      script.onload = () => {
        script.remove();
        failed(); // does nothing when the script has put its value
      };
      document.head.append(script);
    });
  }

  /** Promise of the value of a data file; a failed one is tried again when it is asked for again. */
  dnd.load = (key, base = "") => {
    if (!base && early.has(key)) return Promise.resolve(early.get(key));
    const address = dnd.address(`${key}.js`, base);
    const found = files.get(address) ?? fetched(address);
    files.delete(address);
    files.set(address, found);
    found.catch(() => files.delete(address));
    const blocks = [...files.keys()].filter((one) => one.includes("/units/"));
    if (blocks.length > MOST) files.delete(blocks[0]);
    return found;
  };

  const numbers = (values) => Float64Array.from(values, (one) => one ?? NaN);

  /** The index of a layer with typed columns, and what is derived from it once; `known` tells which say anything. */
  class Layer {
    constructor(index, base) {
      Object.assign(this, index);
      this.base = base;
      this.key = `${index.name}/${index.slug}`;
      this.folder = `layers/${this.key}`;
      this.count = index.unit.length;
      this.unit = Int32Array.from(index.unit);
      this.label = Int32Array.from(index.label);
      this.abstained = Int16Array.from(index.abstained);
      this.kind = Int16Array.from(index.kind);
      this.facets = Uint8Array.from(index.facets);
      this.polysemantic = Uint8Array.from(index.polysemantic);
      for (const name of MEASURES) this[name] = numbers(index[name] ?? index.unit.map(() => null));
      this.importance = index.importance && numbers(index.importance);
      this.known = { unit: true, label: true };
      for (const name of [...MEASURES, "importance"]) {
        this.known[name] = Boolean(this[name]?.some((value) => !Number.isNaN(value)));
      }
      this.orders = new Map();
    }

    /** The row of a unit, or -1. Units ascend, but a sweep may leave some out. */
    row(unit) {
      let low = 0,
        high = this.count;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (this.unit[middle] < unit) low = middle + 1;
        else high = middle;
      }
      return this.unit[low] === unit ? low : -1;
    }

    labelOf(row) {
      return this.label[row] < 0 ? null : this.labels[this.label[row]];
    }

    /** The best candidate of a row of which nothing is said; null where it has none, or has a label. */
    unsaidOf(row) {
      return this.unsaid?.[row] ?? null;
    }

    reasonOf(row) {
      return this.abstained[row] < 0 ? null : this.reasons[this.abstained[row]];
    }

    kindOf(row) {
      return this.kind[row] < 0 ? null : this.kinds[this.kind[row]];
    }

    /** Promise of the evidence of the block that holds a row. */
    block(row) {
      return dnd.load(`${this.folder}/units/${padded(row, this.units_per_block)}`, this.base);
    }

    /** Address of a sprite sheet of the block that holds a row: exemplars, heat or drawn. */
    sheet(row, kind) {
      return dnd.address(`${this.folder}/units/${padded(row, this.units_per_block)}-${kind}.webp`, this.base);
    }

    thumb(row) {
      return dnd.address(`${this.folder}/thumbs/${padded(row, this.thumbs.per_sheet)}.webp`, this.base);
    }
  }

  const padded = (row, size) => String(Math.floor(row / size)).padStart(5, "0");
  const layers = new Map();

  /** Promise of a layer that a run lists; the run is this one, or that in the folder `base`. */
  dnd.layer = (run, key, base = "") => {
    if (!dnd.summary(run, key)) return Promise.reject(new Error(`The run “${run.run}” has no layer “${key}”.`));
    const place = `${base}\n${key}`;
    if (!layers.has(place)) {
      const found = dnd.load(`layers/${key}/index`, base).then((index) => new Layer(index, base));
      found.catch(() => layers.delete(place));
      layers.set(place, found);
    }
    return layers.get(place);
  };

  dnd.summary = (run, key) => run.layers.find((one) => `${one.name}/${one.slug}` === key);

  /** Promise of what evaluation says of a layer's units; null where nothing was evaluated. */
  dnd.evaluation = (run, key, base = "") => {
    if (!dnd.summary(run, key)?.figures.length) return Promise.resolve(null);
    return dnd.load(`evaluation/${key}`, base).catch(() => null);
  };

  /** State of a promise in a component: `{value}`, `{error}`, or `{}` while it is under way. */
  dnd.useLoaded = (key, load) => {
    const [state, set] = useState({});
    useLayoutEffect(() => {
      if (key === null) return undefined;
      let wanted = true;
      load().then(
        (value) => wanted && set({ key, value }),
        (error) => wanted && set({ key, error }),
      );
      return () => {
        wanted = false;
      };
    }, [key]);
    return state.key === key && key !== null ? state : {};
  };
})();
