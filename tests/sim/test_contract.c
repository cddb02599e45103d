// SPDX-License-Identifier: GPL-2.0-only
/*
 * The contract, kept by the simulator.
 * In: tests/contract/, the world in world.c. Out: TAP. The same cases run on a
 * real kernel in tests/vm/test_contract.c.
 */
#include "tests/contract/contract.h"

int main(int argc, char **argv)
{
	return contract_main("contract", contract_suites, argc, argv);
}
