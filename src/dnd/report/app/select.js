"use strict";
/** Which units of a layer are shown, in which order: search, filters, sort; and which units say similar things. */
(() => {
  const FIELDS = ["label", "candidate", "caption"];
  const FEW = 4; // one text in so many is fewer to look at one by one than to find in all

  const longest = (parts) => parts.reduce((best, one) => (one.length > best.length ? one : best));
  const breath = () => new Promise((resolve) => setTimeout(resolve));

  /** Distinct texts, lower-cased once into one long string, with the rows that each belongs to. */
  class Texts {
    constructor({ texts, rows }) {
      this.count = texts.length;
      this.joined = texts.join("\n").toLowerCase();
      this.starts = starts(this.joined, this.count);
      if (!this.starts) {
        // texts of several lines
        this.joined = texts
          .map((one) => one.replaceAll("\n", " "))
          .join("\n")
          .toLowerCase();
        this.starts = starts(this.joined, this.count);
      }
      this.offsets = new Uint32Array(this.count + 1);
      for (let text = 0; text < this.count; text++) this.offsets[text + 1] = this.offsets[text] + rows[text].length;
      this.rows = new Uint32Array(this.offsets[this.count]);
      let place = 0;
      for (const deltas of rows) {
        let row = 0;
        for (const delta of deltas) this.rows[place++] = row += delta;
      }
    }

    /** Set `bit` in `marks` for every row that has a text with all of the parts; or that is `exact`. */
    mark(marks, bit, query) {
      for (const text of this._fitting(query)) {
        for (let place = this.offsets[text]; place < this.offsets[text + 1]; place++) marks[this.rows[place]] |= bit;
      }
    }

    /**
     * Texts that fit: all of them, or so many that the next query does not look among them alone, and one of each row.
     * Where a query only narrows the last one, as typing does, the others need no second look.
     */
    _fitting({ parts, exact }) {
      const narrower = exact === null && this.last?.parts.every((old) => parts.some((part) => part.includes(old)));
      const found = narrower && this.last.texts.length * FEW < this.offsets.length
        ? this.last.texts.filter(this._holding(parts))
        : this._searched(parts, exact);
      this.last = exact === null ? { parts, texts: found } : undefined;
      return found;
    }

    _searched(parts, exact) {
      const first = exact ?? longest(parts), holds = this._holding(exact === null ? parts.filter((one) => one !== first) : []);
      const found = new Uint32Array(this.count), many = this.offsets.length / FEW;
      let count = 0, text = 0;
      for (let at = this.joined.indexOf(first); at >= 0; at = this.joined.indexOf(first, this.starts[text])) {
        text = this._textAt(at, text);
        const end = this.starts[text + 1] - 1, whole = end - this.starts[text] === first.length;
        const fits = at + first.length <= end && (exact === null || whole) && holds(text);
        if (fits) found[count++] = text;
        text = fits && count > many ? this._ofAnotherRow(text) : text + 1;
        if (text >= this.count) break;
      }
      return found.slice(0, count);
    }

    /** The next text but for those that belong to the one row of this text alone: where most texts fit, one tells enough. */
    _ofAnotherRow(text) {
      const only = (one) => (this.offsets[one + 1] - this.offsets[one] === 1 ? this.rows[this.offsets[one]] : -1);
      const row = only(text);
      do text += 1;
      while (row >= 0 && text < this.count && only(text) === row);
      return text;
    }

    /** A test whether a text has all of the parts. Ask it of texts in ascending order: it meets each place of a part once. */
    _holding(parts) {
      const next = parts.map(() => -1);
      return (text) => parts.every((part, n) => {
        if (next[n] < this.starts[text]) {
          const at = this.joined.indexOf(part, this.starts[text]);
          next[n] = at < 0 ? Infinity : at;
        }
        return next[n] + part.length < this.starts[text + 1];
      });
    }

    /** The text that holds a place of the long string; places come in ascending order, from text `low` on. */
    _textAt(at, low) {
      let step = 1,
        high = low + 1;
      while (high < this.count && this.starts[high] <= at) {
        low = high;
        step *= 2;
        high = Math.min(low + step, this.count);
      }
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (this.starts[middle] <= at) low = middle;
        else high = middle;
      }
      return low;
    }
  }

  /** Where each line of a string starts, and one after the last would; null if there are other than `count` lines. */
  function starts(joined, count) {
    const found = new Uint32Array(count + 1);
    let line = 0;
    for (let at = joined.indexOf("\n"); at >= 0; at = joined.indexOf("\n", at + 1)) {
      line += 1;
      if (line >= count) return null;
      found[line] = at + 1;
    }
    found[count] = joined.length + 1;
    return found;
  }

  /** Promise of a layer's text index, made once. */
  dnd.texts = (layer) => {
    layer.texts ??= dnd.load(`${layer.folder}/search`, layer.base).then(async (fields) => {
      const made = {};
      for (const field of FIELDS) {
        made[field] = new Texts(fields[field] ?? { texts: [], rows: [] });
        await breath();
      }
      return made;
    });
    layer.texts.catch(() => {
      layer.texts = undefined;
    });
    return layer.texts;
  };

  /** The labels alone, from the index: they can be searched at once. */
  dnd.labelTexts = (layer) => {
    if (!layer.ownTexts) {
      const rows = layer.labels.map(() => []),
        last = new Uint32Array(layer.labels.length);
      layer.label.forEach((label, row) => {
        if (label < 0) return;
        rows[label].push(row - last[label]);
        last[label] = row;
      });
      layer.ownTexts = { label: new Texts({ texts: layer.labels, rows }) };
    }
    return layer.ownTexts;
  };

  /** Parse a query: words and "phrases" in one text, `caption:` and so on for one field, `=` for a whole label. */
  dnd.query = (text) => {
    const [, field = null, rest] = /^\s*(?:(label|candidate|caption)s?:)?(.*)$/is.exec(text.toLowerCase());
    if (rest.trim().startsWith("=")) return { fields: ["label"], exact: rest.trim().slice(1).trim(), parts: [] };
    const parts = [...rest.matchAll(/"([^"]+)"?|([^\s"]+)/g)].map((one) => (one[1] ?? one[2]).trim()).filter(Boolean);
    return { fields: field ? [field] : FIELDS, exact: null, parts };
  };

  /** Where each row fits a query, as bits (1 label, 2 candidate, 4 caption, 8 its number); null fits everything. */
  dnd.marks = (layer, texts, text) => {
    const query = dnd.query(text);
    if (!query.parts.length && !query.exact) return null;
    const marks = new Uint8Array(layer.count);
    for (const field of query.fields) texts[field]?.mark(marks, 1 << FIELDS.indexOf(field), query);
    const row = /^\d+$/.test(text.trim()) ? layer.row(Number(text)) : -1;
    if (row >= 0) marks[row] |= 8;
    return marks;
  };

  /** Rows by a column, missing values last, ties by unit; made once. */
  function order(layer, sort, falling) {
    const name = `${sort}${falling}`;
    if (!layer.orders.has(name)) {
      const rows = Uint32Array.from({ length: layer.count }, (_, row) => row),
        sign = falling ? -1 : 1;
      const values = { label: alphabetical, confidence: sureness }[sort]?.(layer) ?? layer[sort];
      if (sort !== "unit") {
        const value = Float64Array.from(values, (one) => (Number.isNaN(one) ? Infinity : sign * one));
        rows.sort((a, b) => (value[a] === value[b] ? a - b : value[a] < value[b] ? -1 : 1));
      } else if (falling) rows.reverse();
      layer.orders.set(name, rows);
    }
    return layer.orders.get(name);
  }

  /** Of units that nothing is said of, no confidence counts. */
  const sureness = (layer) => layer.confidence.map((one, row) => (layer.label[row] < 0 ? NaN : one));

  function alphabetical(layer) {
    const collator = new Intl.Collator(undefined, { numeric: true });
    const places = new Float64Array(layer.labels.length);
    const sorted = layer.labels
      .map((_, label) => label)
      .sort((a, b) => collator.compare(layer.labels[a], layer.labels[b]));
    sorted.forEach((label, place) => {
      places[label] = place;
    });
    return Float64Array.from(layer.label, (label) => (label < 0 ? NaN : places[label]));
  }

  dnd.SORTS = ["unit", "explains", "confidence", "score", "bimodality", "importance", "label"];

  /** What the slider of a layer asks for: what labels explain, said or not, else how sure they are; or null. */
  dnd.measure = ({ known }) => (known.explains ? "explains" : known.confidence ? "confidence" : null);

  /**
   * Rows of a layer that the options of a route ask for.
   * @param {Uint8Array|null} marks from `dnd.marks`
   * @param {number[]|undefined} correct 1, 0 or -1 a row
   */
  dnd.select = (layer, options, marks, correct) => {
    const sort = dnd.SORTS.includes(options.sort) && layer.known[options.sort] ? options.sort : "unit";
    const measure = dnd.measure(layer),
      least = (measure && Number(options.min)) || 0,
      kind = options.kind ? layer.kinds.indexOf(options.kind) : null;
    const why = options.why || "",
      reason = layer.reasons.indexOf(why);
    const verdict = { right: 1, wrong: 0 }[options.verdict];
    const fits = (row) =>
      (!marks || marks[row]) &&
      (!why ||
        (why === "labelled"
          ? layer.label[row] >= 0
          : why === "abstained"
            ? layer.label[row] < 0
            : layer.abstained[row] === reason && reason >= 0)) &&
      (!least || (layer[measure][row] >= least && (measure === "explains" || layer.label[row] >= 0))) &&
      (kind === null || layer.kind[row] === kind) &&
      (!options.poly || layer.polysemantic[row]) &&
      (verdict === undefined || !correct || correct[row] === verdict);
    return order(layer, sort, Boolean(options.desc)).filter(fits);
  };

  const wordsOf = (text) => new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []);

  /** Weight of a word: how few of the layer's distinct labels have it. */
  function vocabulary(layer) {
    if (!layer.words) {
      const labels = new Map(),
        sizes = new Float64Array(layer.labels.length);
      const split = layer.labels.map(wordsOf);
      split.forEach((words, label) =>
        words.forEach((word) => {
          if (!labels.has(word)) labels.set(word, []);
          labels.get(word).push(label);
        }),
      );
      const weight = (word) => Math.log(1 + layer.labels.length / labels.get(word).length);
      split.forEach((words, label) => {
        for (const word of words) sizes[label] += weight(word) ** 2;
      });
      layer.words = { labels, sizes, weight };
    }
    return layer.words;
  }

  /** The units whose labels share the most telling words with that of a row: `[{row, likeness}]`, best first. */
  dnd.nearest = (layer, row, most) => {
    if (layer.label[row] < 0) return [];
    const { labels, sizes, weight } = vocabulary(layer),
      own = layer.label[row],
      shared = new Map();
    for (const word of wordsOf(layer.labels[own])) {
      for (const label of labels.get(word)) shared.set(label, (shared.get(label) ?? 0) + weight(word) ** 2);
    }
    shared.set(own, sizes[own] || 1);
    const likeness = new Float64Array(layer.labels.length);
    for (const [label, sum] of shared) likeness[label] = label === own ? 1 : sum / Math.sqrt(sizes[own] * sizes[label]);
    const found = [];
    layer.label.forEach((label, other) => {
      if (label >= 0 && likeness[label] > 0 && other !== row) found.push({ row: other, likeness: likeness[label] });
    });
    return found
      .sort((a, b) => b.likeness - a.likeness || (layer.explains[b.row] || 0) - (layer.explains[a.row] || 0))
      .slice(0, most);
  };
})();
