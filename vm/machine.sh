# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The machine of the VM: initramfs, accelerator, QEMU's arguments, snapshots.
# In:  the variables set by vm/run (vm, kernel, cpus, mem, ...). Out: files under
#      build/vm and the array "machine", the part of QEMU's command line that a
#      snapshot and its restore share.
# Called by: vm/run, which sources it.

# These come from vm/run; naming them here keeps shellcheck and readers sure.
: "${me:?}" "${here:?}" "${vm:?}" "${build:?}" "${kernel:?}" "${qemu:?}"
: "${mem:?}" "${cpus:?}" "${nodes:?}" "${icount:?}"

# A cheap identity of a program: its path, size and date.
stamp() {
	stat -L -c '%n %s %Y' "$1"
}

short_hash() {
	sha256sum | cut -c1-16
}

# ---- initramfs: init and the modules of this kernel -------------------------

compiler() {
	local cc
	for cc in cc gcc clang; do
		command -v "$cc" && return 0
	done
	fail "no C compiler to build vm/init.c with; install gcc and libc6-dev"
}

# Sets initrd. The name holds the hash of all inputs, so an existing file is right,
# and a new one appears by rename: no lock needed.
make_initrd() {
	local key dir cc
	key=$({ cat "$here/init.c" "$kernel/modules.list"; } | short_hash)
	initrd=$kernel/initrd-$key.cpio
	[[ -s $initrd ]] && return 0

	command -v cpio >/dev/null || fail "needs cpio to pack the VM's start-up files; install cpio"
	cc=$(compiler) || exit 125
	dir=$(mktemp -d "$vm/initrd.XXXXXX") || exit 125
	mkdir "$dir"/{proc,dev,sys,lib,host,written,new,kept}
	"$cc" -O2 -static -pthread -o "$dir/init" "$here/init.c" 2>"$dir.err" ||
		fail "cannot build vm/init.c: $(head -n 3 "$dir.err"); is the static C library (libc6-dev) installed?"
	cp "$kernel"/*.ko "$kernel/modules.list" "$dir/lib/"
	# dev/console must be there before init can print, but needs root to make;
	# the kernel's built-in initramfs has it.
	(cd "$dir" && find . ! -name . | LC_ALL=C sort |
		cpio -o -H newc --quiet --reproducible -R 0:0) >"$dir.cpio" ||
		fail "cannot pack $initrd; check the free space of $vm"
	# Another run may be starting from an older one: only old ones go.
	find "$kernel" -name 'initrd-*.cpio' -mmin +60 -delete
	mv "$dir.cpio" "$initrd"
	rm -rf "$dir" "$dir.err"
}

# The uncompressed image boots a second faster; vm/kernel may lack the tool for it.
kernel_image() {
	if [[ -s $kernel/vmlinux ]]; then
		echo "$kernel/vmlinux"
	else
		echo "$kernel/vmlinuz"
	fi
}

# ---- accelerator ------------------------------------------------------------

# /dev/kvm may exist and still not run an unmodified guest (nested machines), so
# boot the real kernel once and see.
kvm_works() {
	local dir pid ok=1
	[[ -r /dev/kvm && -w /dev/kvm ]] || return 1
	say "trying whether KVM works here (once, 15 s at most)"
	dir=$(mktemp -d "$vm/probe.XXXXXX") || return 1
	timeout -k 1 15 "$qemu" -accel kvm -cpu host -smp 2 -m 256M \
		-nodefaults -no-user-config -display none -no-reboot \
		-kernel "$(kernel_image)" -initrd "$initrd" \
		-append "console=ttyS0 panic=-1 quiet vm.probe=1" \
		-serial "file:$dir/console" </dev/null >"$dir/err" 2>&1 &
	pid=$!
	# QEMU does not exit on this error; it stops the guest and waits.
	while kill -0 "$pid" 2>/dev/null; do
		grep -q 'KVM internal error' "$dir/err" && kill "$pid" 2>/dev/null
		sleep 0.05
	done
	wait "$pid" 2>/dev/null
	grep -q 'vm/init: probe ok' "$dir/console" 2>/dev/null || ok=0
	rm -rf "$dir"
	[[ $ok = 1 ]]
}

# Sets accel to kvm or tcg. The answer is kept for this QEMU, guest kernel, host
# kernel and host CPU: a build folder may be carried to another machine.
find_accel() {
	local key file access=no
	[[ -r /dev/kvm && -w /dev/kvm ]] && access=yes
	key=$({ stamp "$qemu"; cat "$kernel/id"; uname -r; echo "$access"
		grep -m1 '^model name' /proc/cpuinfo; } | short_hash)
	file=$vm/accel-$key
	if [[ ! -s $file ]]; then
		accel=tcg
		kvm_works 2>/dev/null && accel=kvm
		echo "$accel" >"$file.$$" && mv "$file.$$" "$file"
	fi
	accel=$(<"$file")
}

# ---- QEMU's arguments ---------------------------------------------------------

# Sets machine (array) and snapshot_ok. Everything here must be the same when a
# snapshot is made and when it is used; what differs per run goes to run_qemu.
make_machine() {
	local boot node
	# loglevel=5: warnings reach the serial console, the only log a dying
	# kernel still writes. devkmsg=on: no rate limit, init's marker must
	# arrive. tsc=reliable, no_timer_check: one host clock feeds all virtual
	# CPUs. panic=-1 with -no-reboot: a panic ends QEMU at once. The
	# self-tests of cryptography are a fifth of a boot under TCG.
	boot="console=ttyS0 loglevel=5 panic=-1 printk.devkmsg=on"
	boot+=" cryptomgr.notests"
	boot+=" mitigations=off tsc=reliable no_timer_check"
	snapshot_ok=1
	if [[ $icount = 1 ]]; then
		# One guest instruction is one virtual ns, idle time is skipped.
		machine=(-accel tcg -cpu "max,vendor=GenuineIntel"
			-icount "shift=0,sleep=off"
			-rtc "base=2026-01-01,clock=vm" -seed 1)
		boot+=" nokaslr"
	elif find_accel && [[ $accel = kvm ]]; then
		machine=(-accel kvm -cpu host)
		# Untried with KVM, and KVM boots in a second anyway.
		# shellcheck disable=SC2034 # read by vm/run
		snapshot_ok=0
	else
		# thread=single: with one host thread per CPU, QEMU races with
		# the kernel's live code patching, which loading a sched_ext
		# scheduler does; the guest then dies of "Oops: int3".
		# GenuineIntel: with it QEMU reports caches per die.
		machine=(-accel "tcg,thread=single"
			-cpu "max,vendor=GenuineIntel")
	fi
	machine+=(-smp "$cpus${smp_shape:+,$smp_shape}" -m "${mem}M"
		-nodefaults -no-user-config -display none -no-reboot
		-kernel "$(kernel_image)" -initrd "$initrd"
		-append "$boot${append:+ $append}")
	if ((nodes > 1)); then
		for ((node = 0; node < nodes; node++)); do
			machine+=(-object "memory-backend-ram,id=mem$node,size=$((mem / nodes))M"
				-numa "node,nodeid=$node,memdev=mem$node,cpus=$((node * cpus / nodes))-$(((node + 1) * cpus / nodes - 1))")
		done
	fi
}

# Runs QEMU in place of this (sub)shell. $1: run folder; the rest: the character
# devices in, out, err and tty, and run-specific arguments.
run_qemu() {
	local dir=$1
	shift
	# If vm/run is killed the hard way, QEMU must not stay behind.
	exec setpriv --pdeathsig KILL -- "$qemu" "${machine[@]}" \
		-chardev "file,id=console,path=$dir/console.log" \
		-serial chardev:console \
		-fsdev "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap" \
		-device virtio-9p-pci,fsdev=root,mount_tag=hostroot \
		-fsdev "local,id=build,path=$build,security_model=none,multidevs=remap" \
		-device virtio-9p-pci,fsdev=build,mount_tag=build \
		-device virtio-serial-pci,max_ports=8 \
		-chardev "file,id=ctl,path=$dir/ctl" \
		-device virtserialport,chardev=ctl,name=vm.ctl \
		-chardev "pipe,id=go,path=$dir/go" \
		-device virtserialport,chardev=go,name=vm.go \
		-chardev "file,id=log,path=$dir/kernel.log" \
		-device virtserialport,chardev=log,name=vm.log \
		-device virtserialport,chardev=in,name=vm.in \
		-device virtserialport,chardev=out,name=vm.out \
		-device virtserialport,chardev=err,name=vm.err \
		-device virtconsole,chardev=tty \
		"$@"
}

# ---- snapshots ------------------------------------------------------------------

# Sets snapshot to the file for this machine.
name_snapshot() {
	local key
	key=$({ stamp "$qemu"; cat "$kernel/id" "$here/machine.sh"; printf '%s\n' "${machine[@]}"
		} | short_hash)
	snapshot=$vm/snapshot-$key
}

# The oldest go until the rest is below 800 MiB (1 GiB with two kernels). A file used in the last minute
# stays: a VM may be reading it.
prune_snapshots() {
	local file size total=0
	while read -r size file; do
		total=$((total + size))
		((total > 800 << 20)) && find "$file" -mmin +1 -delete
	done < <(find "$vm" -maxdepth 1 -name 'snapshot-*' -printf '%T@ %s %p\n' |
		sort -rn | cut -d' ' -f2-)
}

# Boots the machine up to init's snapshot point and saves it. $1: scratch folder.
save_snapshot() {
	local dir=$1 pid monitor keep go i done=0
	mkdir -p "$dir"
	mkfifo "$dir/go.in" "$dir/go.out" "$dir/mon.in" "$dir/mon.out"
	cat "$dir/mon.out" >"$dir/mon.log" &
	keep=$!
	run_qemu "$dir" -chardev null,id=in -chardev null,id=out \
		-chardev null,id=err -chardev null,id=tty \
		-chardev "pipe,id=mon,path=$dir/mon" -mon chardev=mon \
		</dev/null >/dev/null 2>"$dir/qemu.err" 7>&- &
	pid=$!
	exec {go}<>"$dir/go.in" {monitor}<>"$dir/mon.in"
	for ((i = 0; i < 2400 && done == 0; i++)); do
		grep -qs '^ready' "$dir/ctl" && done=1
		kill -0 "$pid" 2>/dev/null || break
		((done)) || sleep 0.05
	done
	if ((done)); then
		# Let init reach its wait for the host's word.
		sleep 0.2
		printf '%s\n' 'migrate_set_parameter max-bandwidth 100G' \
			"migrate \"exec:cat > '$snapshot.tmp'\"" \
			'info migrate' quit >&"$monitor"
	else
		kill "$pid" 2>/dev/null
	fi
	wait "$pid"
	exec {go}>&- {monitor}>&-
	kill "$keep" 2>/dev/null
	wait "$keep" 2>/dev/null
	if grep -q 'status: completed' "$dir/mon.log"; then
		mv "$snapshot.tmp" "$snapshot"
	else
		rm -f "$snapshot.tmp"
	fi
}

# One maker at a time; the second finds the first one's file. Failing to make a
# snapshot only costs time: the run then boots afresh.
make_snapshot() {
	local dir=$1
	[[ -s $snapshot ]] && return 0
	# In the background, so that Ctrl-C is served at once.
	(
		flock 7
		[[ -s $snapshot ]] && exit 0
		say "first start of this machine: booting it once to make a snapshot"
		save_snapshot "$dir/snapshot"
		prune_snapshots
	) 7>"$vm/snapshot.lock" &
	pids+=($!)
	wait $!
	pids=()
	[[ -s $snapshot ]] && return 0
	say "could not make a snapshot, starting cold;" \
		"$(cat "$dir/snapshot/qemu.err" "$dir/snapshot/mon.log" 2>/dev/null | grep -m1 -i error)"
	return 1
}
