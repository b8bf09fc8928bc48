// Fibres: stacks between which one thread of the CPU changes. On x86-64 by hand, since a kernel changes some million times; elsewhere by ucontext.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__linux__)
extern "C" void quarterturn_change(void** from, void* to);
#else
#include <ucontext.h>
#endif

namespace fibre {

#if defined(__x86_64__) && defined(__linux__)
struct Context {
    void* top = nullptr;
};

/// Goes on in `to`, until somebody changes back to `from`.
inline void change(Context& from, Context& to) { quarterturn_change(&from.top, to.top); }

/// Makes `context` begin with `body`, which must not return.
inline void prepare(Context& context, unsigned char* stack, size_t bytes, void (*body)()) {
    void** top = reinterpret_cast<void**>(stack + bytes);
    *--top = nullptr;                            // body's own return address: the stack pointer is 8 past a multiple of 16 on entry
    *--top = reinterpret_cast<void*>(body);
    for (int i = 0; i < 6; i++) *--top = nullptr;  // rbp, rbx, r12 to r15
    context.top = top;
}
#else
struct Context {
    ucontext_t context;
};

inline void change(Context& from, Context& to) { swapcontext(&from.context, &to.context); }

inline void prepare(Context& context, unsigned char* stack, size_t bytes, void (*body)()) {
    getcontext(&context.context);
    context.context.uc_stack.ss_sp = stack;
    context.context.uc_stack.ss_size = bytes;
    context.context.uc_link = nullptr;
    makecontext(&context.context, body, 0);
}
#endif

}  // namespace fibre
