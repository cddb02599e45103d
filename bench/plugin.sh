# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# plugin_build SOURCE OUTPUT: a plugin for the QEMU at hand (bench/plugin.h). Fails with
# a sentence. Sourced by bench/profile and bench/faults, in the project's root.

plugin_build() {
	local major
	major=$(qemu-system-x86_64 --version | sed -nE 's/.*version ([0-9]+)\..*/\1/p')
	[ -n "$major" ] || { echo 'cannot run qemu-system-x86_64' >&2; return 1; }
	# Up to version 8 QEMU speaks version 1 of the interface, since then from 2 on.
	cc -O2 -fPIC -shared -fvisibility=hidden -I. -DPLUGIN_VERSION=$((major < 9 ? 1 : 3)) -o "$2" "$1" ||
		{ echo "cannot build $1" >&2; return 1; }
}
