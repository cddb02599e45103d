// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the original's tests assert, of the simulator.
 * In: tests/contract/, the world in world.c. Out: TAP. The same cases run on a
 * real kernel in tests/vm/test_conformance.c; docs/conformance.md lists them.
 */
#include "tests/contract/contract.h"

int main(int argc, char **argv)
{
	static const struct contract_case *const suites[] = {
		contract_conformance_cases,
		contract_policy_cases,
		contract_wide_cases,
		NULL,
	};

	return contract_main("conformance", suites, argc, argv);
}
