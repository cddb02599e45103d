// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fibers: stacks, and going from one to another.
 * In: functions. Out: calls of them, in pieces. Implements fiber.h.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/fiber.h"

#define STACK_MIN (16 * 1024)

/* --- from one stack to another --------------------------------------------------- */

/* A shadow stack would have to be switched as well, which ucontext knows how to do. */
#if defined(__x86_64__) && !defined(FIBER_UCONTEXT) && !(defined(__CET__) && __CET__ & 2)

struct context {
	void *sp;
};

/*
 * Push what a function must leave as it was, and pop it from the other stack.
 * The control words of x87 and SSE are among that, too, but they say how to
 * round, nobody in the simulator changes them, and with them it would all take
 * half as long again. Signal masks are left out for the same reason.
 * The jump at the end instead of a return: the address is not the one that
 * the processor remembers of the last call, so it would be mispredicted.
 */
void fiber_switch(void **from_sp, void *to_sp);

__asm__(".pushsection .text\n"
	".globl fiber_switch\n"
	".hidden fiber_switch\n"
	".type fiber_switch, @function\n"
	".balign 16\n"
	"fiber_switch:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	popq %rdx\n"
	"	jmpq *%rdx\n"
	".size fiber_switch, . - fiber_switch\n"
	".popsection\n");

static void context_switch(struct context *from, struct context *to)
{
	fiber_switch(&from->sp, to->sp);
}

static int context_make(struct context *c, void *stack, size_t size, void (*entry)(void))
{
	/* As fiber_switch() leaves it: six registers, where to go; and where that would return to. */
	void **sp = (void **)((char *)stack + size) - 8;

	for (int i = 0; i < 8; i++)
		sp[i] = NULL;
	sp[6] = (void *)entry;
	c->sp = sp;
	return 0;
}

#else

#include <ucontext.h>

struct context {
	ucontext_t uc;
};

static void context_switch(struct context *from, struct context *to)
{
	if (swapcontext(&from->uc, &to->uc))
		abort();
}

static int context_make(struct context *c, void *stack, size_t size, void (*entry)(void))
{
	if (getcontext(&c->uc))
		return -errno;
	c->uc.uc_stack.ss_sp = stack;
	c->uc.uc_stack.ss_size = size;
	c->uc.uc_link = NULL;
	makecontext(&c->uc, entry, 0);
	return 0;
}

#endif

/* --- fibers ------------------------------------------------------------------------ */

enum fiber_state {
	FIBER_SUSPENDED,
	FIBER_RUNNING,
	FIBER_ENDED,
	FIBER_FREE,
};

/* At the upper end of its own stack, so that one mapping is all there is to have. */
struct fiber {
	struct context context;
	void (*main)(void *);
	void *arg;
	enum fiber_state state;
	int order;	    /* the stack, with this at its end, is 1 << order bytes */
	void *stack;	    /* its lower end, above the page that traps */
	void *fake_stack;   /* of the address sanitizer */
	struct fiber *next; /* in the pool */
} __attribute__((aligned(64)));

static struct fiber *current;
static struct fiber *pool[64]; /* by order */

/* Who calls fiber_resume(). */
static struct {
	struct context context;
	void *fake_stack;
	const void *stack;
	size_t size;
} outside;

static size_t stack_size(const struct fiber *f)
{
	return (char *)f - (char *)f->stack;
}

/* --- the address sanitizer, which must know of every stack --------------------------- */

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif

#ifdef FIBER_ASAN

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

/* Around each switch. @fake_stack is NULL where there is no way back. */
static void switch_begin(void **fake_stack, const void *stack, size_t size)
{
	__sanitizer_start_switch_fiber(fake_stack, stack, size);
}

static void switch_end(void *fake_stack, const void **from, size_t *from_size)
{
	__sanitizer_finish_switch_fiber(fake_stack, from, from_size);
}

/*
 * @f is left for ever, in the middle: make the sanitizer believe that it is
 * left at its end, or what it keeps for @f would never be freed; and forget
 * which bytes of the stack the functions that did not return had fenced off.
 */
