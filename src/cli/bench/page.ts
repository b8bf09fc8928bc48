// The report as one HTML page: everything is in it, nothing is fetched.
import { bars, curves, escaped, type Row } from './plot.js'
import { digits, type Figure, isFigure, type Missing, milliseconds, nameOf, type Report } from './report.js'
import { describeSpec, KINDS } from './spec.js'
import { STYLE } from './style.js'

export function page(report: Report): string {
  const { machine, settings } = report
  const nodes = machine.peerNode === undefined ? machine.node : `${machine.node} (other libraries: ${machine.peerNode})`
  const where = [
    machine.cpu,
    `${machine.cores} cores`,
    `${machine.memoryGB} GB`,
    `Node ${nodes}`,
    `${settings.threads} thread${settings.threads === 1 ? '' : 's'}`,
    report.date.slice(0, 10),
  ]
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>quarterturn bench: native against JavaScript</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<p class="eyebrow">quarterturn ${escaped(report.quarterturn)} · bench</p>
<h1>Native against JavaScript</h1>
<p class="where">${where.map((each) => `<span>${escaped(each)}</span>`).join('')}</p>
</header>
<main>
${headline(report)}
${report.cases.map((each) => caseSection(report, each)).join('\n')}
${taskSection(report)}
${participants(report)}
${numbers(report)}
</main>
<footer>The same model, weights, batch and dtype (float32) for all; losses compared before anything was timed. Each contender in a process of its own, rounds interleaved, medians with quartiles. Only on an idle machine do the figures mean much.</footer>
</body>
</html>
`
}

/** How often native goes into the fastest of the others. */
function headline(report: Report): string {
  const cards: string[] = []
  for (const { kind, size, entries } of report.cases) {
    const others = entries.flatMap(({ id, train }) =>
      id !== 'native' && id !== 'js' && isFigure(train) ? [{ id, time: train.median }] : [],
    )
    const native = entries.find(({ id }) => id === 'native')?.train
    const best = others.sort((a, b) => a.time - b.time)[0]
    if (native === undefined || !isFigure(native) || best === undefined) continue
    cards.push(card(best.time / native.median, `${KINDS[kind]}, ${size}, training step`, nameOf(report, best.id)))
  }
  const finished = (report.task?.entries ?? []).flatMap((each) => ('seconds' in each ? [each] : []))
  const native = finished.find(({ id }) => id === 'native')
  const best = finished.filter(({ id }) => id !== 'native' && id !== 'js').sort((a, b) => a.seconds - b.seconds)[0]
  if (native !== undefined && best !== undefined)
    cards.push(card(best.seconds / native.seconds, 'Time to a loss', nameOf(report, best.id)))
  return cards.length === 0 ? '' : `<section class="cards" aria-label="Summary">${cards.join('')}</section>`
}

function card(ratio: number, what: string, against: string): string {
  return `<div class="card"><strong>${digits(ratio)}×</strong><span class="what">${escaped(what)}</span><span class="against">as fast as ${escaped(against)}, the fastest other library</span></div>`
}

function caseSection(report: Report, { kind, size, spec, entries }: Report['cases'][number]): string {
  const rows = (pick: (entry: (typeof entries)[number]) => Figure | Missing): Row[] =>
    entries.map((entry) => row(nameOf(report, entry.id), entry.id, pick(entry), entry.differs !== undefined))
  const delays = rows(({ train }) =>
    isFigure(train) ? { ...train, q1: train.delay, median: train.delay, q3: train.delay } : { why: '–' },
  )
  const notes = entries.flatMap(({ id, differs }) =>
    differs === undefined ? [] : [`≈ ${nameOf(report, id)}: ${differs}`],
  )
  return `<section>
<h2>${KINDS[kind]} <small>${size} · ${describeSpec(spec)}</small></h2>
<div class="charts">
${figure(
  'Training step',
  'forward, backward, Adam',
  bars(
    rows(({ train }) => train),
    milliseconds,
  ),
)}
${figure(
  'Inference',
  'a batch of outputs',
  bars(
    rows(({ infer }) => infer),
    milliseconds,
  ),
)}
${figure('Event loop while it trains', 'how late a timer is, p99', bars(delays, milliseconds, { floor: 0.1 }))}
</div>
${notes.map((note) => `<p class="note">${escaped(note)}</p>`).join('')}
</section>`
}

function row(name: string, id: string, figure: Figure | Missing, differs: boolean): Row {
  const label = differs ? `${name} ≈` : name
  return isFigure(figure) ? { name: label, id, ...figure } : { name: label, id, why: figure.why }
}

function taskSection(report: Report): string {
  const { task } = report
  if (task === undefined) return ''
  const rows: Row[] = task.entries.map((each) => {
    const name = nameOf(report, each.id)
    if (!('seconds' in each)) return { name, id: each.id, why: each.why }
    return { name, id: each.id, q1: each.seconds, median: each.seconds, q3: each.seconds }
  })
  const delays: Row[] = task.entries.map((each) => {
    const name = nameOf(report, each.id)
    if (!('delay' in each)) return { name, id: each.id, why: '–' }
    return { name, id: each.id, q1: each.delay, median: each.delay, q3: each.delay }
  })
  const lines = task.entries.flatMap((each) =>
    'curve' in each ? [{ name: nameOf(report, each.id), id: each.id, points: each.curve }] : [],
  )
  return `<section>
<h2>Time to a loss <small>${task.names.toLocaleString('en')} names, from Node's own tables</small></h2>
<p>${escaped(task.description)}</p>
<div class="charts">
${figure(
  'Time to the loss',
  'seconds of training',
  bars(rows, (seconds) => milliseconds(1000 * seconds)),
)}
${lines.length === 0 ? '' : figure('The way there', 'loss against seconds, logarithmic', curves(lines, task.target))}
${figure('Event loop while it trains', 'how late a timer is, p99', bars(delays, milliseconds, { floor: 0.1 }))}
</div>
</section>`
}

function figure(title: string, subtitle: string, svg: string): string {
  return `<figure><figcaption>${escaped(title)} <small>${escaped(subtitle)}</small></figcaption>${svg}</figure>`
}

function participants(report: Report): string {
  const items = report.contenders.map(({ id, name, state, about, why, install }) => {
    const text =
      state === 'present'
        ? escaped(about ?? '')
        : state === 'failed'
          ? `did not start: ${escaped(why ?? '')}`
          : `not installed: <code>${escaped(install ?? '')}</code>`
    return `<li class="c-${id}${state === 'present' ? '' : ' off'}"><i></i><b>${escaped(name)}</b><span>${text}</span></li>`
  })
  return `<section><h2>Who took part</h2><ul class="who">${items.join('')}</ul></section>`
}

/** The same as numbers, for those who do not read plots. */
function numbers(report: Report): string {
  const body = report.cases.flatMap(({ kind, size, entries }) =>
    entries.flatMap((entry) =>
      (['train', 'infer'] as const).map((what) => {
        const found = entry[what]
        const cells = isFigure(found)
          ? [
              milliseconds(found.median),
              `${digits(found.q1)} – ${digits(found.q3)}`,
              String(found.rounds),
              milliseconds(found.delay),
            ]
          : [found.why, '', '', '']
        const head = [
          `${KINDS[kind]}, ${size}`,
          what === 'train' ? 'training step' : 'inference',
          nameOf(report, entry.id),
        ]
        return `<tr>${[...head, ...cells].map((cell) => `<td>${escaped(cell)}</td>`).join('')}</tr>`
      }),
    ),
  )
  const head = ['Model', 'What', 'Who', 'Median', 'Quartiles, ms', 'Rounds', 'Event loop, p99']
  return `<details><summary>All numbers</summary><div class="scroll"><table><thead><tr>${head.map((cell) => `<th scope="col">${cell}</th>`).join('')}</tr></thead><tbody>${body.join('')}</tbody></table></div></details>`
}
