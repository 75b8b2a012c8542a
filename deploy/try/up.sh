# Of try.sh: what makes it all, one function a step.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154	# the parts share their variables

BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config libevent-dev
libyajl-dev libssl-dev libseccomp-dev libc-ares-dev libpsl-dev libidn2-dev
libbsd-dev libnftnl-dev libmnl-dev libsqlite3-dev libcurl4-openssl-dev
publicsuffix"
RUN_PACKAGES="docker.io mmdebstrap debian-archive-keyring git python3 openssl
nftables iproute2 ca-certificates"
ROLES="egress proxy resolver fw audit dispatch queue runs engine site"
GIT_HOST=git.demo.internal	# listed: the repository
LISTED=api.demo.internal	# listed
UNLISTED=unlisted.demo.internal	# as real as the others, on no list
ALL='["run", "ps", "logs", "stop", "rm", "show", "status"]'

# --- packages and programs ------------------------------------------------------

missing()	# package ...
{
	local p

	for p in "$@"; do
		dpkg-query -W -f='${Status}\n' "$p" 2>/dev/null |
		    grep -qx 'install ok installed' || echo "$p"
	done
}

# The engine's package would start the engine: try.sh starts one that it can
# stop again. A policy that was there stays in force.
install_packages()
{
	local need status policy=''

	command -v dpkg-query >/dev/null || {
		detail="this is no Debian: install what README.md names"
		return 1
	}
	# shellcheck disable=SC2086
	need=$(missing $BUILD_PACKAGES $RUN_PACKAGES)
	detail="all are there"
	[ -n "$need" ] || return 0
	if [ ! -e $POLICY_RC ]; then
		policy=$POLICY_RC
		note policy $POLICY_RC
		printf '%s\n' "$POLICY_TEXT" >$POLICY_RC
		chmod 755 $POLICY_RC
	fi
	# shellcheck disable=SC2086
	job apt sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -q --no-install-recommends "$@"' sh $need
	status=$?
	[ -z "$policy" ] || rm -f "$policy"
	detail="apt-get failed: $(grep '^E: ' "$work/log/apt.log" | tail -n 1)"
	[ $status = 0 ] || return 1
	# shellcheck disable=SC2086
	set -- $need
	detail="$# installed, which stay"
}

build_programs()
{
	local p

	programs=${build:-$work/build}
	if [ -z "$build" ]; then
		# shellcheck disable=SC2016
		job build sh -c 'cmake -S "$1" -B "$2" -G Ninja \
		    -DBUILD_TESTING=OFF && cmake --build "$2"' \
		    sh "$top" "$programs" || {
			detail="see $work/log/build.log"
			return 1
		}
	fi
	for p in egressd/egressd dispatchd/dispatchd agent-cli/agent-cli \
	    agent-cli/agent-cli-static; do
		if [ ! -x "$programs/$p" ]; then
			detail="$programs/$p is missing"
			return 1
		fi
	done
	note programs "$programs"
	detail="$programs, $("$programs/agent-cli/agent-cli" --version)"
}

# The first user's name is what keeps two tries apart, on one machine.
make_users()
{
	local role user

	for role in $ROLES; do
		user=$names-$role
		if id "$user" >/dev/null 2>&1; then
			detail="user $user was there before"
			return 1
		fi
		note user "$user"
		useradd --system --user-group --no-create-home --home-dir \
		    /nonexistent --shell /usr/sbin/nologin --comment \
		    "try.sh $work" "$user" >>"$work/log/users.log" 2>&1 || {
			detail="see $work/log/users.log"
			return 1
		}
	done
	detail="$names-{$(echo "$ROLES" | tr ' ' ,)}"
}

# --- the engine and the image -----------------------------------------------------

engine_serves()
{
	engine version || ended engine
}

# An engine of our own makes no packet rules, since the wall is egressd's, and
# does not turn the machine into a router as Docker's would. But what a run
# sends to elsewhere has to come as far as the rules that refuse it: a machine
# that does not forward drops it before, without a word. So interfaces that are
# made from here on forward; packets that come in by others are not.
forward_from_runs()
{
	local knob=/proc/sys/net/ipv4/conf/default/forwarding

	[ "$(cat $knob)" = 0 ] || return 0
	note forwarding 0
	echo 1 >$knob
}

