// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the original's tests assert on more CPUs than the other cases need, of a
 * real kernel.
 * In: tests/contract/, the world in world.c; root, sched_ext. Out: TAP. The same
 * cases run in the simulator in tests/sim/test_conformance.c.
 */
/* cpus: 9 */
#include "tests/contract/contract.h"

int main(int argc, char **argv)
{
	static const struct contract_case *const suites[] = { contract_wide_cases, NULL };

	return contract_main("conformance, wide", suites, argc, argv);
}
