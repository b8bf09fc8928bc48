// Which blocks of a network are run, in which order, and which way their gradients go: lesions, shuffles and paths.
import { ArgumentError } from '../../errors.js'
import { whole } from '../../tensor/shape.js'
import { checkList, refused, taken } from '../check.js'
import type { Block, BlockPath } from './block.js'

export interface WalkOptions {
  /**
   * The places of the blocks that are run, in this order; one may come again. Blocks keep their stages, and the first block of a stage that changes the
   * shape comes first where it is run; where it is not, its shortcut alone is. (Default: all.)
   */
  blocks?: readonly number[]
  /** For each block that is run, which way gradients go through it (default: both). */
  paths?: readonly BlockPath[]
}

interface Turn {
  block: Block
  /** Otherwise its shortcut alone. */
  run: boolean
  path: BlockPath
}

const OP = 'ResNet.forward'

/** The turns of a walk. @throws ArgumentError for an order that the shapes do not allow. */
export function checkWalk(all: readonly Block[], given: WalkOptions): Turn[] {
  const { blocks = all.map((_, i) => i), paths } = taken(given, OP)
  const chosen = checkList(blocks, 'blocks', OP).map((place) => whole(place, 'each of blocks', OP, 0, all.length - 1))
  if (paths !== undefined && checkList(paths, 'paths', OP).length !== chosen.length)
    throw refused(OP, 'paths', `${chosen.length}, one for each block that is run`, paths.length)
  const turns: Turn[] = []
  let at = 0
  const last = all.at(-1) as Block
  for (let stage = 0; stage <= last.place.stage; stage++) {
    const first = all.find(({ place }) => place.stage === stage) as Block
    const { transition } = first.place
    if (transition && chosen[at] !== all.indexOf(first)) turns.push({ block: first, run: false, path: 'both' })
    for (let start = at; at < chosen.length; at++) {
      const block = all[chosen[at] as number] as Block
      if (block.place.stage !== stage) break
      if (block === first && transition && at !== start)
        throw wrong(`block ${chosen[at]} changes the shape: it comes first in its stage, once`)
      const path = paths?.[at] ?? 'both'
      if (path !== 'both' && path !== 'branch' && path !== 'shortcut')
        throw refused(OP, 'each of paths', "'both', 'branch' or 'shortcut'", path)
      turns.push({ block, run: true, path })
    }
  }
  if (at < chosen.length) throw wrong(`block ${chosen[at]} is of an earlier stage than the one before it`)
  if (turns.some(({ block, run }) => !run && block.plainTransition))
    throw wrong('a block that changes the shape cannot be left out of a network without shortcuts')
  return turns
}

function wrong(what: string): ArgumentError {
  return new ArgumentError(`${OP}: ${what}`, { op: OP, expected: 'an order that fits the shapes', got: what })
}
