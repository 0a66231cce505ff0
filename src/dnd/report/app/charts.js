"use strict";
/** Small charts, drawn as SVG; numbers stand beside them in words, so the drawings are hidden from screen readers. */
(() => {
  const { html } = htmPreact;

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  /** A bar from 0, or the end next to it, to the value; or from another place. */
  dnd.Bar = ({ value, low = 0, high = 1, from = 0, kind = "" }) => {
    const width = high - low || 1,
      zero = clamp((from - low) / width, 0, 1) * 100;
    const place = value === null || Number.isNaN(value) ? zero : clamp((value - low) / width, 0, 1) * 100;
    return html`<svg class=${`bar ${kind}`} viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
      <rect class="track" width="100" height="4" />
      <rect class="fill" x=${Math.min(zero, place)} width=${Math.max(Math.abs(place - zero), 0.01)} height="4" />
      ${low < from && html`<rect class="zero" x=${zero - 0.4} width="0.8" height="4" />`}</svg>`;
  };

  /** Parts of a whole side by side: `[{size, kind}]`. */
  dnd.Stack = ({ parts }) => {
    const total = parts.reduce((sum, one) => sum + one.size, 0) || 1;
    let x = 0;
    return html`<svg class="stack" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
      ${parts
        .filter((one) => one.size)
        .map((one) => {
          const width = (1000 * one.size) / total,
            start = x;
          x += width;
          return html`<rect class=${one.kind} x=${start} width=${Math.max(width - 3, 1)} height="10" />`;
        })}</svg>`;
  };

  /** Columns of counts over equal bins. */
  dnd.Columns = ({ counts, height = 48, kind = "" }) => {
    const most = Math.max(...counts, 1),
      step = 300 / counts.length;
    return html`<svg class=${`columns ${kind}`} viewBox=${`0 0 300 ${height}`} preserveAspectRatio="none"
      aria-hidden="true">
      ${counts.map((count, bin) => {
        const tall = count ? Math.max((count / most) * (height - 1), 1.5) : 0;
        return html`<rect class="fill" x=${bin * step + 0.75} y=${height - 1 - tall} width=${step - 1.5}
          height=${tall} />`;
      })}
      <rect class="axis" y=${height - 1} width="300" height="1" /></svg>`;
  };

  /** A value with its interval on a line from `low` to `high`, beside other values to compare it with. */
  dnd.Whisker = ({ value, from, to, marks = [], low = 0, high = 1 }) => {
    const at = (one) => clamp((one - low) / (high - low || 1), 0, 1) * 100;
    return html`<svg class="whisker" viewBox="-4 0 108 12" preserveAspectRatio="none" aria-hidden="true">
      <path class="axis" d="M0 6H100" />
      <path class="baseline" d=${marks
        .filter((one) => one !== null)
        .map((one) => `M${at(one)} 2V10`)
        .join("")} />
      ${from !== null && to !== null && html`<path class="interval"
        d=${`M${at(from)} 6H${at(to)}M${at(from)} 3V9M${at(to)} 3V9`} />`}
      <path class="estimate" d=${`M${at(value)} 1.5V10.5`} /></svg>`;
  };

  /**
   * Activations of the probe's control images as columns, with a mark for every exemplar and generated picture.
   * @param {{low, high, counts}|null} histogram
   */
  dnd.Activations = ({ histogram, exemplars, drawn, name }) => {
    const values = [...exemplars, ...drawn, ...(histogram ? [histogram.low, histogram.high] : [])].filter(
      (one) => one !== null,
    );
    if (!values.length) return html`<p class="faint">No activation was kept.</p>`;
    const low = Math.min(...values),
      high = Math.max(...values),
      width = high - low || 1;
    const at = (value) => (600 * (value - low)) / width;
    const strokes = (marks, top, bottom) =>
      marks
        .filter((one) => one !== null)
        .map((one) => `M${at(one).toFixed(1)} ${top}V${bottom}`)
        .join("");
    const most = histogram ? Math.max(...histogram.counts, 1) : 1;
    const bin = histogram ? (histogram.high - histogram.low) / histogram.counts.length : 0;
    const words = [
      histogram &&
        `${dnd.whole(histogram.counts.reduce((sum, one) => sum + one,
          0))} random probe images from ${dnd.fixed(histogram.low)} to ${dnd.fixed(histogram.high)}`,
      exemplars.length &&
        `${dnd.count(exemplars.length,
          "exemplar")} from ${dnd.fixed(Math.min(...exemplars))} to ${dnd.fixed(Math.max(...exemplars))}`,
      drawn.length &&
        `${dnd.count(drawn.length,
          "generated picture")} from ${dnd.fixed(Math.min(...drawn))} to ${dnd.fixed(Math.max(...drawn))}`,
    ].filter(Boolean);
    return html`<figure class="activations">
      <svg viewBox="0 0 600 150" preserveAspectRatio="none" role="img" aria-label=${`Activations: ${words.join("; ")}`}>
        ${
          histogram &&
          histogram.counts.map((count, place) => {
            const tall = count ? Math.max(88 * Math.sqrt(count / most), 1.5) : 0,
              x = at(histogram.low + place * bin);
            return html`<rect class="seen" x=${x + 0.5} y=${96 - tall} width=${Math.max((600 * bin) / width - 1, 1)}
              height=${tall} />`;
          })
        }
        <path class="axis" d="M0 96.5H600" />
        <path class="exemplars" d=${strokes(exemplars, 102, 122)} />
        <path class="drawn" d=${strokes(drawn, 126, 146)} />
      </svg>
      <div class="ends" aria-hidden="true"><span>${dnd.fixed(low)}</span><span>activation</span><span>${dnd.fixed(high)}
        </span></div>
      <figcaption>
        ${histogram && html`<span class="key seen">random images of the probe (heights are square roots of counts)
          </span>`}
        ${exemplars.length > 0 && html`<span class="key exemplars"><${dnd.Term} name="exemplar">exemplars<//></span>`}
        ${drawn.length > 0 && html`<span class="key drawn"><${dnd.Term} name="generated image">pictures generated
          <//> for “<bdi>${name}</bdi>”</span>`}
      </figcaption></figure>`;
  };
})();