__attribute__((no_sanitize_address)) static void stack_forget(struct fiber *f)
{
	void *mine = NULL;
	const void *stack;
	size_t size;

	if (f->fake_stack) {
		switch_begin(&mine, f->stack, stack_size(f));
		switch_end(f->fake_stack, &stack, &size);
		switch_begin(NULL, stack, size);
		switch_end(mine, NULL, NULL);
		f->fake_stack = NULL;
	}
	__asan_unpoison_memory_region(f->stack, stack_size(f));
}

#else

static void switch_begin(void **fake_stack, const void *stack, size_t size)
{
}

static void switch_end(void *fake_stack, const void **from, size_t *from_size)
{
}

static void stack_forget(struct fiber *f)
{
}

#endif

/* --- what others call ------------------------------------------------------------------ */

/* The lowest frame of every fiber. */
static void fiber_entry(void)
{
	struct fiber *f = current;

	switch_end(NULL, &outside.stack, &outside.size);
	f->main(f->arg);
	f->state = FIBER_ENDED;
	f->fake_stack = NULL; /* it ends with the function */
	switch_begin(NULL, outside.stack, outside.size);
	context_switch(&f->context, &outside.context);
	abort(); /* fiber_resume() has refused */
}

static size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

static int fiber_map(struct fiber **ret, int order)
{
	size_t size = (size_t)1 << order, guard = page_size();
	char *map = mmap(NULL, guard + size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	struct fiber *f;

	if (map == MAP_FAILED)
		return -errno;
	if (mprotect(map, guard, PROT_NONE)) {
		int err = -errno;

		munmap(map, guard + size);
		return err;
	}
	f = (struct fiber *)(map + guard + size) - 1;
	f->order = order;
	f->stack = map + guard;
	*ret = f;
	return 0;
}

int fiber_new(struct fiber **ret, size_t stack, void (*main)(void *), void *arg)
{
	struct fiber *f;
	int order = 0, err = 0;

	if (stack > SIZE_MAX / 4)
		return -EINVAL;
	while ((size_t)1 << order < stack || (size_t)1 << order < STACK_MIN ||
	       (size_t)1 << order < page_size())
		order++;
	f = pool[order];
	if (f)
		pool[order] = f->next;
	else
		err = fiber_map(&f, order);
	if (err)
		return err;
	f->main = main;
	f->arg = arg;
	f->fake_stack = NULL;
	f->state = FIBER_SUSPENDED;
	err = context_make(&f->context, f->stack, stack_size(f), fiber_entry);
	if (err) {
		fiber_free(f);
		return err;
	}
	*ret = f;
	return 0;
}

void fiber_free(struct fiber *f)
{
	if (!f)
		return;
	assert(f->state == FIBER_SUSPENDED || f->state == FIBER_ENDED);
	stack_forget(f);
	f->state = FIBER_FREE;
	f->next = pool[f->order];
	pool[f->order] = f;
}

void fiber_resume(struct fiber *f)
{
	assert(!current);
	assert(f->state == FIBER_SUSPENDED);
	f->state = FIBER_RUNNING;
	current = f;
	switch_begin(&outside.fake_stack, f->stack, stack_size(f));
	context_switch(&outside.context, &f->context);
	switch_end(outside.fake_stack, NULL, NULL);
	current = NULL;
}

void fiber_suspend(void)
{
	struct fiber *f = current;

	assert(f);
	f->state = FIBER_SUSPENDED;
	switch_begin(&f->fake_stack, outside.stack, outside.size);
	context_switch(&f->context, &outside.context);
	switch_end(f->fake_stack, &outside.stack, &outside.size);
}

struct fiber *fiber_self(void)
{
	return current;
}

bool fiber_ended(const struct fiber *f)
{
	return f->state == FIBER_ENDED;
}

void fiber_pool_drain(void)
{
	for (int order = 0; order < 64; order++) {
		while (pool[order]) {
			struct fiber *f = pool[order];
			size_t guard = page_size();

			pool[order] = f->next;
			munmap((char *)f->stack - guard, guard + ((size_t)1 << order));
		}
	}
}
