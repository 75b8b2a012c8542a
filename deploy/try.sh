#!/bin/bash
# Try Bulkhead: build it, start all of it privately, have a scripted
# demonstration run behind its wall, show what became of that, and take
# everything down again. On Debian 12, as root; no other preparation.
#
#   deploy/try.sh [--keep] [--work DIR] [--build DIR] [--rootfs TAR]
#   deploy/try.sh --down [--work DIR]
#   deploy/try.sh --help
#
#   --keep         leave everything up behind the demonstration, and print how
#                  to go on by hand
#   --down         take down what --keep left, or what a try that was killed
#                  left; what is not there is no error
#   --work DIR     where all that it makes lies (default: /tmp/bulkhead-try)
#   --build DIR    take the programs of this build instead of building
#   --rootfs TAR   take this root file system, as deploy/image/build.sh -o
#                  writes it, instead of making one
#
# Missing Debian packages are installed, and stay. A running engine behind
# /run/docker.sock is used; where none answers, one is started with its data in
# DIR, and stopped. All else has names of its own (users, namespace and table
# bhtry, interfaces ty-), so that it stands beside an installed Bulkhead, and
# is removed at the end, also when the script is interrupted. When a step fails
# the logs stay, in DIR/log.
#
# It exits 0 if each step showed what it must, 1 if one did not or it may not
# begin, 2 when the command line is wrong, and 129, 130 or 143 when it was
# interrupted.
set -u
export LC_ALL=C PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin
unset DOCKER_HOST DOCKER_CONTEXT BULKHEAD_RUN_DIR CDPATH
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
umask 022

top=$(cd "$(dirname "$0")/.." && pwd)
parts=$top/deploy/try
work=/tmp/bulkhead-try
mode=run build='' rootfs=''

usage()
{
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
}

while [ $# -gt 0 ]; do
	case $1 in
	--keep) mode=keep ;;
	--down) mode=down ;;
	--work | --build | --rootfs)
		[ $# -gt 1 ] || { usage >&2; exit 2; }
		printf -v "${1#--}" %s "$2"
		shift ;;
	--work=* | --build=* | --rootfs=*)
		name=${1%%=*}
		printf -v "${name#--}" %s "${1#*=}" ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done

# shellcheck source=deploy/try/lib.sh
. "$parts/lib.sh"
# shellcheck source=deploy/try/down.sh
. "$parts/down.sh"
# shellcheck source=deploy/try/up.sh
. "$parts/up.sh"
# shellcheck source=deploy/try/demo.sh
. "$parts/demo.sh"

[ "$(id -u)" = 0 ] || refuse "needs root: it makes users, a network namespace \
and packet rules, and talks to the container engine"
[ "$(uname -s)" = Linux ] || refuse "needs Linux"
check_paths

if [ "$mode" = down ]; then
	open_work
	trap '' HUP INT TERM
	step down take_down
	last_line
	exit
fi

make_work
trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

step packages install_packages
step build build_programs
step users make_users
step engine start_engine
step image make_image
step network make_network
step site start_site
step egressd start_egressd
step dispatchd start_dispatchd
step run run_demo
timeline
step fetch fetch_branch
step records verify_records
