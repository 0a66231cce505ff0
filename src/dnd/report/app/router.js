"use strict";
/** Routes: what the part of the address after # says, and how to write it. */
(() => {
  const { useLayoutEffect, useState } = htmPreact;
  const VIEWS = { "": 0, layer: 2, unit: 3, compare: 0 }; // view -> parts of its path

  const written = (params) => {
    const kept = Object.entries(params ?? {}).filter(
      ([, value]) => value !== undefined && value !== null && value !== "",
    );
    return kept.length ? `?${new URLSearchParams(kept)}` : "";
  };
  const coded = (key) => key.split("/").map(encodeURIComponent).join("/");

  dnd.href = {
    overview: () => "#/",
    layer: (key, params) => `#/layer/${coded(key)}${written(params)}`,
    unit: (key, unit) => `#/unit/${coded(key)}/${unit}`,
    compare: (params) => `#/compare${written(params)}`,
  };

  /** Parse a hash to `{view, key, unit, params, hash}`; `view` is "unknown" where it is no route. */
  dnd.parse = (hash) => {
    const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
    const params = Object.fromEntries(new URLSearchParams(query));
    const unknown = { view: "unknown", params: {}, hash };
    let parts;
    try {
      parts = path.split("/").map(decodeURIComponent);
    } catch {
      return unknown;
    }
    const [view, name, slug, unit] = parts;
    if (VIEWS[view] !== parts.length - 1) return unknown;
    if (view === "unit" && !/^\d+$/.test(unit)) return unknown;
    return { view: view || "overview", key: `${name}/${slug}`, unit: Number(unit), params, hash };
  };

  /** A folder beside this one, as `with=` may name it: up by `../`, then plain names. Nothing else is loaded. */
  dnd.folder = (text) => {
    const plain = /^(?:\.\.\/){0,8}(?:[\p{L}\p{N}_][\p{L}\p{N} ._-]*\/?)(?:[\p{L}\p{N}_][\p{L}\p{N} ._-]*\/?)*$/u;
    return plain.test(text) && !text.includes("//") ? text.replace(/\/?$/, "/") : null;
  };

  // Where the reader was: scroll position of a list, and whether a link (not "back") leads to the next view.
  const places = new Map();
  let followed = false,
    here = location.hash;
  history.scrollRestoration = "manual";
  addEventListener("click", (event) => {
    const plain = !event.defaultPrevented && !event.ctrlKey && !event.metaKey && !event.shiftKey;
    if (plain && event.target instanceof Element && event.target.closest('a[href^="#"]')) followed = true;
  });

  /** Go to a hash; `replace` leaves no step in the history, `restore` goes back to where the reader was there. */
  dnd.go = (hash, { replace = false, restore = false } = {}) => {
    followed = !restore;
    if (replace) location.replace(hash);
    else location.hash = hash;
  };

  /** Write a changed filter into the address without a new view. */
  dnd.rewrite = (hash) => {
    history.replaceState(null, "", hash);
    here = location.hash;
  };

  /** The current route; `back` tells a view that the reader comes back to it, and `scroll` to where. */
  dnd.useRoute = () => {
    const [route, set] = useState(() => ({ ...dnd.parse(location.hash), visit: 0, scroll: 0 }));
    useLayoutEffect(() => {
      const changed = () => {
        places.set(here, scrollY);
        here = location.hash;
        const back = !followed && places.has(location.hash);
        const scroll = back ? places.get(location.hash) : 0;
        const route = dnd.parse(location.hash);
        followed = false;
        dnd.arriving = !(back && route.view === "layer"); // there, the unit that was left takes the focus
        set((last) => ({ ...route, visit: last.visit + 1, back, scroll }));
      };
      addEventListener("hashchange", changed);
      return () => removeEventListener("hashchange", changed);
    }, []);
    return route;
  };
})();
