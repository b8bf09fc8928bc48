// Devices: where a tensor's elements live.
import { DeviceError } from '../errors.js'
import { native } from '../native.js'
import { told } from '../told.js'

/** `'cpu'`, or a CUDA device by number. */
export type Device = 'cpu' | `cuda:${number}`
/** What a user may write: `'cuda'` is the first CUDA device. */
export type DeviceLike = Device | 'cuda'

export function deviceCode(device: Device): number {
  return device === 'cpu' ? -1 : Number(device.slice(5))
}

/**
 * The device that a name stands for.
 *
 * @throws DeviceError (`ERR_DEVICE`) for an unknown name, or for CUDA where this process has none; the text says what to do.
 */
export function device(name: DeviceLike, op = 'device'): Device {
  if (name === 'cpu') return name
  const match = /^cuda(?::(\d{1,3}))?$/.exec(told(name))
  if (!match) {
    throw new DeviceError(`${op}: device must be 'cpu', 'cuda' or 'cuda:N', got ${told(name)}`, {
      op,
      expected: "'cpu', 'cuda' or 'cuda:N'",
      got: told(name),
    })
  }
  const index = Number(match[1] ?? 0)
  const { cuda, cudaDevices } = native().info()
  if (!cuda) {
    throw new DeviceError(
      `${op}: no CUDA here: the libtorch in use has none or finds no device. Point LIBTORCH at the folder of a CUDA build of PyTorch 2.11 and set QUARTERTURN_CUDA=1, or use device 'cpu'`,
      { op, expected: 'a CUDA device', got: 'none' },
    )
  }
  if (index >= cudaDevices) {
    throw new DeviceError(`${op}: cuda:${index} does not exist: this machine has ${cudaDevices} CUDA device(s)`, {
      op,
      expected: `below ${cudaDevices}`,
      got: String(index),
    })
  }
  return `cuda:${index}`
}

/** The devices that this process can use. */
export function devices(): Device[] {
  const { cuda, cudaDevices } = native().info()
  return ['cpu', ...(cuda ? Array.from({ length: cudaDevices }, (_, i): Device => `cuda:${i}`) : [])]
}
