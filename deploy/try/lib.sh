# Of try.sh: lines for people, the directory of all that it makes, and processes
# that can be found again by whoever takes them down.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154	# the parts share their variables

steps=0		# that showed what they must
failed=''	# the first that did not
detail=''	# what a step has to say, or why it failed
kept=''		# everything stays up
names=bhtry	# of the namespace, the table; before the users'
mark=BULKHEAD_TRY
POLICY_RC=/usr/sbin/policy-rc.d
POLICY_TEXT=$'#!/bin/sh\nexit 101'

tty='' good='' wrong='' plain=''
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then
	tty=1
	if [ -z "${NO_COLOR:-}" ]; then
		good=$'\033[32m' wrong=$'\033[31m' plain=$'\033[m'
	fi
fi

# --- lines ------------------------------------------------------------------

refuse()
{
	echo "try.sh: $*" >&2
	exit 1
}

# Microseconds of the wall clock.
now()
{
	echo "${EPOCHREALTIME/./}"
}

# One line a step. The first that fails is told again at the end.
result()	# ok|not ok, when, name, what was seen
{
	local colour=$good erase=''

	[ -z "$tty" ] || erase=$'\r\033[K'
	if [ "$1" = ok ]; then
		steps=$((steps + 1))
	else
		colour=$wrong
		failed=${failed:-$3: $4}
	fi
	printf '%s%s%-6s%s  %9s  %-11s  %s\n' "$erase" "$colour" "$1" \
	    "$plain" "$2" "$3" "$4"
}

# Nothing is begun behind a step that failed, but taking down.
step()		# name, function
{
	local began took

	began=$(now)
	detail=
	[ -z "$tty" ] || printf '%-6s  %9s  %-11s' ... '' "$1"
	if "$2"; then
		took=$((($(now) - began) / 100000))
		result ok "$((took / 10)).$((took % 10)) s" "$1" "$detail"
		return 0
	fi
	result "not ok" "" "$1" "${detail:-see $work/log/$1.log}"
	[ "$2" = take_down ] || exit 1
}

last_line()
{
	if [ "$failed" = interrupted ]; then
		echo "try: interrupted; nothing is left"
		return 1
	fi
	if [ -n "$failed" ]; then
		echo "try: $failed (logs: $work/log)"
		return 1
	fi
	if [ "$mode" = down ]; then
		echo "try: nothing is left"
	else
		echo "try: all $steps steps showed what they must"
	fi
}

# --- the directory ----------------------------------------------------------

# What it is named goes into configurations, names of sockets and a user's
# comment as it is.
check_paths()
{
	case $work in
	/*) ;;
	*) work=$PWD/$work ;;
	esac
	work=${work%/}
	[[ $work =~ ^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$ ]] ||
	    refuse "--work $work: letters, digits, '.', '_' and '-' only"
	# The socket of a run has to fit into 108 bytes.
	[ ${#work} -le 60 ] || refuse "--work $work: longer than 60 bytes"
	if [ -n "$build" ]; then
		build=$(cd "$build" 2>/dev/null && pwd) ||
		    refuse "--build: there is no such directory"
	fi
	if [ -n "$rootfs" ]; then
		rootfs=$(readlink -e "$rootfs") ||
		    refuse "--rootfs: there is no such file"
	fi
}

# Anybody may make a directory in /tmp, so it is taken only when it is root's
# and was made here.
ours()
{
	[ -d "$work" ] && [ ! -L "$work" ] && [ -O "$work" ] &&
	    [ -f "$work/noted" ] && [ ! -L "$work/noted" ] &&
	    [ "$(stat -c %a "$work")" = 755 ]
}

# The lock goes with the last process that holds it: only shells of try.sh do.
lock_work()
{
	exec 9>>"$work/noted"
	flock -n 9 || refuse "another try.sh is at work in $work"
}

open_work()
{
	if [ ! -e "$work" ] && [ ! -L "$work" ]; then
		echo "try: nothing is left in $work"
		exit 0
	fi
	ours || refuse "$work was not made by try.sh: nothing is touched"
	lock_work
}

make_work()
{
	local other

	if ours; then
		lock_work
		! noted kept >/dev/null ||
		    refuse "a try is up in $work; deploy/try.sh --down first"
		take_down || refuse "$detail"
		exec 9>&-
	fi
	mkdir -m 755 "$work" 2>/dev/null || {
		[ ! -e "$work" ] ||
		    refuse "$work is there, and was not made by try.sh"
		refuse "$work cannot be made"
	}
	: >"$work/noted"
	lock_work
	mkdir "$work"/{audit,etc,log,pid,run,tmp}
	# Its names are there once on a machine.
	other=$(getent passwd "$names-egress" | cut -d: -f5)
	if [ -n "$other" ]; then
		rm -r "$work"
		refuse "there is another try, or what is left of one: \
deploy/try.sh --down --work ${other#try.sh }"
	fi
	export TMPDIR=$work/tmp "$mark=$work"
}

# Noted is what is about to be made, and by nobody else.
note()		# kind, name
{
	echo "$1 $2" >>"$work/noted"
}

noted()		# kind: their names, the last one first
{
	tac "$work/noted" | sed -n "s/^$1 //p" | grep .
}

# --- processes --------------------------------------------------------------

# When it began, by which a pid is known again. A zombie is no more.
start_of()	# pid
{
	sed -n 's/.*) //p' "/proc/$1/stat" 2>/dev/null |
	    awk '$1 != "Z" { print $20 }'
}

# In a session of its own: an interrupt of the terminal is for this script
# alone, and a signal to its group reaches all of it.
spawn()		# name, command ...
{
	local name=$1

	shift
	rm -f "$work/pid/$name"
	setsid "$parts/apart" "$work/pid/$name" "$@" </dev/null \
	    >>"$work/log/$name.log" 2>&1 9>&- &
}

# Start it and wait for it; an interrupt does not wait.
job()		# name, command ...
{
	spawn "$@"
	wait $!
}

# The pid of what was spawned, if it is there.
alive()		# name
{
	local pid start boot

	[ -s "$work/pid/$1" ] && read -r pid start boot <"$work/pid/$1" &&
	    [ "$boot" = "$(cat /proc/sys/kernel/random/boot_id)" ] &&
	    [ "$(start_of "$pid")" = "$start" ] && echo "$pid"
}

# It has been there, and is no more.
ended()		# name
{
	[ -s "$work/pid/$1" ] && ! alive "$1" >/dev/null
}

# Poll until a command succeeds.
until_true()	# seconds, command ...
{
	local end=$(($(now) + $1 * 1000000))

	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(now)" -lt "$end" ] || return 1
		sleep 0.1
	done
}
