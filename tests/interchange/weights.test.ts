// Networks that others have trained give their answers here: g2p-en (GRU, from an .npz) and Silero VAD (convolutions and LSTM, from safetensors).
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { cat, loadNpz, loadSafetensors, nn, type Tensor, tensor, zeros } from 'quarterturn'
import { describe, expect, it } from 'vitest'

// `node scripts/weights.mjs` brings them here.
const folder = join(process.env.QUARTERTURN_CACHE ?? join(homedir(), '.cache/quarterturn'), 'weights')
const g2pFile = join(folder, 'g2p_en/checkpoint20.npz')
const sileroFile = join(folder, 'silero_vad/data/silero_vad_16k.safetensors')

const reference = JSON.parse(readFileSync(new URL('fixtures/weights.json', import.meta.url), 'utf8')) as {
  g2p: Record<string, { ids: number[]; first: number[] }>
  silero: number[]
}

class G2p extends nn.Module {
  enc_emb = new nn.Embedding(29, 256)
  enc = new nn.GRU(256, 256)
  dec_emb = new nn.Embedding(74, 256)
  dec = new nn.GRU(256, 256)
  fc = new nn.Linear(256, 74)

  forward(letters: Tensor): Tensor {
    return this.enc.forward(this.enc_emb.forward(letters)).state.h
  }

  /** The logits after a phoneme [1], and the next state. */
  step(phoneme: Tensor, h: Tensor): { logits: Tensor; h: Tensor } {
    const { output, state } = this.dec.forward(this.dec_emb.forward(phoneme.unsqueeze(0)), { h })
    return { logits: this.fc.forward(output.select(1, 0)), h: state.h }
  }
}

describe.skipIf(!existsSync(g2pFile))('g2p-en', () => {
  it('writes the phonemes that it writes in Python, from the same logits', async () => {
    const renamed = [...(await loadNpz(g2pFile))].map(([name, value]): [string, Tensor] => {
      const key = name
        .replace(/_emb$/, '_emb.weight')
        .replace(/^fc_w$/, 'fc.weight')
        .replace(/^fc_b$/, 'fc.bias')
      return [
        key.replace(/^(enc|dec)_w_([ih]h)$/, '$1.weight_$2_l0').replace(/^(enc|dec)_b_([ih]h)$/, '$1.bias_$2_l0'),
        value,
      ]
    })
    const model = new G2p().loadStateDict(new Map(renamed))
    for (const [word, { ids, first }] of Object.entries(reference.g2p)) {
      const letters = [...[...word].map((letter) => letter.charCodeAt(0) - 94), 2] // 3 is a; 2 ends a word
      let h = model.forward(tensor([letters], { dtype: 'int64' }))
      let last = 2
      const written: number[] = []
      for (let t = 0; t < 20; t++) {
        const out = model.step(tensor([last], { dtype: 'int64' }), h)
        if (t === 0)
          for (const [i, x] of (await out.logits.data()).entries()) expect(x).toBeCloseTo(first[i] as number, 3)
        last = Number(await out.logits.argmax(-1).item())
        if (last === 3) break
        written.push(last)
        h = out.h
      }
      expect([word, written]).toEqual([word, ids])
    }
  })
})

class Silero extends nn.Module {
  stft_conv = new nn.Conv1d(1, 258, 256, { stride: 128, bias: false })
  conv1 = new nn.Conv1d(129, 128, 3, { padding: 1 })
  conv2 = new nn.Conv1d(128, 64, 3, { stride: 2, padding: 1 })
  conv3 = new nn.Conv1d(64, 64, 3, { stride: 2, padding: 1 })
  conv4 = new nn.Conv1d(64, 128, 3, { padding: 1 })
  lstm_cell = new nn.LSTM(128, 128)
  final_conv = new nn.Conv1d(128, 1, 1)

  /** The probability of speech in 64 + 512 samples [1, 576] at 16 kHz. */
  forward(samples: Tensor, state?: nn.LSTMState): { p: Tensor; state: nn.LSTMState } {
    const padded = nn.functional.pad(samples.unsqueeze(1), [0, 64], { mode: 'reflect' })
    const spectrum = this.stft_conv.forward(padded)
    let x: Tensor = spectrum.slice(1, 0, 129).square().add(spectrum.slice(1, 129).square()).sqrt()
    for (const conv of [this.conv1, this.conv2, this.conv3, this.conv4]) x = conv.forward(x).relu()
    const out = this.lstm_cell.forward(x.transpose(), state)
    return { p: this.final_conv.forward(out.output.transpose().relu()).sigmoid().mean(), state: out.state }
  }
}

describe.skipIf(!existsSync(sileroFile))('silero-vad', () => {
  it('gives each chunk of a sound the probability that its formulas give', async () => {
    const renamed = [...(await loadSafetensors(sileroFile))].map(([name, value]): [string, Tensor] => [
      name.replace(/^lstm_cell\.\w+$/, '$&_l0'),
      value,
    ])
    const model = new Silero().loadStateDict(new Map(renamed)).eval()
    const samples = Float32Array.from({ length: 512 * reference.silero.length }, (_, t) => {
      if (t <= 512 * 10) return 0
      let voice = 0
      for (let k = 1; k < 12; k++) voice += Math.sin((2 * Math.PI * 140 * k * t) / 16000 + k) / k
      return 0.15 * voice * (0.5 + 0.5 * Math.sin((2 * Math.PI * 3 * t) / 16000))
    })
    const sound = tensor(samples).unsqueeze(0)
    let context: Tensor = zeros([1, 64])
    let state: nn.LSTMState | undefined
    const heard: Tensor[] = []
    for (let start = 0; start < samples.length; start += 512) {
      const chunk = cat([context, sound.slice(1, start, start + 512)], 1)
      const out = model.forward(chunk, state)
      heard.push(out.p)
      state = out.state
      context = chunk.slice(1, -64)
    }
    expect(Math.max(...reference.silero) - Math.min(...reference.silero)).toBeGreaterThan(0.4) // it hears something
    for (const [i, p] of heard.entries())
      expect(Math.abs((await p.item()) - (reference.silero[i] as number))).toBeLessThan(1e-4)
  })
})
