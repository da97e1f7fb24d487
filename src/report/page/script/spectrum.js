// A module's singular values as a histogram on a logarithmic axis.

// On a narrow screen the drawing is narrower, so that its text stays as large.
const plotWidth = () => Math.min(640, Math.max(320, innerWidth - 32));
let PLOT = { left: 36, top: 46, bottom: 182, height: 216 };
const BAR_DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_';

// The drawing, or `null` if the module's spectrum is not on the page.
function spectrumOf(module) {
  const histogram = modules.spectrum && modules.spectrum[module];
  if (!histogram) return null;
  const [low, high, peak, bars] = histogram;
  PLOT = { ...PLOT, width: plotWidth(), right: plotWidth() - 8 };
  const span = Math.log(high / low);
  const noise = noiseOf(module, span / bars.length);
  const most = Math.max(peak, ...noise.map(([, height]) => height));
  const x = value => PLOT.left + ((PLOT.right - PLOT.left) * Math.log(value / low)) / span;
  const y = height => PLOT.bottom - ((PLOT.bottom - PLOT.top) * height) / most;
  return drawing('svg', {
    class: 'spectrum', viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: 'img',
    'aria-label': `Histogram of the singular values of ${visible(modules.name[module])}`,
  }, ...scales(low, high, peak, x, y), drawnBars(bars, peak, y), ...drawnNoise(noise, x, y), ...drawnEdges(module, x));
}

// The bars as one path. A bar's digit is its height in 63rds of the highest.
function drawnBars(bars, peak, y) {
  const width = (PLOT.right - PLOT.left) / bars.length;
  const bar = (digit, place) => {
    const height = (BAR_DIGITS.indexOf(digit) * peak) / 63;
    if (height === 0) return '';
    const left = PLOT.left + place * width;
    return `M${left.toFixed(1)} ${PLOT.bottom}V${y(height).toFixed(1)}h${(width - 1).toFixed(1)}V${PLOT.bottom}Z`;
  };
  return drawing('path', { class: 'bar', d: Array.from(bars, bar).join('') });
}

// How many singular values of noise each place of a bar's width would have, if the whole weight were noise of the level that was
// fitted to its median.
function noiseOf(module, width) {
  const edge = modules.mp[module];
  const curve = modules.shape[module] && data.curves[modules.shape[module].join(',')];
  if (!Array.isArray(edge) || !curve) return [];
  const scale = edge[1] * Math.sqrt(Math.max(...modules.shape[module]));
  const count = Math.min(...modules.shape[module]);
  return curve.map(([value, density]) => [value * scale, density * count * width]);
}

function drawnNoise(noise, x, y) {
  const points = noise.map(([value, height]) => [x(value), y(height)]).filter(([at]) => at >= PLOT.left);
  if (points.length < 2) return [];
  const line = points.map(([at, height]) => `${at.toFixed(1)} ${height.toFixed(1)}`).join('L');
  return [drawing('path', { class: 'noise', d: `M${line}` })];
}

// The threshold and the edge of noise, with the number of singular values above each.
function drawnEdges(module, x) {
  const edge = modules.mp[module];
  const marks = [];
  if (modules.threshold[module] !== null) {
    const text = `${grouped(modules.above[module])} above the threshold`;
    marks.push(['threshold', modules.threshold[module], text, 12]);
  }
  if (Array.isArray(edge)) marks.push(['edge', edge[0], `${grouped(edge[2])} above the edge of noise`, 30]);
  return marks.flatMap(([name, value, text, top]) => {
    if (!(value > 0)) return [];
    const at = x(value);
    const isRight = at > (PLOT.left + PLOT.right) / 2;
    const anchor = { x: isRight ? at - 6 : at + 6, y: top + 4, class: `${isRight ? 'end' : 'start'} ${name}` };
    return [
      drawing('path', { class: name, d: `M${at.toFixed(1)} ${top - 6}V${PLOT.bottom}` }),
      drawing('text', anchor, text),
    ];
  });
}

// The axes: the count of the highest bar, and round singular values.
function scales(low, high, peak, x, y) {
  const ticks = roundValues(low, high);
  const grid = `M${PLOT.left} ${y(peak).toFixed(1)}H${PLOT.right}M${PLOT.left} ${PLOT.bottom}H${PLOT.right}`;
  const label = (text, attributes) => drawing('text', attributes, text);
  return [
    drawing('path', { class: 'grid', d: grid }),
    label(grouped(peak), { x: PLOT.left - 6, y: y(peak) + 4, class: 'end' }),
    label('0', { x: PLOT.left - 6, y: PLOT.bottom + 4, class: 'end' }),
    ...ticks.map(tick => label(digits(tick), { x: x(tick), y: PLOT.bottom + 15, class: 'middle' })),
    label('singular value, log scale', { x: (PLOT.left + PLOT.right) / 2, y: PLOT.bottom + 30, class: 'middle' }),
  ];
}

// Powers of ten between two values; if there are few, also twice and five times each.
function roundValues(low, high) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const step = Math.ceil((last - first) / 8);
  const factors = last - first > 3 ? [1] : [1, 2, 5];
  const values = [];
  for (let power = first; power <= last; power += step) factors.forEach(factor => values.push(factor * 10 ** power));
  return values.filter(value => value >= low && value <= high).map(value => Number(value.toPrecision(1)));
}
