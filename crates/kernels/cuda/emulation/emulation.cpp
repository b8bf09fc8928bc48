// How fibres run, wait and fail: see emulation.h.
#include "device.cuh"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include <algorithm>
#include <string>
#include <vector>

#include "fibre.h"

namespace emulation {

__thread const Place* current = nullptr;

namespace {

const Kernel* kernels = nullptr;

constexpr size_t STACK = 64 << 10;
constexpr size_t EXCHANGE = 64;

struct Barrier {
    unsigned arrived = 0, generation = 0;
};

struct Warp {
    Barrier barrier;
    unsigned lanes = WARP;
    // What the lanes gave, in turns: a lane may be in the exchange after this one, not further.
    alignas(16) unsigned char slots[2][WARP][EXCHANGE];
};

struct Block {
    Barrier barrier;
    unsigned cluster = 0;
    std::vector<uint4> shared;
    std::vector<Warp> warps;
};

struct Fibre {
    Place place;
    fibre::Context context;
    unsigned exchanges = 0;
    bool done = false;
    /// Waits for other warps.
    bool parked = false;
};

/// Blocks that run at the same time.
struct Team {
    unsigned first, count, cluster;
    std::vector<Block> blocks;
    std::vector<Barrier> clusters;
};

struct Launch {
    const Kernel* kernel;
    const void* arguments;
    unsigned grid, block;
    size_t shared;
    uint64_t order;
};

/// The launch of this thread of the CPU.
struct Run {
    Launch launch;
    Team team;
    fibre::Context scheduler;
    Fibre* now = nullptr;
    uint64_t progress = 0;
    bool failed = false;
    std::string message;
};
thread_local Run run;

Block& own_block() { return run.team.blocks[run.now->place.block - run.team.first]; }
Warp& own_warp() { return own_block().warps[run.now->place.thread / WARP]; }

void yield(bool parked) {
    run.now->parked = parked;
    fibre::change(run.now->context, run.scheduler);
}

void meet(Barrier& barrier, unsigned expected, bool parked) {
    run.progress++;
    if (++barrier.arrived == expected) {
        barrier.arrived = 0;
        barrier.generation++;
        return;
    }
    for (unsigned generation = barrier.generation; barrier.generation == generation;) yield(parked);
}

void body() {
    run.launch.kernel->body(run.launch.arguments);
    run.now->done = true;
    run.progress++;
    yield(false);
}

void* stacks(size_t bytes) {
    struct Arena {
        void* start = nullptr;
        size_t bytes = 0;
        ~Arena() {
            if (start) munmap(start, bytes);
        }
    };
    thread_local Arena arena;
    if (bytes > arena.bytes) {
        if (arena.start) munmap(arena.start, arena.bytes);
        arena.start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        arena.bytes = arena.start == MAP_FAILED ? 0 : bytes;
        if (arena.bytes == 0) arena.start = nullptr;
    }
    return arena.start;
}

/// The i-th of n in the order of the launch: 0 forwards, 1 backwards, else turned round differently each time it is asked with another `salt`.
size_t nth(size_t i, size_t n, uint64_t salt) {
    uint64_t order = run.launch.order;
    if (order == 0) return i;
    if (order == 1) return n - 1 - i;
    uint64_t hash = (order + salt) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 31;
    size_t turned = (i + hash % n) % n;
    return hash >> 63 ? n - 1 - turned : turned;
}

/// Lets the lanes of a warp run until all have ended or wait for other warps.
void run_warp(Fibre* fibres, unsigned lanes, uint64_t salt) {
    for (bool again = true; again && !run.failed;) {
        uint64_t before = run.progress;
        again = false;
        for (unsigned i = 0; i < lanes && !run.failed; i++) {
            Fibre& fibre = fibres[nth(i, lanes, salt)];
            if (fibre.done || fibre.parked) continue;
            run.now = &fibre;
            current = &fibre.place;
            fibre::change(run.scheduler, fibre.context);
            again |= !fibre.done && !fibre.parked;
        }
        // Lanes that wait for each other, and nobody comes: other warps may say why.
        if (run.progress == before) break;
    }
    for (unsigned i = 0; i < lanes; i++) fibres[i].parked = false;
}

void run_team(unsigned first, unsigned count, unsigned cluster) {
    Launch& launch = run.launch;
    run.team = {first, count, cluster, std::vector<Block>(count), std::vector<Barrier>((count + cluster - 1) / cluster)};
    for (unsigned i = 0; i < count; i++) {
        Block& block = run.team.blocks[i];
        block.cluster = i / cluster;
        block.shared.assign((launch.shared + 15) / 16, uint4{~0u, ~0u, ~0u, ~0u});  // NaN in float and in bfloat16
        block.warps = std::vector<Warp>(launch.block / WARP);
    }
    std::vector<Fibre> fibres(size_t(count) * launch.block);
    unsigned char* stack = static_cast<unsigned char*>(stacks(fibres.size() * STACK));
    if (!stack) {
        run.failed = true;
        run.message = "no memory for the stacks of " + std::to_string(fibres.size()) + " threads";
        return;
    }
    for (size_t i = 0; i < fibres.size(); i++) {
        unsigned of_team = unsigned(i / launch.block);
        fibres[i].place = {unsigned(i % launch.block), first + of_team, of_team % cluster};
        fibre::prepare(fibres[i].context, stack + i * STACK, STACK, body);
    }
    size_t warps = fibres.size() / WARP;
    for (bool alive = true; alive && !run.failed;) {
        uint64_t before = run.progress;
        for (size_t i = 0; i < warps && !run.failed; i++) run_warp(&fibres[nth(i, warps, before) * WARP], WARP, before + i);
        alive = std::any_of(fibres.begin(), fibres.end(), [](const Fibre& fibre) { return !fibre.done; });
        if (alive && !run.failed && run.progress == before) {
            auto stuck = std::find_if(fibres.begin(), fibres.end(), [](const Fibre& fibre) { return !fibre.done; });
            run.failed = true;
            run.message = "block " + std::to_string(stuck->place.block) + ", thread " + std::to_string(stuck->place.thread) +
                          ": waits for ever, for others that ended or wait elsewhere";
        }
    }
}

}  // namespace

Kernel::Kernel(const char* name, unsigned threads, size_t arguments, void (*body)(const void*))
    : name(name), threads(threads), arguments(arguments), body(body), next(kernels) {
    kernels = this;
}

unsigned launched_threads() { return run.launch.block; }
unsigned launched_blocks() { return run.launch.grid; }

void fail(const char* format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    run.failed = true;
    run.message = "block " + std::to_string(place().block) + ", thread " + std::to_string(place().thread) + ": " + text;
    for (;;) yield(true);
}

void sync_warp() { meet(own_warp().barrier, own_warp().lanes, false); }
void sync_block() { meet(own_block().barrier, run.launch.block, true); }
void sync_cluster() {
    unsigned cluster = own_block().cluster;
    unsigned blocks = std::min(run.team.cluster, run.team.count - cluster * run.team.cluster);
    meet(run.team.clusters[cluster], blocks * run.launch.block, true);
}
void relax() { yield(true); }
void progress() { run.progress++; }

unsigned char* shared_base() { return reinterpret_cast<unsigned char*>(own_block().shared.data()); }
size_t shared_bytes() { return run.launch.shared; }
void* remote(void* here, unsigned rank) {
    if (rank >= run.team.cluster) fail("block %u of a cluster of %u", rank, run.team.cluster);
    Block& there = run.team.blocks[own_block().cluster * run.team.cluster + rank];
    return reinterpret_cast<unsigned char*>(there.shared.data()) + (static_cast<unsigned char*>(here) - shared_base());
}

void exchange(const void* mine, size_t size) {
    if (size > EXCHANGE) fail("%zu bytes in an exchange of a warp", size);
    unsigned turn = run.now->exchanges++ % 2;
    memcpy(own_warp().slots[turn][run.now->place.thread % WARP], mine, size);
    sync_warp();
}
const void* of(unsigned lane) {
    if (lane >= WARP) fail("lane %u of a warp", lane);
    return own_warp().slots[(run.now->exchanges - 1) % 2][lane];
}

}  // namespace emulation