start_engine()
{
	socket=/run/docker.sock
	echo '{}' >"$work/etc/daemon.json"
	if [ -S $socket ] && engine version >/dev/null; then
		note socket $socket
		detail="the one that is running, at $socket"
		return 0
	fi
	mkdir -p "$work/engine"
	socket=$work/engine/docker.sock
	note socket "$socket"
	forward_from_runs
	spawn engine dockerd --config-file "$work/etc/daemon.json" \
	    --data-root "$work/engine/data" --exec-root "$work/engine/exec" \
	    --pidfile "$work/engine/pid" -H "unix://$socket" --bridge=none \
	    --iptables=false --ip-forward=false --ip-masq=false
	until_true 60 engine_serves
	engine version >/dev/null || {
		detail="dockerd does not answer: $(grep -E \
		    'failed|fatal|error' "$work/log/engine.log" | tail -n 1)"
		return 1
	}
	detail="started, pid $(alive engine); nothing answered /run/docker.sock"
}

make_image()
{
	local source=(-a "$programs/agent-cli/agent-cli-static")

	[ -z "$rootfs" ] || source=(-i "$rootfs")
	image=bulkhead-try:1
	if [ -n "$(engine image ls -q "$image")" ]; then
		detail="the engine has an image $image, which is not ours"
		return 1
	fi
	note image "$image"
	job image "$top/deploy/image/build.sh" \
	    -H "$socket" -t "$image" "${source[@]}" || {
		detail=$(sed -n 's/^build.sh: //p' "$work/log/image.log" |
		    tail -n 1)
		detail="${detail:-build.sh failed}; see $work/log/image.log"
		return 1
	}
	detail=$(tail -n 1 "$work/log/image.log")
}

# --- the demonstration's site -------------------------------------------------------

# Two private networks that no route of this machine leads to: for the runs,
# and for the site.
choose_networks()
{
	local n taken

	for n in 213 215 217 219 221 223; do
		pool=10.$n.0.0/16
		site_net=10.$((n + 1)).0
		taken=$(ip -4 route show table all root "$pool"
		    ip -4 route show table all root "$site_net.0/24"
		    ip -4 route show table all match "$site_net.0/24"
		    ip -4 route show table all match "$pool")
		echo "$taken" | grep -v ^default | grep -q . || return 0
	done
	return 1
}

# The namespace has one link, to this machine, and no way on.
make_network()
{
	choose_networks || {
		detail="no free private network among 10.213-224"
		return 1
	}
	note link "$names-"
	note link ty-
	note netns "$names"
	host=$site_net.1 site=$site_net.2
	{
		ip netns add "$names" &&
		ip link add "$names-a" type veth peer name "$names-b" \
		    netns "$names" &&
		ip addr add "$host/24" dev "$names-a" &&
		ip link set "$names-a" up &&
		ip -n "$names" link set lo up &&
		ip -n "$names" addr add "$site/24" dev "$names-b" &&
		ip -n "$names" link set "$names-b" up &&
		ip netns exec "$names" sh -c \
		    'echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start'
	} >>"$work/log/network.log" 2>&1 || {
		detail="see $work/log/network.log"
		return 1
	}
	detail="namespace $names at $site; runs in $pool"
}

# A root of its own, and a certificate for all three names.
make_certificate()
{
	local d=$work/site

	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
	    -keyout "$d/ca.key" -out "$work/etc/ca.pem" -days 7 \
	    -subj "/CN=Bulkhead demonstration" &&
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
	    -keyout "$d/key.pem" -out "$d/csr.pem" -subj "/CN=$GIT_HOST" &&
	echo "subjectAltName=DNS:$GIT_HOST,DNS:$LISTED,DNS:$UNLISTED" \
	    >"$d/names" &&
	openssl x509 -req -in "$d/csr.pem" -CA "$work/etc/ca.pem" \
	    -CAkey "$d/ca.key" -CAcreateserial -days 7 -extfile "$d/names" \
	    -out "$d/cert.pem"
}

# What a person has, and what the site serves, with an error to mend.
make_repository()
{
	local clone=$work/clone

	git init -q -b main "$clone" &&
	printf '#!/bin/sh\necho "Hello, wrold"\n' >"$clone/greet" &&
	chmod +x "$clone/greet" &&
	git -C "$clone" add greet &&
	git -C "$clone" -c user.name=demo -c user.email=demo@demo.internal \
	    commit -q -m 'A greeter' &&
	git clone -q --bare "$clone" "$work/site/git/demo/greeter.git"
}

