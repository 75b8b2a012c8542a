# What try.sh gives to the tool demo-agent: a scripted demonstration, no AI. It
# does what an agent would, and what one must not be able to do, and says with
# the time of each what came of it. Before it stand the names and addresses.
# shellcheck shell=sh
# shellcheck disable=SC2154	# LISTED, UNLISTED, SITE: from try.sh
say()
{
	printf 'demo-agent %s %s\n' "$(date +%s%3N)" "$*"
}

say begin "a scripted demonstration, not an AI"
say clone "$(git log -1 --format='%h %s')"
sed -i s/wrold/world/ greet
say edit "$(./greet)"
git commit -q -a -m 'Spell the world right'
say commit "$(git log -1 --format='%h %s')"
say listed "$(curl -sS -m 20 "https://$LISTED/" 2>&1)"
say unlisted "$(curl -s -m 20 -o /dev/null -w '%{http_connect}' \
    "https://$UNLISTED/")"
# The very host that it may reach, but not through the proxy.
say direct "$(perl -MSocket -e '
	socket(my $s, PF_INET, SOCK_STREAM, 0) or die;
	alarm 10;
	if (connect($s, pack_sockaddr_in(443, inet_aton($ARGV[0])))) {
		print "0 connected";
	} else {
		printf "%d %s", $!, $!;
	}' "$SITE" || echo "0 died")"
say lookup "$(getent ahosts "$LISTED" || echo none)"
say end
