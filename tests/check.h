/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cmocka, with the headers it wants in front of it.
 * In: nothing. Out: assert_*(). Called by the C tests.
 */
#ifndef GHOST_TESTS_CHECK_H
#define GHOST_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
