# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The kernel's dmatest module, which Debian's kernel package leaves out: built
# from Debian's source package against Debian's headers for the very kernel that
# kernel.sh has unpacked. Source this after kernel.sh.
#
# guest_dmatest: after guest_kernel; sets DMATEST (the module). The network is needed
# only the first time; what is kept is checked against the sums noted then.

dmatest_cache=$(dirname "$guest_cache")/dmatest

# dmatest_build DIR RELEASE VERSION: fetch, unpack, compile; leaves dmatest.c and dmatest.ko in DIR.
dmatest_build() {
	local dir=$1 release=$2 version=$3 series arch tree
	series=$(echo "$release" | cut -d. -f1,2)
	arch=${release##*-}
	echo "Fetching kernel headers and linux-source-$series (about 150 MB) for dmatest" >&2
	(cd "$dir" && apt-get -qq -o APT::Sandbox::User=root download "linux-headers-$release=$version" \
		"linux-headers-${release%-"$arch"}-common=$version" "linux-kbuild-$series" "linux-source-$series=$version" >/dev/null) || return 1
	tree=$dir/tree
	mkdir "$tree" "$dir/module"
	for deb in "$dir"/linux-headers-*.deb "$dir"/linux-kbuild-*.deb; do dpkg-deb -x "$deb" "$tree" || return 1; done
	# The one absolute path of an installation.
	echo "include $tree/usr/src/linux-headers-${release%-"$arch"}-common/Makefile" >"$tree/usr/src/linux-headers-$release/Makefile"
	dpkg-deb --fsys-tarfile "$dir"/linux-source-*.deb | tar -xO "./usr/src/linux-source-$series.tar.xz" |
		tar -xJO "linux-source-$series/drivers/dma/dmatest.c" >"$dir/module/dmatest.c" || return 1
	echo "obj-m := dmatest.o" >"$dir/module/Makefile"
	env -u MAKEFLAGS make -s -C "$tree/usr/src/linux-headers-$release" M="$dir/module" modules >"$dir/log" 2>&1 || { cat "$dir/log" >&2; return 1; }
	strip -g "$dir/module/dmatest.ko"
	mv "$dir/module/dmatest.c" "$dir/module/dmatest.ko" "$dir/"
	rm -rf "$tree" "$dir/module" "$dir"/*.deb "$dir/log"
}

guest_dmatest() {
	local release version part
	release=$(ls "$MODULES/lib/modules")
	version=$(dpkg-deb -f "$guest_cache"/linux-image-*.deb Version)
	DMATEST=$dmatest_cache/$version/dmatest.ko
	(cd "$dmatest_cache/$version" 2>/dev/null && sha256sum --status -c SHA256SUMS 2>/dev/null) && return 0
	if ! apt-cache show "linux-headers-$release=$version" >/dev/null 2>&1; then
		echo "The archive has no headers for $release $version (any more): fetching the kernel anew" >&2
		rm -rf "$guest_cache"
		guest_kernel || return 1
		release=$(ls "$MODULES/lib/modules")
		version=$(dpkg-deb -f "$guest_cache"/linux-image-*.deb Version)
		DMATEST=$dmatest_cache/$version/dmatest.ko
	fi
	part=$dmatest_cache/part
	rm -rf "$dmatest_cache"
	mkdir -p "$part"
	dmatest_build "$part" "$release" "$version" || return 1
	(cd "$part" && sha256sum dmatest.c dmatest.ko >SHA256SUMS) || return 1
	mv "$part" "$dmatest_cache/$version"
}
