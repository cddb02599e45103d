// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fibers: they go on where they stopped, with all they had.
 * In: sim/fiber.h; built twice, the second time over ucontext. Out: TAP.
 */
#include "tests/check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/fiber.h"

static char order[256];
static size_t len;

static void note(char c)
{
	assert_true(len < sizeof(order) - 1);
	order[len++] = c;
	order[len] = 0;
}

static int setup(void **state)
{
	len = 0;
	order[0] = 0;
	return 0;
}

static struct fiber *new(void (*main)(void *), void *arg)
{
	struct fiber *f = NULL;

	assert_int_equal(fiber_new(&f, FIBER_STACK, main, arg), 0);
	assert_non_null(f);
	return f;
}

static void say_and_end(void *arg)
{
	note(*(char *)arg);
}

/* A letter, three times. */
static void say_thrice(void *arg)
{
	for (int i = 0; i < 3; i++) {
		note(*(char *)arg);
		fiber_suspend();
	}
}

static void for_ever(void *arg)
{
	for (;;)
		fiber_suspend();
}

static void test_fiber_runs_when_resumed_and_not_before(void **state)
{
	struct fiber *f = new (say_and_end, "a");

	assert_string_equal(order, "");
	assert_false(fiber_ended(f));
	fiber_resume(f);
	assert_string_equal(order, "a");
	assert_true(fiber_ended(f));
	fiber_free(f);
}

static void test_fiber_goes_on_where_it_stopped(void **state)
{
	struct fiber *f = new (say_thrice, "a");

	for (int i = 0; i < 4; i++) {
		assert_false(fiber_ended(f));
		note('(');
		fiber_resume(f);
		note(')');
	}
	assert_string_equal(order, "(a)(a)(a)()");
	assert_true(fiber_ended(f));
	fiber_free(f);
}

static void test_fibers_run_in_the_order_they_are_resumed(void **state)
{
	struct fiber *f[3] = { new (say_thrice, "a"), new (say_thrice, "b"),
			       new (say_thrice, "c") };
	static const int turns[] = { 0, 1, 2, 2, 0, 2, 1, 1, 0, 0, 2, 1 };

	for (size_t i = 0; i < ARRAY_LEN(turns); i++)
		fiber_resume(f[turns[i]]);
	assert_string_equal(order, "abccacbba");
	for (int i = 0; i < 3; i++) {
		assert_true(fiber_ended(f[i]));
		fiber_free(f[i]);
	}
}

static struct fiber *seen;

static void look_at_self(void *arg)
{
	seen = fiber_self();
	fiber_suspend();
	seen = fiber_self();
}

static void test_fiber_knows_itself_and_outside_there_is_none(void **state)
{
	struct fiber *a = new (look_at_self, NULL), *b = new (look_at_self, NULL);

	assert_null(fiber_self());
	for (int i = 0; i < 2; i++) {
		fiber_resume(a);
		assert_ptr_equal(seen, a);
		assert_null(fiber_self());
		fiber_resume(b);
		assert_ptr_equal(seen, b);
	}
	fiber_free(a);
	fiber_free(b);
}

/* More values than registers, whole and broken, and all of them needed afterwards. */
__attribute__((noinline)) static double many_values(unsigned long x, double y)
{
	unsigned long a = x + 1, b = x * 3, c = x ^ 5, d = x << 2, e = x + 7, f = x * 11, g = ~x,
		      h = x - 13;
	double k = y * 2, l = y + 3, m = y / 4, n = y - 5, o = -y, p = y * y;

	for (int i = 0; i < 5; i++) {
		fiber_suspend();
		a += b, b ^= c, c += d, d ^= e, e += f, f ^= g, g += h, h ^= a;
		k += l, l -= m, m += n, n -= o, o += p, p -= k / 2;
	}
	return (double)(a ^ b ^ c ^ d ^ e ^ f ^ g ^ h) + k + l + m + n + o + p;
}

struct values {
	unsigned long x;
	double y, ret;
};

static void run_values(void *arg)
{
	struct values *v = arg;

	v->ret = many_values(v->x, v->y);
}

