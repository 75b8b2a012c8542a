#!/bin/bash
# Build and test everything; the README's test command.
#
#   tests/run.sh [unit|e2e] ...	with no word: all
#
# Installs the packages it needs when it runs as root and they are missing,
# builds under build/, runs the unit, process and corpus tests on a sanitizer
# build, the end-to-end tests on the sanitizer build and on the release build,
# and closes with `N passed, N failed, N skipped`.
set -u
cd "$(dirname "$0")/.." || exit 1

PACKAGES="gcc clang-14 cmake ninja-build pkg-config libevent-dev libyajl-dev
libssl-dev libseccomp-dev libc-ares-dev libpsl-dev libidn2-dev libbsd-dev
libcurl4-openssl-dev libsqlite3-dev mmdebstrap check publicsuffix mandoc clang-format-14
iproute2 python3 curl wget git openssl procps libnftnl-dev libmnl-dev nftables
iptables"
# For the tests with real clients; they are skipped where it cannot be had.
CLIENTS="npm python3-pip"
# For the tests with containers. Whichever engine is there is taken.
ENGINE=docker.io

words="${*:-unit e2e}"
log=build/test.log
passed=0 failed=0 skipped=0

say()
{
	printf '== %s\n' "$*"
}

result()	# ok|not ok|skip, name
{
	case $1 in
	ok) passed=$((passed + 1)) ;;
	skip) skipped=$((skipped + 1)) ;;
	*) failed=$((failed + 1)) ;;
	esac
	printf '%s %s\n' "$1" "$2"
}

missing()	# package ...
{
	for p in "$@"; do
		dpkg-query -W -f='${Status}' "$p" 2>/dev/null |
		    grep -q '^install ok installed' || echo "$p"
	done
}

install_packages()
{
	command -v dpkg-query >/dev/null || return 0
	# shellcheck disable=SC2086
	need=$(missing $PACKAGES)
	for c in $CLIENTS; do
		command -v "${c#python3-}" >/dev/null || need="$need $c"
	done
	PATH=$PATH:/usr/sbin command -v dockerd >/dev/null ||
	    need="$need $ENGINE"
	[ -n "$need" ] || return 0
	if [ "$(id -u)" != 0 ]; then
		say "missing packages:" $need
		return 0
	fi
	say "installing" $need
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086
	{ apt-get update -q && apt-get install -y -q \
	    --no-install-recommends $need; } >build/apt.log 2>&1 ||
	    { tail -5 build/apt.log; exit 1; }
}

build()		# directory, cmake arguments ...
{
	dir=$1
	shift
	werror=
	[ "${CI:-}" != true ] || werror=-DCMAKE_COMPILE_WARNING_AS_ERROR=ON
	say "build $dir"
	if cmake -S . -B "$dir" -G Ninja $werror "$@" >"$dir.log" 2>&1 &&
	    cmake --build "$dir" >>"$dir.log" 2>&1; then
		result ok "build $dir"
		return 0
	fi
	grep -E 'error|warning|FAILED' "$dir.log" | head -40
	result "not ok" "build $dir (see $dir.log)"
	return 1
}

# Each test program is one result; ctest says which failed.
run_ctest()	# directory
{
	say "unit, process and corpus tests"
	ctest --test-dir "$1" --output-on-failure -j 2 >"$log" 2>&1
	while read -r verdict name; do
		result "${verdict/_/ }" "$name"
	done <<-EOF
	$(sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) \.+ *(\*\*\*)?(Passed|Failed|Skipped|Timeout|Exception|Not Run).*/\3 \1/p' "$log" |
	    sed -E 's/^Passed/ok/; s/^Skipped/skip/; s/^(Failed|Timeout|Exception|Not Run)/not_ok/')
	EOF
	grep -q 'tests passed, 0 tests failed' "$log" || tail -80 "$log"
}

# An end-to-end script prints `ok NAME`, `not ok NAME: why`, `skip NAME: why`.
run_e2e()	# name of the build, directory
{
	say "end to end on the $1 build"
	for script in tests/e2e/*_test.py tests/e2e/*_test.sh; do
		[ -e "$script" ] || continue
		base=$(basename "$script")
		out=build/e2e.$1.$base.log
		BUILD=$PWD/$2 timeout -k 10 600 "$script" >"$out" 2>&1
		status=$?
		while IFS= read -r line; do
			case $line in
			"ok "*) result ok "$1: $base: ${line#ok }" ;;
			"not ok "*) result "not ok" \
			    "$1: $base: ${line#not ok }" ;;
			"skip "*) result skip "$1: $base: ${line#skip }" ;;
			esac
		done <"$out"
		if [ $status != 0 ] && ! grep -q '^not ok ' "$out"; then
			tail -30 "$out"
			result "not ok" "$1: $base ended with status $status"
		fi
	done
}

# What only one system has, or an #if on its name, is for files named for it:
# the others have fd.h and compat/, or they would not compile on macOS.
run_platform()
{
	only='(accept4|pipe2|dup3|ppoll|fsync|fdatasync|close_range|prctl) *\([^2]'
	only="$only|SOCK_(CLOEXEC|NONBLOCK)|MSG_CMSG_CLOEXEC|MSG_NOSIGNAL *\)"
	only="$only|O_(PATH|TMPFILE)|SO_PEER(CRED|GROUPS)"
	only="$only|clock_gettime\(CLOCK_BOOTTIME"
	only="$only|include <(linux/|sys/(epoll|eventfd|prctl|random|signalfd)\.h)"
	only="$only|# *(if|elif).*__(linux|APPLE|OpenBSD|FreeBSD)"
	# Of <sys/tree.h> compat/ has no more than we use.
	only="$only|SPLAY_|RB_(ROOT|LEFT|RIGHT|MAX|PREV|NFIND|AUGMENT)"
	found=$(find libcommon egressd dispatchd agent-cli -name '*.[ch]' \
	    ! -path '*/compat/*' ! -name '*_linux*' ! -name '*_darwin*' \
	    ! -name '*_none.c' ! -name '*_splice.c' ! -name '*_copy.c' \
	    -exec grep -nE "(^|[^A-Za-z_])($only)" {} +)
	if [ -z "$found" ]; then
		result ok "platform"
	else
		printf '%s\n' "$found"
		result "not ok" "platform"
	fi
}

run_lint()
{
	say "manual pages and form"
	for page in */*.[1-8]; do
		if mandoc -Tlint -Wwarning "$page"; then
			result ok "mandoc $page"
		else
			result "not ok" "mandoc $page"
		fi
	done
	# shellcheck disable=SC2046
	if clang-format-14 --dry-run -Werror \
	    $(find libcommon egressd dispatchd agent-cli tests -name '*.[ch]'); then
		result ok "clang-format"
	else
		result "not ok" "clang-format"
	fi
}

mkdir -p build
install_packages

case " $words " in
*" unit "*)
	build build/san -DSANITIZE=address,undefined \
	    -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Debug &&
	    run_ctest build/san
	build build/clang -DCMAKE_C_COMPILER=clang-14
	run_lint
	run_platform
	;;
esac
case " $words " in
*" e2e "*)
	if [ ! -x build/san/egressd/egressd ]; then
		build build/san -DSANITIZE=address,undefined \
		    -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Debug
	fi
	build build/release -DCMAKE_C_COMPILER=gcc -DBUILD_TESTING=OFF
	run_e2e sanitizer build/san
	run_e2e release build/release
	;;
esac

printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
