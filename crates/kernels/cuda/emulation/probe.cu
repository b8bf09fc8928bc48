// Kernels that try the emulation itself: each uses one way of meeting, and some are wrong on purpose.
#include "device.cuh"

struct Probe {
    View<float> x, y;
    View<uint32_t> counter;
};

/// y = x, turned round within each block through shared memory.
KERNEL(probe_reverse, Probe, 128) {
    auto turned = Shared().take<float>(threads());
    turned[thread()] = arguments.x[block() * threads() + thread()];
    sync_block();
    arguments.y[block() * threads() + thread()] = turned[threads() - 1 - thread()];
}

/// The same without the barrier.
KERNEL(probe_race, Probe, 128) {
    auto turned = Shared().take<float>(threads());
    turned[thread()] = arguments.x[block() * threads() + thread()];
    arguments.y[block() * threads() + thread()] = turned[threads() - 1 - thread()];
}

/// y = the sum of the warp's x.
KERNEL(probe_warp_sum, Probe, 128) {
    size_t i = block() * threads() + thread();
    arguments.y[i] = warp_sum(arguments.x[i]);
}

/// y = x of the thread's place in the next block of the cluster of two.
KERNEL(probe_cluster, Probe, 128) {
    auto theirs = Shared().take<uint32_t>(threads());
    sync_cluster();
    size_t i = block() * threads() + thread();
    store_remote(theirs, thread(), 1 - cluster_rank(), bits_of<uint32_t>(arguments.x[i]));
    sync_cluster();
    arguments.y[i] = bits_of<float>(theirs[thread()]);
}

/// y = x of the thread's place in the block at the other end of the grid, passed on through global memory.
KERNEL(probe_grid, Probe, 128) {
    size_t here = block() * threads() + thread(), there = (blocks() - 1 - block()) * threads() + thread();
    arguments.y[there] = arguments.x[here];
    sync_block();
    if (thread() == 0) {
        release_add(arguments.counter[0]);
        while (load_acquire(arguments.counter[0]) < blocks()) relax();
    }
    sync_block();
    arguments.y[here] += 1;
}

/// y [16, 8] = x [16, 8] · x[128..] [8, 8], on one warp. x[128..] lies column by column.
KERNEL(probe_mma, Probe, 32) {
    unsigned r = lane() / 4, w = lane() % 4;
    auto a = arguments.x.part(0, 128), b = arguments.x.part(128, 64);
    uint32_t left[4] = {to_tf32(a[r * 8 + w]), to_tf32(a[(r + 8) * 8 + w]), to_tf32(a[r * 8 + w + 4]), to_tf32(a[(r + 8) * 8 + w + 4])};
    uint32_t right[2] = {to_tf32(b[r * 8 + w]), to_tf32(b[r * 8 + w + 4])};
    float sum[4] = {};
    mma_tf32(sum, left, right);
    for (unsigned i = 0; i < 4; i++) arguments.y[(r + i / 2 * 8) * 8 + 2 * w + i % 2] = sum[i];
}

/// Half of the threads never come to the barrier.
KERNEL(probe_stuck, Probe, 128) {
    if (thread() < threads() / 2) sync_block();
}

/// One element too many.
KERNEL(probe_outside, Probe, 128) { arguments.y[thread() + 1] = arguments.x[thread()]; }

/// Reads shared memory that nobody wrote.
KERNEL(probe_unwritten, Probe, 128) { arguments.y[thread()] = Shared().take<float>(threads())[thread()]; }