start_site()
{
	mkdir -p "$work/site/git/demo" "$work/site/home"
	# Its user may not come as far as this tree, below /root for example.
	if ! { cp "$parts/site.py" "$work/site/" &&
	    make_certificate && make_repository &&
	    chown -R "$names-site:" "$work/site"; } \
	    >>"$work/log/site.log" 2>&1; then
		detail="see $work/log/site.log"
		return 1
	fi
	printf '%s\t%s\n' "$site" "$GIT_HOST" "$site" "$LISTED" \
	    "$site" "$UNLISTED" >"$work/etc/hosts"
	spawn site ip netns exec "$names" setpriv --reuid "$names-site" \
	    --regid "$names-site" --clear-groups --no-new-privs \
	    python3 -I "$work/site/site.py" "$site" "$work/site"
	until_true 20 grep -q ^READY "$work/log/site.log" || {
		detail="see $work/log/site.log"
		return 1
	}
	detail="https://$GIT_HOST, $LISTED, $UNLISTED, in $names only"
}

# --- the daemons ------------------------------------------------------------------

# A word for each user of a daemon's configuration.
user_map()	# role ...
{
	local role out=

	for role in "$@"; do
		out+="${out:+, }\"$role\": \"$names-$role\""
	done
	echo "{ $out }"
}

# Who called sudo may go on by hand too.
people()	# what they may, a JSON list in one line
{
	local who

	for who in root ${SUDO_USER:+"$SUDO_USER"}; do
		echo "{ \"user\": \"$who\", \"may\": $1 }"
	done | sort -u | paste -s -d ,
}

write_egressd()
{
	cat <<-END
	{
	  "socket": "$work/run/egressd.sock",
	  "audit": "$work/audit/egressd.jsonl",
	  "users": $(user_map egress proxy resolver fw audit),
	  "peers": [
	    { "user": "$names-queue", "may": ["run.open", "run.close",
	      "runs.sync", "run.status", "status"] },
	    $(people '["status"]')
	  ],
	  // Nobody answers there: the hosts file knows all names of the site.
	  "resolvers": ["$site"], "hosts_file": "$work/etc/hosts",
	  "nft_table": "$names", "interface_prefix": "ty-",
	  "run_networks": ["$pool"],
	  "profiles": { "demo": { "allow": [
	    { "host": "$GIT_HOST", "cidr": ["$site_net.0/24"] },
	    { "host": "$LISTED", "cidr": ["$site_net.0/24"] }
	  ] } }
	}
	END
}

write_dispatchd()
{
	cat <<-END
	{
	  "socket": "$work/run/dispatchd.sock",
	  "state": "$work/state",
	  "audit": "$work/audit/dispatchd.jsonl",
	  "users": $(user_map dispatch queue runs engine audit),
	  "peers": [
	    $(people "$ALL")
	  ],
	  "engine": { "driver": "docker", "socket": "$socket" },
	  "egressd": "$work/run/egressd.sock",
	  "network_pool": "$pool", "interface_prefix": "ty-",
	  "capacity": { "memory": "1g", "cpus": 2, "pids": 512, "runs": 2 },
	  "image": "$image", "forge": "https://$GIT_HOST",
	  // The demonstration's tool is a shell with a script: no AI.
	  "tools": { "demo-agent": { "argv": ["/bin/sh", "-s"] } },
	  "profiles": { "demo": {
	    "tools": ["demo-agent"], "egress": "demo", "memory": "384m",
	    "cpus": 1, "pids": 128, "workspace": "128m", "deadline": "10m",
	    "ca_file": "$work/etc/ca.pem"
	  } },
	  "default_profile": "demo", "default_tool": "demo-agent"
	}
	END
}

serves()	# daemon
{
	cli status "$1" || ended "$1"
}

start_daemon()	# name
{
	if ! "$programs/$1/$1" -t -f "$work/etc/$1.conf" \
	    >>"$work/log/$1.log" 2>&1; then
		detail="the configuration is refused: see $work/log/$1.log"
		return 1
	fi
	spawn "$1" "$top/tests/helper/keep" "$work/pid/$1.daemon" \
	    "$programs/$1/$1" -d -f "$work/etc/$1.conf"
	until_true 30 serves "$1"
	cli status "$1" >/dev/null 2>>"$work/log/$1.log" || {
		detail="it does not serve: see $work/log/$1.log"
		return 1
	}
}

# A state of the daemon as it tells it itself.
state_of()	# daemon, key
{
	cli --json status "$1" | sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p"
}

start_egressd()
{
	note table "$names-lock"
	note table "$names"
	write_egressd >"$work/etc/egressd.conf"
	start_daemon egressd || return 1
	detail="pid $(cat "$work/pid/egressd.daemon"), packet rules \
$(state_of egressd nft)"
}

start_dispatchd()
{
	write_dispatchd >"$work/etc/dispatchd.conf"
	start_daemon dispatchd || return 1
	detail="pid $(cat "$work/pid/dispatchd.daemon"), engine \
$(state_of dispatchd engine)"
}
