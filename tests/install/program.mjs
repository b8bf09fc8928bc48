// What the install tests run wherever the package is installed: ten steps of training, and a checkpoint of the clone's (argument 1), read and run.
// Prints one line of JSON. With `--write` the checkpoint is written first.
import { grad, manualSeed, nn, optim, tensor, train } from 'quarterturn'

class Model extends nn.Module {
  rnn = new nn.LSTM(3, 8)
  head = new nn.Linear(8, 1)
  forward(x) {
    return this.head.forward(this.rnn.forward(x).output.select(1, -1))
  }
}

const rows = (count, of) => Array.from({ length: count }, (_, i) => of(i))
const x = tensor(rows(4, (i) => rows(6, (t) => rows(3, (k) => Math.sin(i + 0.5 * t + k)))))
const y = tensor(rows(4, (i) => [Math.cos(i)]))
const [checkpoint, mode] = process.argv.slice(2)

manualSeed(7)
const model = new Model()
if (mode === '--write') {
  await train.fit(model, [{ x, y }], {
    loss: (m, batch) => nn.functional.mseLoss(m.forward(batch.x), batch.y),
    optimizer: optim.adamW({ lr: 0.01 }),
    epochs: 3,
    checkpoints: checkpoint,
    progress: false,
  })
}
const trained = new Model()
const optimizer = optim.adamW({ lr: 0.01 })(trained.parameters())
const losses = []
for (let step = 0; step < 10; step++) {
  const loss = nn.functional.mseLoss(trained.forward(x), y)
  optimizer.step(grad(loss, trained.parameters()))
  losses.push(await loss.item())
}
await train.loadWeights(model, checkpoint, { which: 'newest' })
const restored = await model.eval().forward(x).toArray()
console.log(JSON.stringify({ node: process.version, losses, restored: restored.flat() }))
