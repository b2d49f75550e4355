#include "base/fiber.h"

#include <sys/mman.h>

#ifndef __x86_64__
#error "base/fiber.c: pw_fiber_switch has to be written for this machine"
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define WITH_ASAN 1
#endif

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

enum { GUARD_BYTES = 4096, COPY_BYTES = 64 << 10 };

/* System V AMD64 psABI 3.2.1: rbx, rbp and r12-r15 belong to the caller, the rest is lost in any call.
 * MXCSR and the x87 control word do too; nobody here changes them. The stack pointer is stored through the first
 * argument, the other side's is the second. */
void pw_fiber_switch(void **from_sp, void *to_sp);
__asm__(".pushsection .text\n"
        ".balign 16\n"
        ".globl pw_fiber_switch\n"
        ".hidden pw_fiber_switch\n"
        ".type pw_fiber_switch,@function\n"
        "pw_fiber_switch:\n"
        "    push %rbp\n"
        "    push %rbx\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbx\n"
        "    pop %rbp\n"
        "    ret\n"
        ".size pw_fiber_switch,.-pw_fiber_switch\n"
        /* Where a new stack begins: pw_fiber_start has left the fiber in rbx. It never returns. */
        ".balign 16\n"
        ".globl pw_fiber_begin\n"
        ".hidden pw_fiber_begin\n"
        ".type pw_fiber_begin,@function\n"
        "pw_fiber_begin:\n"
        "    mov %rbx, %rdi\n"
        "    call pw_fiber_body\n"
        "    ud2\n"
        ".size pw_fiber_begin,.-pw_fiber_begin\n"
        ".popsection\n");
void pw_fiber_begin(void);
/* Called by the lines above alone. */
_Noreturn void pw_fiber_body(struct pw_fiber *f);

/* AddressSanitizer has to know which stack it is on, and keeps a fake one for each. */
static void
asan_leave(void **fake, const void *stack, size_t bytes)
{
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(fake, stack, bytes);
#else
    (void)fake;
    (void)stack;
    (void)bytes;
#endif
}

static void
asan_arrive(void *fake, const void **stack, size_t *bytes)
{
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(fake, stack, bytes);
#else
    (void)fake;
    (void)stack;
    (void)bytes;
#endif
}

int
pw_fiber_init_ctl(struct pw_fiber *f)
{
    uint8_t *p = mmap(NULL, GUARD_BYTES + PW_FIBER_STACK_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        return -errno;
    }
    if (mprotect(p, GUARD_BYTES, PROT_NONE) != 0) {
        int rc = -errno;

        munmap(p, GUARD_BYTES + PW_FIBER_STACK_BYTES);
        return rc;
    }
    *f = (struct pw_fiber){.stack = p + GUARD_BYTES};
    return 0;
}

void
pw_fiber_fini_ctl(struct pw_fiber *f)
{
    if (f->stack == NULL) {
        return;
    }
    if (f->busy) {
        pw_fiber_drop(f);
    }
    munmap(f->stack - GUARD_BYTES, GUARD_BYTES + PW_FIBER_STACK_BYTES);
    *f = (struct pw_fiber){0};
}

/* From the fiber's stack to the loop's; `last`: never to come back. */
static void
leave(struct pw_fiber *f, bool last)
{
    f->inside = false;
    asan_leave(last ? NULL : &f->asan_fiber, f->loop_stack, f->loop_stack_bytes);
    pw_fiber_switch(&f->sp, f->sp);
    asan_arrive(f->asan_fiber, &f->loop_stack, &f->loop_stack_bytes);
}

/* To the fiber's stack, until it leaves. */
static void
enter(struct pw_fiber *f)
{
    f->inside = true;
    asan_leave(&f->asan_loop, f->stack, PW_FIBER_STACK_BYTES);
    pw_fiber_switch(&f->sp, f->sp);
    asan_arrive(f->asan_loop, NULL, NULL);
}

void
pw_fiber_body(struct pw_fiber *f)
{
    asan_arrive(NULL, &f->loop_stack, &f->loop_stack_bytes);
    if (!f->dropped) {
        f->main(f->arg);
    }
    f->busy = false;
    leave(f, true);
    PW_UNREACHABLE("an ended fiber was run");
}

void
pw_fiber_start(struct pw_fiber *f, void (*main)(void *arg), void *arg)
{
    /* What pw_fiber_switch pops: r15 to r12, rbx, rbp, and where to go; two words stay, so that the stack
     * is 16-aligned where pw_fiber_begin calls. */
    uint64_t *sp = (uint64_t *)(void *)(f->stack + PW_FIBER_STACK_BYTES) - 9;

    PW_INVARIANT(!f->busy);
#ifdef WITH_ASAN
    __asan_unpoison_memory_region(f->stack, PW_FIBER_STACK_BYTES); /* of what was dropped */
#endif
    memset(sp, 0, 9 * sizeof(*sp));
    sp[4] = (uint64_t)(uintptr_t)f; /* rbx */
    sp[6] = (uint64_t)(uintptr_t)pw_fiber_begin;
    f->sp = sp;
    f->main = main;
    f->arg = arg;
    f->asan_fiber = NULL;
    f->dropped = false;
    f->busy = true;
}

bool
pw_fiber_run(struct pw_fiber *f, uint64_t end_tsc)
{
    PW_INVARIANT(f->busy && !f->inside);
    f->end_tsc = end_tsc;
    enter(f);
    return !f->busy;
}

void
pw_fiber_drop(struct pw_fiber *f)
{
    PW_INVARIANT(f->busy && !f->inside);
#ifdef WITH_ASAN
    f->dropped = true; /* it comes by once more, to give up its fake stack */
    enter(f);
#endif
    f->busy = false;
}

void
pw_fiber_yield(struct pw_fiber *f)
{
    PW_INVARIANT(f->inside);
    f->switches++;
    leave(f, false);
    if (f->dropped) {
        leave(f, true);
        PW_UNREACHABLE("a dropped fiber was run");
    }
}

void
pw_fiber_copy(struct pw_fiber *f, void *to, const void *from, size_t n)
{
    size_t done = 0;

    if (f == NULL || n <= COPY_BYTES) {
        if (n != 0) {
            memcpy(to, from, n);
        }
        return;
    }
    while (done < n) {
        size_t step = n - done < COPY_BYTES ? n - done : COPY_BYTES;

        memcpy((uint8_t *)to + done, (const uint8_t *)from + done, step);
        done += step;
        pw_fiber_pause(f);
    }
}

void
pw_fiber_clear(struct pw_fiber *f, void *to, size_t n)
{
    size_t done = 0;

    while (f != NULL && n - done > COPY_BYTES) {
        memset((uint8_t *)to + done, 0, COPY_BYTES);
        done += COPY_BYTES;
        pw_fiber_pause(f);
    }
    if (n != done) {
        memset((uint8_t *)to + done, 0, n - done);
    }
}