static void test_fibers_keep_their_registers_apart(void **state)
{
	enum {
		NR = 50
	};
	struct values together[NR], alone[NR];
	struct fiber *f[NR];

	for (int i = 0; i < NR; i++) {
		together[i] = alone[i] = (struct values){ .x = i * 1234567ul, .y = i / 7.0 };
		f[i] = new (run_values, &alone[i]);
		while (!fiber_ended(f[i]))
			fiber_resume(f[i]);
		fiber_free(f[i]);
	}
	for (int i = 0; i < NR; i++)
		f[i] = new (run_values, &together[i]);
	for (int turn = 0; turn < 6; turn++)
		for (int i = 0; i < NR; i++)
			fiber_resume(f[(i * 7 + turn) % NR]);
	for (int i = 0; i < NR; i++) {
		assert_true(fiber_ended(f[i]));
		assert_true(together[i].ret == alone[i].ret);
		fiber_free(f[i]);
	}
}

/* The outside, too, has values in registers while a fiber runs. */
static void test_fiber_leaves_the_registers_of_the_outside_alone(void **state)
{
	struct values v = { .x = 3, .y = 4 };
	struct fiber *f = new (run_values, &v);
	unsigned long a = 1, b = 2, c = 3, d = 5, e = 7, g = 11, want = 0, got = 0;

	for (int i = 0; i < 6; i++) {
		fiber_resume(f);
		a += b, b ^= c, c += d, d ^= e, e += g, g ^= a;
		got = got * 31 + (a ^ b ^ c ^ d ^ e ^ g);
	}
	a = 1, b = 2, c = 3, d = 5, e = 7, g = 11;
	for (int i = 0; i < 6; i++) {
		a += b, b ^= c, c += d, d ^= e, e += g, g ^= a;
		want = want * 31 + (a ^ b ^ c ^ d ^ e ^ g);
	}
	assert_true(got == want);
	fiber_free(f);
}

/* What the C library does with vectors traps on a stack that is off by 8. */
static void use_library(void *arg)
{
	struct {
		char bytes[16];
	} __attribute__((aligned(16))) place = { { 0 } };
	char buf[64];

	__asm__ volatile("" : : "r"(&place) : "memory");
	assert_int_equal((uintptr_t)&place % 16, 0);
	assert_int_equal((uintptr_t)__builtin_frame_address(0) % 16, 0);
	fiber_suspend();
	snprintf(buf, sizeof(buf), "%.3f %s %Lg", 1.5, "x", 2.5L);
	strcpy(arg, buf);
}

static void test_fiber_stack_is_aligned_as_functions_expect(void **state)
{
	char buf[64] = "";
	struct fiber *f = new (use_library, buf);

	fiber_resume(f);
	fiber_resume(f);
	assert_true(fiber_ended(f));
	assert_string_equal(buf, "1.500 x 2.5");
	fiber_free(f);
}

/* Suspended at the bottom, and again on each way up. */
__attribute__((noinline)) static unsigned long deep(int depth)
{
	unsigned char pad[64];
	unsigned long sum = 0;

	memset(pad, depth, sizeof(pad));
	if (depth)
		sum = deep(depth - 1);
	if (depth % 16 == 0)
		fiber_suspend();
	for (size_t i = 0; i < sizeof(pad); i++)
		sum += pad[i];
	return sum;
}

static void run_deep(void *arg)
{
	*(unsigned long *)arg = deep(100);
}

static void test_fiber_may_be_suspended_deep_in_its_stack(void **state)
{
	unsigned long sum[4] = { 0 };
	struct fiber *f[4];
	int turns = 0;

	for (int i = 0; i < 4; i++)
		f[i] = new (run_deep, &sum[i]);
	while (!fiber_ended(f[3])) {
		for (int i = 0; i < 4; i++)
			fiber_resume(f[i]);
		turns++;
	}
	assert_int_equal(turns, 8);
	for (int i = 0; i < 4; i++) {
		assert_true(sum[i] == 64 * 5050);
		fiber_free(f[i]);
	}
}

/* All that was asked for, but for what the fiber itself takes. */
static void use_stack(void *arg)
{
	size_t size = *(size_t *)arg;
	volatile char *low = (char *)__builtin_frame_address(0) - (size - 2048);

	/* Not through a variable: the address sanitizer may keep those elsewhere. */
	for (volatile char *p = __builtin_frame_address(0); p >= low; p -= 512)
		if (p < (char *)__builtin_frame_address(0) - 512)
			*p = 1;
}

