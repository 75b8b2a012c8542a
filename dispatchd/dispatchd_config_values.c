/* Values that are neither a plain text nor a plain number. */

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "dispatchd/dispatchd_config.h"
#include "dispatchd/queue_request.h"

#define POOL_BITS_MIN 8
#define CPUS_MILLI_MIN 10 /* as msg.def: engine.create */
#define CPUS_MAX 1024
#define CPUS_ALLOWED "processors: an integer, 1 to 1024, or a string as \"0.5\""
#define POOL_ALLOWED                                                    \
	"an IPv4 network as ADDRESS/BITS, 8 to 29 bits, of 10.0.0.0/8," \
	" 172.16.0.0/12 or 192.168.0.0/16"
#define PREFIX_ALLOWED                                                      \
	"one or two of a-z and 0-9, then \"-\", and not \"br-\", which is " \
	"Docker's"
#define ENV_ALLOWED                                                        \
	"letters, digits, \"_\", no digit first, at most 64; and none of " \
	"those that a run gets: AGENT_SANDBOX, BULKHEAD_*, *_PROXY, HOME"

static bool
is_private(const struct netprefix *p)
{
	static const struct netprefix private[] = {
		{ { AF_INET, { 10 } }, 8 },
		{ { AF_INET, { 172, 16 } }, 12 },
		{ { AF_INET, { 192, 168 } }, 16 },
	};
	size_t i;

	for (i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
		if (netprefix_covers(&private[i], p))
			return true;
	}
	return false;
}

void
dispatch_parse_pool(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct netprefix *pool = place, p;

	if (!conf_expect(c, n, path, JSON_STRING, POOL_ALLOWED))
		return;
	if (netprefix_parse(n->str, n->len, &p) == -1 ||
	    p.addr.family != AF_INET || p.bits > DISPATCH_SUBNET_BITS ||
	    p.bits < POOL_BITS_MIN || !is_private(&p))
		conf_error(c, n, path,
		    "\"%.100s\" is no network of runs; allowed: " POOL_ALLOWED,
		    n->str);
	else
		*pool = p;
}

/* As egressd reads its own: the two have to be the same. */
void
dispatch_parse_prefix(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	const char **prefix = place;

	if (!conf_expect(c, n, path, JSON_STRING, PREFIX_ALLOWED))
		return;
	if (n->len < 2 || n->len > DISPATCH_PREFIX_MAX ||
	    strspn(n->str, "abcdefghijklmnopqrstuvwxyz0123456789") !=
	        n->len - 1 ||
	    n->str[n->len - 1] != '-' || strcmp(n->str, "br-") == 0)
		conf_error(c, n, path,
		    "\"%.100s\" is no prefix; allowed: " PREFIX_ALLOWED,
		    n->str);
	else
		*prefix = n->str;
}

void
dispatch_parse_forge(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	static const char allowed[] =
	    "https://HOST[:PORT][/PATH], no slash at its end";
	char url[QUEUE_URL_MAX + 1];
	const char **forge = place;
	const char *why;

	if (!conf_expect(c, n, path, JSON_STRING, allowed))
		return;
	if (n->len > DISPATCH_FORGE_MAX)
		conf_error(c, n, path, "has %zu bytes; allowed: %d", n->len,
		    DISPATCH_FORGE_MAX);
	else if (queue_url_canon(n->str, true, url, &why) == -1)
		conf_error(c, n, path, "\"%.100s\" %s; allowed: %s", n->str,
		    why, allowed);
	else
		*forge = conf_keep(c, url);
}

/* "2", "0.5", "1.250" as thousandths; -1 when it is none. */
static int64_t
parse_milli(const char *s)
{
	int64_t whole = 0, milli = 0, unit = 100;
	size_t digits = strspn(s, "0123456789");

	if (digits == 0 || digits > 4 || (digits > 1 && *s == '0'))
		return -1;
	for (; isdigit((unsigned char)*s); s++)
		whole = whole * 10 + (*s - '0');
	if (*s == '.') {
		digits = strspn(++s, "0123456789");
		if (digits == 0 || digits > 3)
			return -1;
		for (; isdigit((unsigned char)*s); s++, unit /= 10)
			milli += unit * (*s - '0');
	}
	return *s == '\0' ? whole * 1000 + milli : -1;
}

void
dispatch_parse_cpus(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	int64_t *cpus = place, milli;

	if (n->type == JSON_INT)
		milli = n->num >= 0 && n->num <= CPUS_MAX ? n->num * 1000 : -1;
	else if (conf_expect(c, n, path, JSON_STRING, CPUS_ALLOWED))
		milli = parse_milli(n->str);
	else
		return;
	if (milli >= CPUS_MILLI_MIN && milli <= CPUS_MAX * 1000)
		*cpus = milli;
	else if (n->type == JSON_INT)
		conf_error(c, n, path,
		    "%" PRId64 " is out of bounds; allowed: " CPUS_ALLOWED,
		    n->num);
	else
		conf_error(c, n, path,
		    "\"%.100s\" is no number of processors; allowed: " CPUS_ALLOWED,
		    n->str);
}

/* --- environments ------------------------------------------------------ */

/*
 * PATH may be set, an image may need it; what names the run, its home or its
 * way out may not.
 */
static bool
env_name_valid(const char *s)
{
	size_t len = strlen(s);

	if (len == 0 || len > DISPATCH_ENV_NAME_MAX ||
	    isdigit((unsigned char)*s) ||
	    strspn(s,
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	        "0123456789_") != len)
		return false;
	if (strcmp(s, "AGENT_SANDBOX") == 0 || strcmp(s, "HOME") == 0 ||
	    strncmp(s, "BULKHEAD_", 9) == 0)
		return false;
	return len < 6 || strcasecmp(s + len - 6, "_proxy") != 0;
}

void
dispatch_parse_env(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct dispatch_env *env = place;
	const struct json_node *child;
	char buf[CONF_PATH_MAX];

	if (!conf_expect(c, n, path, JSON_OBJECT, "an object of strings"))
		return;
	if (n->len > DISPATCH_ENV_MAX) {
		conf_error(c, n, path, "has %zu entries; allowed: %d", n->len,
		    DISPATCH_ENV_MAX);
		return;
	}
	for (child = n->child; child != NULL; child = child->next) {
		conf_path_key(buf, path, child->key);
		if (!env_name_valid(child->key))
			conf_error(c, child, buf,
			    "cannot be set; allowed: " ENV_ALLOWED);
		if (!conf_expect(c, child, buf, JSON_STRING, "a string"))
			continue;
		if (child->len > DISPATCH_ENV_VALUE_MAX)
			conf_error(c, child, buf, "has %zu bytes; allowed: %d",
			    child->len, DISPATCH_ENV_VALUE_MAX);
		env->name[env->n] = child->key;
		env->value[env->n++] = child->str;
	}
}
