// SPDX-License-Identifier: GPL-2.0-only
/*
 * SCX_OPS_SWITCH_PARTIAL, with the running kernel's value, in a scheduler's flags.
 * In, out, called by: see partial.h.
 */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "bench/partial.h"

/* An enumerator's value in the running kernel, whichever width its type has. */
static int kernel_enum(const char *type, const char *name, uint64_t *ret_value)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *t;
	int id, err = -EOPNOTSUPP;

	if (!btf)
		return -errno;
	id = btf__find_by_name_kind(btf, type, BTF_KIND_ENUM64);
	if (id < 0)
		id = btf__find_by_name_kind(btf, type, BTF_KIND_ENUM);
	t = id < 0 ? NULL : btf__type_by_id(btf, id);
	for (unsigned int i = 0; t && i < btf_vlen(t); i++) {
		bool wide = btf_is_enum64(t);
		uint32_t at = wide ? btf_enum64(t)[i].name_off : btf_enum(t)[i].name_off;

		if (strcmp(btf__name_by_offset(btf, at), name))
			continue;
		*ret_value = wide ? btf_enum64_value(&btf_enum64(t)[i]) :
				    (uint64_t)btf_enum(t)[i].val;
		err = 0;
		break;
	}
	btf__free(btf);
	return err;
}

/* The place of the member is that of the object's own declaration, which its BTF has. */
int partial_set(const struct bpf_object *obj, struct bpf_map *ops)
{
	const struct btf *btf = bpf_object__btf(obj);
	int id = btf__find_by_name_kind(btf, "sched_ext_ops", BTF_KIND_STRUCT);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, id);
	size_t size = 0;
	char *data = bpf_map__initial_value(ops, &size);
	uint64_t partial = 0, flags;
	int err;

	err = kernel_enum("scx_ops_flags", "SCX_OPS_SWITCH_PARTIAL", &partial);
	if (err)
		return err;
	if (!t || !data || size < t->size)
		return -ENOENT;
	for (unsigned int i = 0; i < btf_vlen(t); i++) {
		if (strcmp(btf__name_by_offset(btf, btf_members(t)[i].name_off), "flags"))
			continue;
		data += btf_member_bit_offset(t, i) / 8;
		memcpy(&flags, data, sizeof(flags));
		flags |= partial;
		memcpy(data, &flags, sizeof(flags));
		return 0;
	}
	return -ENOENT;
}