static void test_fiber_has_the_stack_asked_for(void **state)
{
	static const size_t sizes[] = { 0,     1,      16384,	    16385,	     32768,
					65536, 100000, 1024 * 1024, 64 * 1024 * 1024 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t usable = sizes[i] < 16384 ? 16384 : sizes[i];
		struct fiber *f;

		assert_int_equal(fiber_new(&f, sizes[i], use_stack, &usable), 0);
		fiber_resume(f);
		assert_true(fiber_ended(f));
		fiber_free(f);
	}
}

static void test_fiber_of_an_impossible_stack_is_refused(void **state)
{
	struct fiber *f = NULL;

	assert_int_equal(fiber_new(&f, SIZE_MAX, for_ever, NULL), -EINVAL);
	assert_int_equal(fiber_new(&f, SIZE_MAX / 2, for_ever, NULL), -EINVAL);
	assert_int_equal(fiber_new(&f, SIZE_MAX / 8, for_ever, NULL), -ENOMEM);
	assert_null(f);
}

static void test_fiber_freed_in_the_middle_never_runs_again(void **state)
{
	struct fiber *a = new (say_thrice, "a"), *b = new (say_thrice, "b"), *c;

	fiber_resume(a);
	fiber_resume(b);
	fiber_free(a);
	/* Its stack, with all that lay there, is somebody else's now. */
	c = new (run_deep, &(unsigned long){ 0 });
	assert_ptr_equal(a, c);
	while (!fiber_ended(c)) {
		fiber_resume(c);
		if (!fiber_ended(b))
			fiber_resume(b);
	}
	assert_string_equal(order, "abbb");
	fiber_free(b);
	fiber_free(c);
	/* One that never ran at all. */
	fiber_free(new (say_thrice, "d"));
	fiber_free(NULL);
	assert_string_equal(order, "abbb");
}

static void make_another(void *arg)
{
	struct fiber **f = arg;

	note('m');
	*f = new (say_thrice, "n");
	fiber_free(new (say_thrice, "o"));
	fiber_suspend();
	fiber_free(*f);
	note('m');
}

static void test_fiber_may_make_and_free_others(void **state)
{
	struct fiber *child = NULL, *f = new (make_another, &child);

	fiber_resume(f);
	fiber_resume(child);
	fiber_resume(child);
	fiber_resume(f);
	assert_true(fiber_ended(f));
	assert_string_equal(order, "mnnm");
	fiber_free(f);
}

static size_t mapped(void)
{
	size_t nr = 0;
	FILE *f = fopen("/proc/self/maps", "re");

	assert_non_null(f);
	for (int c; (c = fgetc(f)) != EOF;)
		nr += c == '\n';
	fclose(f);
	return nr;
}

static void test_fiber_stacks_serve_again_and_are_given_back(void **state)
{
	enum {
		NR = 300
	};
	static struct fiber *f[NR];
	size_t before, with;

	fiber_pool_drain();
	before = mapped();
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < NR; i++) {
			f[i] = new (round % 2 ? for_ever : run_deep, &(unsigned long){ 0 });
			fiber_resume(f[i]);
		}
		with = mapped();
		for (int i = 0; i < NR; i++)
			fiber_free(f[i]);
		/* The sanitizer has mappings of its own. */
		assert_true(with <= before + 2 * NR + 50 + NR);
	}
	fiber_pool_drain();
	fiber_pool_drain();
	assert_true(mapped() < before + 50 + NR);
}

static void test_fiber_stacks_of_one_size_do_not_serve_for_another(void **state)
{
	struct fiber *small, *large, *again;
	size_t size = 256 * 1024;

	assert_int_equal(fiber_new(&small, 16 * 1024, use_stack, &size), 0);
	fiber_free(small);
	assert_int_equal(fiber_new(&large, size, use_stack, &size), 0);
	assert_ptr_not_equal(small, large);
	fiber_resume(large);
	fiber_free(large);
	assert_int_equal(fiber_new(&again, size - 5000, use_stack, &size), 0);
	assert_ptr_equal(again, large);
	fiber_free(again);
}

