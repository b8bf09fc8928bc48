// The change of stacks on x86-64: what a function must keep is pushed, the stack pointers are exchanged.
#if defined(__x86_64__) && defined(__linux__)
asm(R"(
    .text
    .globl quarterturn_change
    .type quarterturn_change, @function
quarterturn_change:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size quarterturn_change, .-quarterturn_change
)");
#endif