namespace {

struct Operands {
    uint32_t a[4], b[2];
};

/// The lane's four of the 16 × 8 products, of words that `multiply` knows.
template <typename Multiply>
void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Multiply multiply) {
    Operands mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    emulation::exchange(&mine, sizeof mine);
    // The lanes' operands, one after the other.
    auto lanes = static_cast<const unsigned char*>(emulation::of(0));
    auto of = [&](unsigned lane) { return reinterpret_cast<const Operands*>(lanes + lane * emulation::EXCHANGE); };
    unsigned lane = thread() % WARP;
    for (unsigned i = 0; i < 4; i++) {
        unsigned row = lane / 4 + (i / 2) * 8, column = lane % 4 * 2 + i % 2;
        for (unsigned word = 0; word < 8; word++) {
            auto left = of(row % 8 * 4 + word % 4), right = of(column * 4 + word % 4);
            d[i] = multiply(left->a[row / 8 + word / 4 * 2], right->b[word / 4], d[i]);
        }
    }
}

}  // namespace

void mma_bfloat16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    mma(d, a, b, [](uint32_t left, uint32_t right, float sum) {
        sum += bits_of<float>(left << 16) * bits_of<float>(right << 16);
        return sum + bits_of<float>(left & 0xffff0000) * bits_of<float>(right & 0xffff0000);
    });
}
void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    // The tensor core reads the upper 19 bits.
    mma(d, a, b, [](uint32_t left, uint32_t right, float sum) {
        return sum + bits_of<float>(left & ~0x1fffu) * bits_of<float>(right & ~0x1fffu);
    });
}

/// What src/emulation.rs calls: runs a launch to its end, or puts the reason why not into `message` and returns 1.
extern "C" int quarterturn_emulate(const char* name, unsigned grid, unsigned block, unsigned cluster, int cooperative, size_t shared,
                                   const void* arguments, size_t arguments_size, uint64_t order, char* message, size_t message_size) {
    using namespace emulation;
    const Kernel* kernel = kernels;
    while (kernel && strcmp(kernel->name, name) != 0) kernel = kernel->next;
    run.failed = true;
    if (!kernel) {
        run.message = "there is no such kernel";
    } else if (kernel->arguments != arguments_size) {
        run.message = std::to_string(arguments_size) + " bytes of arguments, where the kernel has " + std::to_string(kernel->arguments);
    } else if (block > kernel->threads || block % WARP != 0 || block == 0 || grid == 0) {
        run.message = std::to_string(grid) + " blocks of " + std::to_string(block) + " threads, where the kernel has blocks of up to " +
                      std::to_string(kernel->threads) + " in whole warps";
    } else if (cluster == 0 || cluster > 16 || grid % cluster != 0) {
        run.message = std::to_string(grid) + " blocks in clusters of " + std::to_string(cluster);
    } else {
        run.failed = false;
        run.launch = {kernel, arguments, grid, block, shared, order};
        unsigned together = cooperative ? grid : cluster;
        for (unsigned i = 0; i < grid / together && !run.failed; i++) {
            run_team(unsigned(nth(i, grid / together, 0)) * together, together, cluster);
        }
    }
    if (run.failed) snprintf(message, message_size, "%s: %s", name, run.message.c_str());
    return run.failed;
}
