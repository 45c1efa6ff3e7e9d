# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The kernel's own selftests of VFIO and iommufd, from Debian's package
# linux-source-7.2 of trixie-backports. Source it.
#
# selftests_source: fetch (or find in the cache) and unpack what they need; sets SELFTESTS, a
# part of the kernel's tree, unmodified. The network is needed only the first time; what is kept is
# checked against the sums noted when apt fetched and verified the package.
# selftests_build OUT INCLUDE: compile those of VFIO into OUT, with INCLUDE before each file.
# selftests_build_iommu OUT [LDFLAGS]: compile those of iommufd into OUT, as they are.
# selftests_version: the kernel they are of, as 7.2.12.

selftests_series=7.2
selftests_cache=${VIADUCT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/viaduct}/selftests

# An apt of its own, with the mirror that the system's has: its lists and sources stay as they are.
selftests_fetch() {
	local dir=$1 mirror apt
	mirror=$(sed -n 's/^URIs: *\(.*debian\)\/*$/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*debian\)\/* .*/\2/p' \
		/etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
	[ -n "$mirror" ] || { echo "no Debian mirror in apt's sources" >&2; return 1; }
	mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie-backports main" >"$dir/apt/sources.list"
	apt=(-qq -o "Dir::Etc::SourceList=$dir/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$dir/apt/lists"
		-o "Dir::Cache=$dir/apt/cache" -o APT::Sandbox::User=root -o APT::Get::List-Cleanup=0)
	echo "Fetching linux-source-$selftests_series (about 165 MB) into $selftests_cache" >&2
	apt-get "${apt[@]}" update >"$dir/log" 2>&1 &&
		(cd "$dir" && apt-get "${apt[@]}" download "linux-source-$selftests_series" >>"$dir/log" 2>&1) ||
		{ cat "$dir/log" >&2; return 1; }
}

# The tests, what they include, and what makes the headers that a user program sees.
selftests_unpack() {
	local dir=$1 name=linux-source-$selftests_series path paths=()
	for path in Makefile Kbuild scripts include/uapi include/asm-generic include/linux/pci_ids.h \
		arch/x86/Makefile arch/x86/include/uapi arch/x86/include/asm/Kbuild arch/x86/entry/syscalls \
		drivers/dma/ioat/hw.h drivers/dma/ioat/registers.h drivers/dma/idxd/registers.h \
		tools/include tools/arch/x86/include tools/testing/selftests/lib.mk 'tools/testing/selftests/*.h' \
		tools/testing/selftests/vfio tools/testing/selftests/iommu drivers/iommu/iommufd/iommufd_test.h; do
		paths+=("$name/$path")
	done
	mkdir "$dir/tree"
	dpkg-deb --fsys-tarfile "$dir"/linux-source-*.deb | tar -xO "./usr/src/$name.tar.xz" |
		tar -xJ -C "$dir/tree" --strip-components=1 --wildcards --no-wildcards-match-slash "${paths[@]}" &&
		env -u MAKEFLAGS make -s -C "$dir/tree" headers >"$dir/log" 2>&1 || { cat "$dir/log" >&2; return 1; }
	(cd "$dir" && find tree -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum >SHA256SUMS)
}

selftests_source() {
	SELFTESTS=$selftests_cache/tree
	(cd "$selftests_cache" 2>/dev/null && [ -d tree/tools/testing/selftests/iommu ] && sha256sum --status -c SHA256SUMS 2>/dev/null) && return 0
	rm -rf "$selftests_cache" "$selftests_cache.part"
	mkdir -p "$selftests_cache.part"
	selftests_fetch "$selftests_cache.part" && selftests_unpack "$selftests_cache.part" || return 1
	rm -rf "$selftests_cache.part"/{apt,log,*.deb}
	mv "$selftests_cache.part" "$selftests_cache"
}

selftests_build() {
	local out=$1 flags="-include $2" vfio=$SELFTESTS/tools/testing/selftests/vfio
	mkdir -p "$out"
	! grep -rqw calloc_assert "$vfio/lib/include" || flags="$flags -DHAVE_CALLOC_ASSERT"
	env -u MAKEFLAGS make -s -C "$vfio" OUTPUT="$out" KHDR_INCLUDES="-isystem $SELFTESTS/usr/include" EXTRA_CFLAGS="$flags"
}

selftests_build_iommu() {
	mkdir -p "$1"
	env -u MAKEFLAGS make -s -C "$SELFTESTS/tools/testing/selftests/iommu" OUTPUT="$1" KHDR_INCLUDES="-isystem $SELFTESTS/usr/include" LDFLAGS="${2:-}" "$1/iommufd"
}

selftests_version() {
	sed -n 's/^VERSION = //p; s/^PATCHLEVEL = /./p; s/^SUBLEVEL = /./p' "$SELFTESTS/Makefile" | tr -d '\n'
}
