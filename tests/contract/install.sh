#!/bin/bash
# SPDX-License-Identifier: MIT
# install.sh BUILD SOURCE: what `make install` puts somewhere works from there,
# with nothing of the build tree or the source tree in reach.
set -u
build=$1
source=$2
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
n=0 bad=0
check() { # what, command...
	local what=$1 out
	shift
	n=$((n + 1))
	if out=$("$@" 2>&1); then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		printf '%s\n' "$out" | sed 's/^/# /'
		bad=1
	fi
}
skip() { # what, why
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

DESTDIR=$tree meson install -C "$build" --no-rebuild --quiet >/dev/null || { echo "Bail out! meson install"; exit 1; }
bin=$(find "$tree" -path '*/bin/viaduct')
prefix=${bin%/bin/viaduct}
pc=$(find "$tree" -name viaduct.pc)
lib=$(dirname "$(dirname "$pc")")
cd "$tree" || exit 1

completes() {
	bash -euc '
		. "$1"
		complete -p viaduct
		COMP_WORDS=(viaduct ru) COMP_CWORD=1 COMP_LINE="viaduct ru" COMP_POINT=10
		f=$(complete -p viaduct | sed -n "s/.*-F \([^ ]*\).*/\1/p")
		"$f" viaduct ru viaduct || :
		[ "${COMPREPLY[*]}" = "run" ]' - "$prefix/share/bash-completion/completions/viaduct"
}
manual() {
	local page found=0
	for page in "$prefix"/share/man/man1/*.1; do
		# scdoc writes empty paragraphs.
		! mandoc -T lint -W warning "$page" | grep -v 'skipping paragraph macro' || return 1
		found=$((found + 1))
	done
	[ $found -ge 3 ]
}
pkgconf() {
	PKG_CONFIG_LIBDIR=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$tree pkg-config "$@" viaduct
}
program() { # the example, as somebody else would build it
	cat >main.c <<-'END'
		#include <viaduct/device.h>
		#include <stdio.h>
		int mailbox_new(struct via_error *err, struct via_device **ret_device);
		int main(void)
		{
			struct via_device *device = 0;
			int r = mailbox_new(0, &device);

			if (!r)
				via_device_free(device);
			return r != 0;
		}
	END
	# shellcheck disable=SC2046 # flags are words
	cc -std=c17 -Wall -Wextra -Werror -Wno-unused-parameter -o program main.c "$source/examples/device-model.c" \
		$(pkgconf --cflags --libs) && LD_LIBRARY_PATH=$lib ./program
}
uses_shim() { # by what the shim makes visible
	"$bin" run --device edu -- sh -c 'test -e /dev/vfio/vfio && ls /sys/bus/pci/devices' | grep -q :
}
only_ours() { # that others compile with
	! grep -rlF -e "$build" -e "$source" "$prefix"/include "$lib/pkgconfig"
}

check "lists its models" "$bin" list
check "finds its shim" uses_shim
check "the pkg-config file builds the example" program
check "the shim's directory is told" test -d "$tree$(PKG_CONFIG_LIBDIR=$lib/pkgconfig pkg-config --variable=preloaddir viaduct)"
check "names no build or source tree" only_ours
check "bash completion" completes
if command -v mandoc >/dev/null && command -v scdoc >/dev/null; then
	check "manual pages" manual
else
	skip "manual pages" "no mandoc or scdoc"
fi
echo "1..$n"
exit $bad
