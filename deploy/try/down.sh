# Of try.sh: taking everything down, in the reverse order, by what the state
# file and the pid files in the directory say. Each part does nothing when it
# finds nothing, so it can be done again, behind a crash too.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154	# the parts share their variables

GRACE=20	# seconds for a daemon to leave by itself

# Behind the last step, a failed one, or an interrupt.
leave()
{
	local status=$?

	trap - EXIT
	trap '' HUP INT TERM PIPE
	if [ "$mode" = keep ] && [ $status = 0 ] && [ -z "$failed" ]; then
		note kept yes
		say_how_to_go_on
		last_line
		exit
	fi
	[ $status -le 128 ] || failed=${failed:-interrupted}
	step down take_down
	last_line || [ $status != 0 ] || status=1
	exit $status
}

# What a step tells of itself is in detail; each failure adds to it. What was
# taken down is no longer marked as ours, so that the sweep spares its tools.
take_down()
{
	local problems=''

	unset "$mark"
	stop_jobs
	remove_policy
	stop_runs
	stop_spawned dispatchd
	remove_containers
	stop_spawned egressd
	remove_rules
	stop_spawned engine
	restore_forwarding
	kill_containers
	stop_spawned site
	remove_network
	sweep
	unmount
	remove_users
	look_around
	if [ -n "$problems" ]; then
		detail="left behind:$problems; see $work/log"
		return 1
	fi
	remove_work
}

# A dpkg that is interrupted leaves packages half configured: that one is
# waited for.
stop_jobs()
{
	local name

	if alive apt >/dev/null; then
		echo "try: apt-get is let come to its end"
		while alive apt >/dev/null; do
			sleep 0.2
		done
	fi
	for name in build image run; do
		stop_spawned $name
	done
}

gone()		# pid, start
{
	[ "$(start_of "$1")" != "$2" ]
}

# TERM, and KILL for the whole group when that does not help. What leads no
# group has nobody else in it.
stop_spawned()	# name
{
	local pid start

	if pid=$(alive "$1"); then
		start=$(start_of "$pid")
		case $1 in
		build | image | run) kill -TERM -- "-$pid" 2>/dev/null ;;
		*) kill -TERM "$pid" 2>/dev/null ;;
		esac
		until_true $GRACE gone "$pid" "$start"
		kill -KILL -- "-$pid" 2>/dev/null
		until_true 5 gone "$pid" "$start"
	fi
	rm -f "$work/pid/$1"
}

# Of an installation that was broken off. The note of it outlives one that was
# not, and what stands there since then may be somebody else's.
remove_policy()
{
	[ -n "$(noted policy)" ] &&
	    [ "$(cat "$POLICY_RC" 2>/dev/null)" = "$POLICY_TEXT" ] || return 0
	rm -f "$POLICY_RC" || problems+=" $POLICY_RC"
}

# --- runs and containers ------------------------------------------------------

cli()
{
	timeout -k 1 30 "$programs/agent-cli/agent-cli" --run-dir "$work/run" \
	    "$@" 9>&-
}

none_runs()
{
	[ -z "$(cli --json ps)" ]
}

# dispatchd leaves its runs running when it goes: so they are stopped before.
stop_runs()
{
	local run

	alive dispatchd >/dev/null || return 0
	programs=$(noted programs) || return 0
	for run in $(cli --json ps 2>/dev/null |
	    sed -n 's/^{"run":"\([a-z2-7]\{12\}\)".*/\1/p'); do
		cli stop "$run" >>"$work/log/down.log" 2>&1
	done
	until_true $GRACE none_runs
}

engine()
{
	timeout -k 1 60 docker --config "$work/etc" -H "unix://$socket" "$@" \
	    2>>"$work/log/down.log" 9>&-
}

# By the label of our dispatchd: an engine that was there has others.
labelled()	# ps -aq | network ls -q
{
	local instance

	instance=$(cat "$work/state/instance" 2>/dev/null) &&
	    [ -n "$instance" ] || return 0
	engine "$@" --filter "label=bulkhead.instance=$instance"
}

