# Of try.sh: the demonstration, and what it has to show.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154	# the parts share their variables

arrived()
{
	grep -c ^ACCEPT "$work/log/site.log"
}

run_demo()
{
	local before

	{
		printf '%s\n' "LISTED=$LISTED" "UNLISTED=$UNLISTED" \
		    "SITE=$site"
		cat "$parts/agent.sh"
	} >"$work/etc/prompt"
	before=$(arrived)
	job run "$programs/agent-cli/agent-cli" --run-dir "$work/run" run \
	    --repo demo/greeter --prompt-file "$work/etc/prompt"
	local status=$?
	run=$(cli --json ps --all | sed -n \
	    's/^{"run":"\([a-z2-7]\{12\}\)".*/\1/p' | head -n 1)
	if [ $status != 0 ] || [ -z "$run" ]; then
		detail="agent-cli run ended with status $status: \
$(tail -n 1 "$work/log/run.log")"
		return 1
	fi
	connections=$(($(arrived) - before))
	cli --json show "$run" >"$work/show.json"
	cli logs "$run" >"$work/log/agent.log" 2>&1
	detail="$run, ended; its tool demo-agent is a script, not an AI"
}

# A line each of what happened, in its order: result, time, name, what was
# seen; a part that is not what it must be is a step that failed.
timeline()
{
	local verdict when name seen

	echo "The run's timeline, in seconds from its acceptance:"
	while IFS=$'\t' read -r verdict when name seen; do
		result "$verdict" "$when" "$name" "$seen"
	done < <(python3 -I "$parts/timeline.py" "$work" "$run" "$connections" \
	    "$LISTED" "$UNLISTED" 2>>"$work/log/timeline.log" 9>&- ||
	    printf 'not ok\t-\ttimeline\tsee %s\n' "$work/log/timeline.log")
	[ -z "$failed" ] || exit 1
}

# As a person would, by the line that agent-cli prints.
fetch_branch()
{
	local line bundle branch

	line=$(grep '^git fetch ' "$work/log/run.log" | tail -n 1)
	read -r _ _ bundle branch <<<"$line"
	case $branch in
	"agent/demo-agent/$run") ;;
	*) detail="agent-cli printed no git fetch: $line"; return 1 ;;
	esac
	{
		git -C "$work/clone" fetch "$bundle" "$branch" &&
		git -C "$work/clone" diff main FETCH_HEAD >"$work/diff"
	} >>"$work/log/fetch.log" 2>&1 || {
		detail="git fetch failed: see $work/log/fetch.log"
		return 1
	}
	detail="$line"
	if ! grep -qx '+echo "Hello, world"' "$work/diff"; then
		detail="the branch does not hold what was committed"
		return 1
	fi
	detail+=$'\n'"$(sed -n '/^@@/,$s/^/          /p' "$work/diff")"
}

verify_records()
{
	local out

	detail=$(cli audit verify "$work/audit/egressd.jsonl" \
	    "$work/audit/dispatchd.jsonl" 2>&1) || return 1
	out=$(echo "$detail" | sed 's/.*\///' | paste -s -d ';')
	detail="agent-cli audit verify: ${out//;/; }"
}

say_how_to_go_on()
{
	cat <<-END

	It stays up. In a shell of root${SUDO_USER:+ or of $SUDO_USER}:

	export BULKHEAD_RUN_DIR=$work/run
	export PATH=$programs/agent-cli:\$PATH
	agent-cli run --repo demo/greeter 'cat greet; date >stamp'
	agent-cli ps --all
	agent-cli show $run

	and to remove it all:

	$top/deploy/try.sh --down$([ "$work" = /tmp/bulkhead-try ] ||
	    echo " --work $work")

	END
}
