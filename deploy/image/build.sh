#!/bin/bash
# Make the small agent image from Debian packages and import it into the
# container engine: git, ca-certificates, curl, a shell, and agent-cli as PID 1;
# user agent (1000), nothing that changes while a run goes on.
#
#   deploy/image/build.sh [-a AGENT_CLI] [-H SOCKET] [-o TAR] [-p PACKAGES]
#                         [-t NAME:TAG]
#
#   -a  the static agent-cli (default: the build's, build/*/agent-cli/...)
#   -H  the engine's socket (default: /run/docker.sock)
#   -o  write the root file system to TAR and import nothing
#   -p  further packages, with commas between them
#   -t  the image's name (default: bulkhead-agent:1)
#
# Needs root and mmdebstrap.
set -eu

agent='' socket=/run/docker.sock out='' packages='' tag=bulkhead-agent:1
suite=${SUITE:-bookworm}
here=$(cd "$(dirname "$0")/../.." && pwd)

usage()
{
	sed -n '2,/^set/p' "$0" | sed -n 's/^# \{0,1\}//p'
}

fail()
{
	echo "build.sh: $*" >&2
	exit 1
}

while getopts a:H:o:p:t:h opt; do
	case $opt in
	a) agent=$OPTARG ;;
	H) socket=${OPTARG#unix://} ;;
	o) out=$OPTARG ;;
	p) packages=,$OPTARG ;;
	t) tag=$OPTARG ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# = 0 ] || { usage >&2; exit 2; }

[ "$(id -u)" = 0 ] || fail "needs root"
command -v mmdebstrap >/dev/null || fail "mmdebstrap is missing: install it"
if [ -z "$agent" ]; then
	for f in "$here"/build/*/agent-cli/agent-cli-static; do
		[ -x "$f" ] && agent=$f
	done
fi
[ -n "$agent" ] && [ -x "$agent" ] ||
    fail "no static agent-cli: build the target agent-cli-static, or name it by -a"
if LC_ALL=C ldd "$agent" 2>/dev/null | grep -q '=>'; then
	fail "$agent is not static"
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
tar=${out:-$dir/rootfs.tar}

mmdebstrap --quiet --mode=root --variant=essential \
    --include="git,ca-certificates,curl$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="install -m 0755 '$agent' \"\$1/usr/bin/agent-cli\"" \
    --customize-hook="mkdir -p \"\$1/home/agent\" \"\$1/run/bulkhead\"" \
    --customize-hook='echo "agent:x:1000:1000:agent:/home/agent:/bin/sh" >>"$1/etc/passwd"' \
    --customize-hook='echo "agent:x:1000:" >>"$1/etc/group"' \
    --customize-hook='chown 1000:1000 "$1/home/agent"' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
    "$suite" "$tar"

[ -z "$out" ] || { echo "$out"; exit 0; }
docker=docker
[ ! -x /usr/bin/docker ] || docker=/usr/bin/docker
"$docker" -H "unix://$socket" import --change 'USER 1000:1000' \
    --change 'ENV AGENT_SANDBOX=1' --change 'WORKDIR /home/agent' \
    "$tar" "$tag" >/dev/null
echo "$tag"