remove_containers()
{
	local id image

	socket=$(noted socket) && engine version >/dev/null || return 0
	for id in $(labelled ps -aq); do
		engine rm -f -v "$id" >/dev/null
	done
	for id in $(labelled network ls -q); do
		engine network rm "$id" >/dev/null
	done
	[ -z "$(labelled ps -aq)$(labelled network ls -q)" ] ||
	    problems+=" containers"
	image=$(noted image) || return 0
	[ -z "$(engine image ls -q "$image")" ] ||
	    engine image rm "$image" >/dev/null || problems+=" image $image"
}

# For an engine of ours that did not live to remove them: the first process of
# each, by the container's id in its control group.
kill_containers()
{
	local file id pid

	[ -d "$work/engine" ] || return 0
	find "$work/engine" -name init.pid | while read -r file; do
		id=$(basename "$(dirname "$file")")
		pid=$(cat "$file")
		! grep -q "$id" "/proc/$pid/cgroup" 2>/dev/null ||
		    kill -KILL "$pid"
	done
}

# --- the network --------------------------------------------------------------

remove_rules()
{
	local table

	for table in $(noted table); do
		nft list table inet "$table" >/dev/null 2>&1 || continue
		nft delete table inet "$table" || problems+=" table $table"
	done
}

restore_forwarding()
{
	[ -z "$(noted forwarding)" ] ||
	    echo 0 >/proc/sys/net/ipv4/conf/default/forwarding
}

# The veth goes with its namespace, some moments later; bridges of runs go with
# their networks, unless the engine did not live to remove them.
remove_network()
{
	local space link

	for space in $(noted netns); do
		[ -e "/run/netns/$space" ] || continue
		ip netns del "$space" || problems+=" namespace $space"
	done
	for link in $(links); do
		ip link del "$link" 2>/dev/null
	done
	until_true 5 test -z "$(links)" || problems+=" interfaces"
}

links()
{
	local link path

	for link in $(noted link); do
		for path in "/sys/class/net/$link"*; do
			[ ! -e "$path" ] || echo "${path##*/}"
		done
	done
}

# --- what is left ---------------------------------------------------------------

# Whatever was started carries our mark in its environment, or is a child of
# this shell that did not come so far.
marked()
{
	{
		grep -lzxF "$mark=$work" /proc/[0-9]*/environ 2>/dev/null |
		    cut -d / -f 3
		jobs -pr
	} | grep -vx "$$"
}

none_marked()
{
	[ -z "$(marked)" ]
}

sweep()
{
	local pid

	for pid in $(marked); do
		kill -TERM "$pid" 2>/dev/null
	done
	until_true 5 none_marked && return 0
	for pid in $(marked); do
		kill -KILL "$pid" 2>/dev/null
	done
	until_true 5 none_marked
}

mounted()
{
	cut -d ' ' -f 2 /proc/self/mounts | grep "^$work/" | sort -r
}

unmount()
{
	local point

	for point in $(mounted); do
		umount "$point" 2>/dev/null || umount -l "$point"
	done
}

remove_users()
{
	local user

	for user in $(noted user); do
		! id "$user" >/dev/null 2>&1 ||
		    userdel "$user" >>"$work/log/down.log" 2>&1 ||
		    problems+=" user $user"
	done
}

look_around()
{
	none_marked || problems+=" processes ($(marked | tr '\n' ' '))"
	[ -z "$(mounted)" ] || problems+=" mounts"
}

# Logs and records of a failure stay, and with them what says that they are ours.
remove_work()
{
	local entry

	if [ -n "$failed" ] && [ "$failed" != interrupted ]; then
		for entry in "$work"/*; do
			case $entry in
			*/audit | */log | */noted) ;;
			*) rm -rf --one-file-system "$entry" ;;
			esac
		done
		: >"$work/noted"
		detail="all but logs and records"
	else
		rm -rf --one-file-system "$work"
	fi
}
