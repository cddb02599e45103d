// SPDX-License-Identifier: GPL-2.0-only
/*
 * The contract, kept by a real kernel.
 * In: tests/contract/, the world in world.c; root, sched_ext. Out: TAP. The same
 * cases run in the simulator in tests/sim/test_contract.c.
 */
/* cpus: 4 */
#include "tests/contract/contract.h"

int main(int argc, char **argv)
{
	return contract_main("contract", contract_suites, argc, argv);
}
