#!/bin/bash
# Make the small agent image from Debian packages and import it into the
# container engine: git, ca-certificates, curl, a shell, and agent-cli as PID 1;
# user agent (1000), nothing that changes while a run goes on.
#
#   deploy/image/build.sh [-a AGENT_CLI] [-H SOCKET] [-o TAR] [-p PACKAGES]
#                         [-t NAME:TAG]
#   deploy/image/build.sh -i TAR [-H SOCKET] [-t NAME:TAG]
#
#   -a  the static agent-cli (default: the newest of build/*/agent-cli/)
#   -H  the engine's socket (default: /run/docker.sock)
#   -i  import the root file system of TAR and make none
#   -o  write the root file system to TAR and import nothing
#   -p  further packages, with commas between them
#   -t  the image's name (default: bulkhead-agent:1)
#
# Needs root and mmdebstrap; the packages come from where this machine's apt
# takes its own, or from Debian. SUITE names another release than bookworm. The
# same packages, agent-cli and SOURCE_DATE_EPOCH (default: the time of the last
# commit) make the same file, byte for byte.
set -eu
export LC_ALL=C PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin
unset DOCKER_HOST DOCKER_CONTEXT

agent='' socket=/run/docker.sock in='' out='' packages='' tag=bulkhead-agent:1
suite=${SUITE:-bookworm}
here=$(cd "$(dirname "$0")/../.." && pwd)

usage()
{
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
}

fail()
{
	echo "build.sh: $*" >&2
	exit 1
}

engine()
{
	docker -H "unix://$socket" "$@"
}

# The newest: an old build may be one of another version.
find_agent()
{
	local f

	for f in "$here"/build/*/agent-cli/agent-cli-static; do
		[ ! -x "$f" ] || [ "$f" -ot "${agent:-/}" ] || agent=$f
	done
	[ -n "$agent" ] ||
	    fail "no static agent-cli in build/*: build it, or name it by -a"
}

check_agent()
{
	if [ ! -f "$agent" ] || [ ! -x "$agent" ]; then
		fail "$agent is no program: -a names the static agent-cli"
	fi
	! ldd "$agent" 2>/dev/null | grep -q '=>' ||
	    fail "$agent is not static: build the target agent-cli-static"
	"$agent" --version >/dev/null || fail "$agent does not run here"
	agent=$(readlink -f "$agent")
}

check_engine()
{
	command -v docker >/dev/null || fail "docker is missing: install docker.io"
	[ -S "$socket" ] || fail "no engine at $socket: start it, or name its \
socket by -H"
	engine version >/dev/null 2>&1 || fail "no engine answers at $socket"
}

make_root()	# tar
{
	if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
		SOURCE_DATE_EPOCH=$(git -c safe.directory='*' -C "$here" \
		    log -1 --format=%ct 2>/dev/null ||
		    stat -c %Y "$here/CMakeLists.txt")
	fi
	export SOURCE_DATE_EPOCH AGENT=$agent
	# What apt and dpkg note down about the making of it is not kept.
	# shellcheck disable=SC2016	# the hooks' shell expands these
	mmdebstrap --quiet --mode=root --variant=essential --format=tar \
	    --include="git,ca-certificates,curl$packages" \
	    --dpkgopt='path-exclude=/usr/share/doc/*' \
	    --dpkgopt='path-exclude=/usr/share/man/*' \
	    --dpkgopt='path-exclude=/usr/share/locale/*' \
	    --customize-hook='install -m 0755 "$AGENT" "$1/usr/bin/agent-cli"' \
	    --customize-hook='mkdir -p "$1/home/agent" "$1/run/bulkhead"' \
	    --customize-hook='echo agent:x:1000:1000:agent:/home/agent:/bin/sh >>"$1/etc/passwd"' \
	    --customize-hook='echo agent:x:1000: >>"$1/etc/group"' \
	    --customize-hook='chown 1000:1000 "$1/home/agent"' \
	    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/cache/debconf/*-old "$1"/var/cache/ldconfig/* "$1"/var/lib/dpkg/*-old "$1"/var/log/*.log "$1"/var/log/apt/*' \
	    "$suite" "$1" >&2 || fail "mmdebstrap failed"
}

while getopts a:H:i:o:p:t:h opt; do
	case $opt in
	a) agent=$OPTARG ;;
	H) socket=${OPTARG#unix://} ;;
	i) in=$OPTARG ;;
	o) out=$OPTARG ;;
	p) packages=,$OPTARG ;;
	t) tag=$OPTARG ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
if [ $# != 0 ] || { [ -n "$in" ] && [ -n "$out$packages$agent" ]; }; then
	usage >&2
	exit 2
fi

# Whatever can be told at once is told before the long part.
[ "$(id -u)" = 0 ] || fail "needs root"
[ -n "$out" ] || check_engine
if [ -z "$in" ]; then
	command -v mmdebstrap >/dev/null ||
	    fail "mmdebstrap is missing: install it"
	[ -n "$agent" ] || find_agent
	check_agent
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	trap 'exit 1' HUP INT TERM
	make_root "$dir/root.tar"
	if [ -n "$out" ]; then
		mv "$dir/root.tar" "$out"
		echo "$out: $(stat -c %s "$out" | numfmt --to=iec), $SECONDS s"
		exit 0
	fi
	in=$dir/root.tar
fi
[ -f "$in" ] || fail "$in: there is no such file"
id=$(engine import --change 'USER 1000:1000' --change 'ENV AGENT_SANDBOX=1' \
    --change 'WORKDIR /home/agent' "$in" "$tag") || fail "the engine refused it"
size=$(engine image inspect --format '{{.Size}}' "$tag" | numfmt --to=iec)
id=${id#sha256:}
echo "$tag: ${id:0:12}, $size, $SECONDS s"
