# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Debian's own kernel package, unpacked, not installed. Source it.
#
# guest_kernel: fetch (or find in the cache) and unpack; sets KERNEL (the
# bzImage) and MODULES (a directory with lib/modules). Needs the network only
# the first time; the package is checked against the sum noted when apt
# fetched and verified it.
# guest_initrd OUT INIT "MODULE..." [FILE=PATH...]: a busybox image.

guest_cache=${VIADUCT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/viaduct}/kernel

guest_fetch() {
	local package
	package=$(apt-cache depends linux-image-amd64 2>/dev/null |
		sed -n 's/.*Depends: \(linux-image-[0-9].*-amd64\)$/\1/p' | head -n 1)
	[ -n "$package" ] || { # a machine whose package lists were never fetched
		if [ "$(id -u)" = 0 ]; then apt-get -qq update; else sudo apt-get -qq update; fi
		package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*-amd64\)$/\1/p' | head -n 1)
	}
	[ -n "$package" ] || { echo "no linux-image-amd64 in the package lists; run apt-get update" >&2; return 1; }
	echo "Fetching $package (about 70 MB) into $guest_cache" >&2
	rm -rf "$guest_cache/part"
	mkdir -p "$guest_cache/part"
	(cd "$guest_cache/part" && apt-get -qq -o APT::Sandbox::User=root download "$package" >/dev/null) || return 1
	mv "$guest_cache/part"/linux-image-*.deb "$guest_cache/" && rmdir "$guest_cache/part"
	(cd "$guest_cache" && sha256sum -- linux-image-*.deb >SHA256SUMS)
}

guest_kernel() {
	local deb version
	if ! (cd "$guest_cache" 2>/dev/null && sha256sum --status -c SHA256SUMS 2>/dev/null); then
		rm -rf "$guest_cache"
		guest_fetch || return 1
	fi
	deb=$(cd "$guest_cache" && ls linux-image-*.deb)
	if [ ! -f "$guest_cache/tree/complete" ]; then
		rm -rf "$guest_cache/tree"
		mkdir -p "$guest_cache/tree"
		dpkg-deb --fsys-tarfile "$guest_cache/$deb" |
			tar -x -C "$guest_cache/tree" --wildcards './boot/vmlinuz-*' './lib/modules/*' || return 1
		version=$(ls "$guest_cache/tree/lib/modules")
		depmod -b "$guest_cache/tree" "$version" || return 1
		chmod -R a+rX "$guest_cache/tree"
		: >"$guest_cache/tree/complete"
	fi
	MODULES=$guest_cache/tree
	KERNEL=$(ls "$MODULES"/boot/vmlinuz-*)
}

guest_initrd() {
	local out=$1 init=$2 modules=$3 dir version module path name
	shift 3
	version=$(ls "$MODULES/lib/modules")
	dir=$(mktemp -d "${TMPDIR:-/tmp}/viaduct-initrd.XXXXXX")
	mkdir -p "$dir"/{bin,dev,proc,sys,tmp,mnt,mod}
	cp /bin/busybox "$dir/bin/busybox"
	ln -s busybox "$dir/bin/sh"
	: >"$dir/mod/order"
	for module in $modules; do
		# insmod lines, dependencies first; "builtin" lines need nothing
		/sbin/modprobe -d "$MODULES" -S "$version" --show-depends "$module" |
			sed -n 's/^insmod \([^ ]*\).*/\1/p' | while read -r path; do
			name=$(basename "$path" .ko)
			name=${name%.ko.xz}
			grep -qx "$name" "$dir/mod/order" && continue
			case $path in
			*.xz) xz -dc "$path" >"$dir/mod/$name.ko" ;;
			*) cp "$path" "$dir/mod/$name.ko" ;;
			esac
			echo "$name" >>"$dir/mod/order"
		done
	done
	install -m 755 "$init" "$dir/init"
	for path; do install -D -m 755 "${path%%=*}" "$dir/${path#*=}"; done
	(cd "$dir" && find . -print0 | LC_ALL=C sort -z | cpio -0 -o -H newc --quiet -R 0:0) >"$out"
	rm -rf "$dir"
}

# What makes a stock kernel start fast under software emulation.
GUEST_APPEND="console=ttyS0 quiet panic=-1 mitigations=off no_timer_check tsc=reliable cryptomgr.notests nokaslr"
GUEST_QEMU="-accel tcg,thread=multi -machine q35 -cpu qemu64 -nodefaults -display none -no-reboot"