static void test_fibers_come_and_go_by_the_thousand(void **state)
{
	unsigned long sum = 0;

	for (int i = 0; i < 20000; i++) {
		struct fiber *f = new (i % 3 ? run_deep : for_ever, &sum);

		fiber_resume(f);
		if (i % 5)
			fiber_resume(f);
		fiber_free(f);
	}
}

/* --- what must not be done ------------------------------------------------------- */

static void resume_self(void *arg)
{
	fiber_resume(fiber_self());
}

static void resume_other(void *arg)
{
	fiber_resume(arg);
}

static void free_self(void *arg)
{
	fiber_free(fiber_self());
}

__attribute__((noinline)) static int overflow(volatile char *above)
{
	volatile char here[512];

	here[0] = above[0];
	return here[0] ? overflow(here) + here[0] : 0;
}

static void run_overflow(void *arg)
{
	char start = 1;

	*(int *)arg = overflow(&start);
}

static void bad_self(void)
{
	fiber_resume(new (resume_self, NULL));
}

static void bad_nested(void)
{
	fiber_resume(new (resume_other, new (for_ever, NULL)));
}

static void bad_free_self(void)
{
	fiber_resume(new (free_self, NULL));
}

static void bad_ended(void)
{
	struct fiber *f = new (say_and_end, "a");

	fiber_resume(f);
	fiber_resume(f);
}

static void bad_freed_twice(void)
{
	struct fiber *f = new (say_and_end, "a");

	fiber_free(f);
	fiber_free(f);
}

static void bad_outside(void)
{
	fiber_suspend();
}

/* Without the trap it would walk into the stack below, which is there. */
static void bad_overflow(void)
{
	struct fiber *f[3];
	int ret = 0;

	for (int i = 0; i < 3; i++)
		f[i] = new (run_overflow, &ret);
	fiber_resume(f[1]);
}

/* In a child: how did it end? */
static int status_of(void (*what)(void))
{
	struct rlimit none = { 0, 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		setrlimit(RLIMIT_CORE, &none);
		if (!freopen("/dev/null", "w", stderr))
			_exit(0);
		/* cmocka would take it for its own. */
		signal(SIGABRT, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		what();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_fiber_misuse_is_noticed(void **state)
{
	static void (*const bad[])(void) = { bad_self,	bad_nested,	 bad_free_self,
					     bad_ended, bad_freed_twice, bad_outside };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int status = status_of(bad[i]);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
			fail_msg("case %zu ended with status 0x%x", i, status);
	}
}

static void test_fiber_that_needs_more_stack_than_it_has_traps(void **state)
{
	int status = status_of(bad_overflow);

	/* The address sanitizer makes an exit of the signal. */
	assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGSEGV : WEXITSTATUS(status) != 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_fiber_runs_when_resumed_and_not_before, setup),
		cmocka_unit_test_setup(test_fiber_goes_on_where_it_stopped, setup),
		cmocka_unit_test_setup(test_fibers_run_in_the_order_they_are_resumed, setup),
		cmocka_unit_test_setup(test_fiber_knows_itself_and_outside_there_is_none, setup),
		cmocka_unit_test_setup(test_fibers_keep_their_registers_apart, setup),
		cmocka_unit_test_setup(test_fiber_leaves_the_registers_of_the_outside_alone, setup),
		cmocka_unit_test_setup(test_fiber_stack_is_aligned_as_functions_expect, setup),
		cmocka_unit_test_setup(test_fiber_may_be_suspended_deep_in_its_stack, setup),
		cmocka_unit_test_setup(test_fiber_has_the_stack_asked_for, setup),
		cmocka_unit_test_setup(test_fiber_of_an_impossible_stack_is_refused, setup),
		cmocka_unit_test_setup(test_fiber_freed_in_the_middle_never_runs_again, setup),
		cmocka_unit_test_setup(test_fiber_may_make_and_free_others, setup),
		cmocka_unit_test_setup(test_fiber_stacks_serve_again_and_are_given_back, setup),
		cmocka_unit_test_setup(test_fiber_stacks_of_one_size_do_not_serve_for_another,
				       setup),
		cmocka_unit_test_setup(test_fibers_come_and_go_by_the_thousand, setup),
		cmocka_unit_test_setup(test_fiber_misuse_is_noticed, setup),
		cmocka_unit_test_setup(test_fiber_that_needs_more_stack_than_it_has_traps, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
