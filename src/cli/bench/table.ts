// The report as a table for a terminal.
import { styleText } from 'node:util'
import {
  digits,
  type Figure,
  isFigure,
  type Missing,
  milliseconds,
  nameOf,
  type Report,
  type TaskReport,
} from './report.js'
import { describeSpec, KINDS } from './spec.js'

const BAR = 20

export function table(report: Report, color: boolean): string {
  const paint = (style: Parameters<typeof styleText>[0], text: string) =>
    color ? styleText(style, text, { validateStream: false }) : text
  const { machine, settings } = report
  const node =
    machine.peerNode === undefined
      ? `Node ${machine.node.slice(1)}`
      : `Node ${machine.node.slice(1)} and ${machine.peerNode}`
  const lines = [
    `${paint('bold', 'quarterturn bench')} ${report.quarterturn} · ${node} · ${machine.cpu}, ${machine.cores} cores · ${settings.threads} thread${settings.threads === 1 ? '' : 's'}`,
  ]
  const width = Math.max(12, ...report.contenders.map(({ name }) => name.length))
  for (const { kind, size, spec, entries } of report.cases) {
    for (const what of ['train', 'infer'] as const) {
      const figures = entries.map((each) => each[what])
      const scale = barScale(figures.filter(isFigure).map(({ median }) => median))
      const native = entries.find(({ id }) => id === 'native')?.[what]
      lines.push(
        '',
        `${paint('bold', `${KINDS[kind]}, ${size}: ${what === 'train' ? 'training step' : 'inference'}`)}  ${paint('dim', describeSpec(spec))}`,
        paint(
          'dim',
          `  ${''.padEnd(width)}  ${'median'.padStart(8)}  ${'quartiles'.padEnd(15)}  ${'× native'.padStart(8)}  ${'loop p99'.padStart(9)}`,
        ),
      )
      for (const [i, { id, differs }] of entries.entries()) {
        const figure = figures[i] as Figure | Missing
        const name = nameOf(report, id).padEnd(width)
        if (!isFigure(figure)) {
          lines.push(`  ${paint('dim', `${name}  ${figure.why}`)}`)
          continue
        }
        const ratio = native !== undefined && isFigure(native) ? digits(figure.median / native.median) : ''
        const row = `${name}  ${milliseconds(figure.median).padStart(8)}  ${`${digits(figure.q1)} – ${digits(figure.q3)}`.padEnd(15)}  ${ratio.padStart(8)}  ${milliseconds(figure.delay).padStart(9)}`
        const mark = differs === undefined ? '' : ' ≈'
        lines.push(
          `  ${id === 'native' ? paint('green', row) : row}  ${paint('cyan', bar(scale(figure.median)))}${mark}`,
        )
      }
    }
    for (const { id, differs } of entries)
      if (differs !== undefined) lines.push(paint('dim', `  ≈ ${nameOf(report, id)}: ${differs}`))
  }
  if (report.task !== undefined) lines.push('', ...taskLines(report, report.task, width, paint))
  lines.push('', ...others(report, paint))
  return `${lines.join('\n')}\n`
}

type Paint = (style: Parameters<typeof styleText>[0], text: string) => string

function taskLines(report: Report, { description, names, entries }: TaskReport, width: number, paint: Paint): string[] {
  const seconds = entries.map((each) => ('seconds' in each ? each.seconds : 0))
  const scale = barScale(seconds.filter((value) => value > 0))
  const native = entries.find(({ id }) => id === 'native')
  const lines = [
    `${paint('bold', 'Time to a loss')}  ${paint('dim', `${names.toLocaleString('en')} names`)}`,
    paint('dim', `  ${description}`),
    paint(
      'dim',
      `  ${''.padEnd(width)}  ${'time'.padStart(8)}  ${'steps'.padStart(6)}  ${'× native'.padStart(8)}  ${'loop p99'.padStart(9)}`,
    ),
  ]
  for (const each of entries) {
    const name = nameOf(report, each.id).padEnd(width)
    if (!('seconds' in each)) {
      lines.push(`  ${paint('dim', `${name}  ${each.why}`)}`)
      continue
    }
    const ratio = native !== undefined && 'seconds' in native ? digits(each.seconds / native.seconds) : ''
    const row = `${name}  ${milliseconds(1000 * each.seconds).padStart(8)}  ${String(each.steps).padStart(6)}  ${ratio.padStart(8)}  ${milliseconds(each.delay).padStart(9)}`
    lines.push(`  ${each.id === 'native' ? paint('green', row) : row}  ${paint('cyan', bar(scale(each.seconds)))}`)
  }
  return lines
}

function others(report: Report, paint: Paint): string[] {
  const lines = [
    'Bars grow with the logarithm of the time; loop p99: how late the event loop was meanwhile. All began with the same weights; losses were compared first.',
  ].map((text) => paint('dim', text))
  for (const { name, state, about, why, install } of report.contenders) {
    if (state === 'present') lines.push(paint('dim', `  ${about ?? name}`))
    else if (state === 'failed') lines.push(`  ${name}: ${why}`)
    else lines.push(`  ${name} is not installed here: ${install}`)
  }
  if (
    /^v20\./.test(report.machine.node) &&
    report.contenders.some(({ id, state }) => id.startsWith('tfjs') && state === 'present')
  )
    lines.push('  TensorFlow.js is faster on Node 22 and later: --peer-node runs other libraries on another Node.')
  return lines
}

/** From a value to the share of a bar, by logarithm: the smallest is short, the largest full. */
function barScale(values: readonly number[]): (value: number) => number {
  const [low, high] = [Math.log(Math.min(...values) / 2), Math.log(Math.max(...values))]
  return (value) => (Math.log(value) - low) / (high - low)
}

function bar(share: number): string {
  const eighths = Math.max(1, Math.round(share * BAR * 8))
  const rest = eighths % 8
  return '█'.repeat(Math.floor(eighths / 8)) + (rest === 0 ? '' : '▏▎▍▌▋▊▉'[rest - 1])
}
