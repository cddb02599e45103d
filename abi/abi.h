/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Everything that crosses between the kernel side and an agent.
 * In: one header per noun. Out: nothing of its own. For those who want all.
 */
#ifndef GHOST_ABI_ABI_H
#define GHOST_ABI_ABI_H

#include "abi/cpu.h"
#include "abi/ctl.h"
#include "abi/enclave.h"
#include "abi/hints.h"
#include "abi/limits.h"
#include "abi/msg.h"
#include "abi/queue.h"
#include "abi/status.h"
#include "abi/txn.h"

#endif
